#!/usr/bin/python3
"""psycopg 3: parameters and results as text and binary, prepared statements,
pipelines, COPY as text and binary, server-side cursors."""
import asyncio
import psycopg
from psycopg import sql as compose
from psycopg.rows import dict_row, namedtuple_row
from twins import CUSTOMERS, TEXT, TEXT_ARRAY, Twins, done, equal, new_database, other_roles

DATABASE = new_database("psycopg3")
COLUMNS = "email, name, card, city"


def connect(twin, role="oms"):
    return psycopg.connect(dbname=DATABASE, user=role, options=f"-c search_path={twin}")


def described(cursor):
    return [(c.name, c.type_code, c.internal_size, c.display_size) for c in cursor.description or ()]


def run(db, sql, parameters=None, binary=False, prepare=None):
    with db.cursor(binary=binary) as cursor:
        cursor.execute(sql, parameters, prepare=prepare)
        rows = cursor.fetchall() if cursor.description else None
        return rows, described(cursor), cursor.rowcount, cursor.statusmessage


def twin_of(db):
    twin = db.execute("SHOW search_path").fetchone()[0]
    db.commit()
    return twin


twins = Twins(connect)


@twins.same("INSERT RETURNING: parameters as text, binary, automatic; results as text, binary")
def _(db):
    return [run(db, f"INSERT INTO customers ({COLUMNS}) VALUES ({', '.join([form] * 4)}) RETURNING *", row, binary)
            for row, form, binary in zip(CUSTOMERS, ("%s", "%t", "%b", "%b"), (False, True, False, True))]


@twins.same("executemany")
def _(db):
    with db.cursor() as cursor:
        cursor.executemany(f"INSERT INTO customers ({COLUMNS}) VALUES (%s, %s, %s, %s) RETURNING id, email",
                           CUSTOMERS[4:], returning=True)
        results = [cursor.fetchall()]
        while cursor.nextset():
            results.append(cursor.fetchall())
        cursor.executemany("INSERT INTO orders (email, item) VALUES (%s, %s)",
                           [(row[0], f"book {n}") for n, row in enumerate(CUSTOMERS)])
        db.commit()
        return results, cursor.rowcount


@twins.same("SELECT *, binary: values, types, description")
def _(db):
    result = run(db, "SELECT * FROM customers ORDER BY id", binary=True)
    equal([row[1:5] for row in result[0]], CUSTOMERS, "    all is there as it was written")
    equal([column[1] for column in result[1][1:5]], [TEXT] * 4, "    and described as text")
    return result


for form in ("%s", "%t", "%b"):
    for binary in (False, True):
        @twins.same(f"parameters as {form}, results as {'binary' if binary else 'text'}")
        def _(db, form=form, binary=binary):
            return [run(db, sql.replace("%s", form), parameters, binary) for sql, parameters in [
                ("SELECT id, name FROM customers WHERE email = %s", ["ada@example.org"]),
                ("SELECT id, name FROM customers WHERE %s = email", ["ada@example.org"]),
                ("SELECT id, name FROM customers WHERE card = %s", ["378282246310005"]),
                ("SELECT id, card FROM customers WHERE name = %s", ["Ada Lovelace"]),
                ("SELECT id FROM customers WHERE email = %s", [None]),
                ("SELECT id FROM customers WHERE email IN (%s, %s) ORDER BY id", ["ada@example.org", "LONG@example.org"]),
                ("SELECT id FROM customers WHERE email = ANY(%s) ORDER BY id", [["ada@example.org", "嫦娥@example.cn"]]),
                ("SELECT id FROM customers WHERE NOT email <> ANY(%s) ORDER BY id", [["ada@example.org", None]]),
                ("SELECT email FROM customers WHERE email LIKE %s ORDER BY id", ["%.org"]),
                ("SELECT lower(email) FROM customers WHERE lower(email) = %s", ["long@example.org"]),
                ("SELECT email, name FROM customers ORDER BY email DESC, id", None),
                ("SELECT DISTINCT email FROM customers ORDER BY 1", None),
                ("SELECT coalesce(email, name, %s) FROM customers ORDER BY id", ["?"]),
                ("SELECT email || %s FROM customers WHERE id = 1", ["!"]),
                ("SELECT o.item, c.name FROM orders o JOIN customers c USING (email) WHERE o.email = %s",
                 ["ada@example.org"]),
                ("UPDATE customers SET name = %s WHERE email = %s RETURNING name, email",
                 ["Ada Lovelace", "ada@example.org"]),
                ("UPDATE customers SET name = coalesce(%s, name) WHERE id = 1 RETURNING name", [None]),
                ("INSERT INTO customers (email, visits) VALUES (%s, 1) ON CONFLICT (email) DO UPDATE"
                 " SET visits = customers.visits + 1 RETURNING id, email, visits", ["ada@example.org"]),
            ]]


@twins.same("arrays")
def _(db):
    result = [run(db, "SELECT array_agg(email ORDER BY id), ARRAY[name, city] FROM customers GROUP BY id, name, city"
                      " ORDER BY id", binary=binary) for binary in (False, True)]
    equal([column[1] for column in result[1][1]], [TEXT_ARRAY] * 2, "    described as arrays of text")
    return result


@twins.same("json")
def _(db):
    return [run(db, "SELECT row_to_json(c), to_jsonb(c), json_build_array(email, name) FROM customers c ORDER BY id",
                binary=binary) for binary in (False, True)]


@twins.same("prepare=True, and as it becomes prepared by itself")
def _(db):
    result = []
    for prepare in (True, None):
        for round_ in range(2 if prepare else 8):
            for row in CUSTOMERS[:3]:
                result.append(run(db, f"SELECT id, {COLUMNS} FROM customers WHERE email = %s AND %s >= 0",
                                  (row[0], round_ if prepare else round_ + 1), prepare=prepare, binary=bool(round_ % 2)))
        result.append(db.execute("SELECT count(*) FROM pg_prepared_statements").fetchall())
    return result


@twins.same("a prepared statement lives through ALTER TABLE and ANALYZE")
def _(db):
    result = []
    for change in (None, "ALTER TABLE orders ADD note text", "ANALYZE orders", "ALTER TABLE orders DROP note"):
        if change:
            with connect(twin_of(db), "postgres") as owner:
                owner.execute(change)
        result += [run(db, "SELECT email, item FROM orders WHERE email = %s", ["ada@example.org"], prepare=True, binary=True)
                   for _ in range(2)]
        db.commit()
    return result


@twins.same("pipeline")
def _(db):
    with db.pipeline() as pipeline:
        cursors = [db.execute("SELECT id, email, card FROM customers WHERE email = %s", [row[0]]) for row in CUSTOMERS]
        cursors.append(db.execute("UPDATE customers SET name = name || %s WHERE id = 1 RETURNING name", ["!"]))
        pipeline.sync()
        cursors.append(db.execute("UPDATE customers SET name = %s WHERE id = 1 RETURNING name", ["Ada Lovelace"]))
        return [(cursor.fetchall(), described(cursor), cursor.statusmessage) for cursor in cursors]


@twins.same("COPY (query) TO STDOUT as text and binary")
def _(db):
    result = []
    types = ["int4", "text", "text", "text"]
    for form in ("TEXT", "BINARY"):
        statement = f"COPY (SELECT id, email, name, card FROM customers ORDER BY id) TO STDOUT (FORMAT {form})"
        with db.cursor() as cursor:
            with cursor.copy(statement) as copy:
                result.append(b"".join(bytes(block) for block in copy))
            with cursor.copy(statement) as copy:
                copy.set_types(types)
                result.append(list(copy.rows()))
            result.append((cursor.rowcount, cursor.statusmessage))
    return result


@twins.same("COPY FROM STDIN as text and binary")
def _(db):
    result = []
    for form in ("TEXT", "BINARY"):
        with db.cursor() as cursor:
            with cursor.copy(f"COPY customers (email, name, card, visits) FROM STDIN (FORMAT {form})") as copy:
                copy.set_types(["text", "text", "text", "int4"])
                for n, (_, name, card, _) in enumerate(CUSTOMERS):
                    copy.write_row((f"{form} {n}@example.org", name, card, n))
            result.append((cursor.rowcount, cursor.statusmessage))
        result.append(run(db, "SELECT * FROM customers WHERE email LIKE %s ORDER BY id", [form + "%"]))
        result.append(run(db, "SELECT id, name FROM customers WHERE email = %s", [form + " 1@example.org"]))
    db.commit()
    return result


@twins.same("no plaintext got into the table that way", nonempty=False)
def _(db):
    # The armor of an envelope, as COPY of the table itself gives it.
    with db.cursor() as cursor, cursor.copy("COPY customers (email) TO STDOUT") as copy:
        lines = [bytes(block) for block in copy]
    expected = b"sdes1:" if twin_of(db) == "secret" else b""
    return [line for line in lines if not line.startswith(expected) and line != b"\\N\n"]


@twins.same("server-side cursors, text and binary, with hold")
def _(db):
    result = []
    for binary in (False, True):
        for withhold in (False, True):
            with db.cursor("c", binary=binary, withhold=withhold) as cursor:
                cursor.itersize = 3
                cursor.execute("SELECT id, email, name FROM customers WHERE email <> %s ORDER BY email, id",
                               ["ada@example.org"])
                result += [described(cursor), cursor.fetchone(), cursor.fetchmany(2)]
                if withhold:
                    db.commit()
                result.append(list(cursor))
            with db.cursor("s", binary=binary, scrollable=True) as cursor:
                cursor.execute("SELECT name, card FROM customers ORDER BY id")
                cursor.scroll(3)
                result.append(cursor.fetchone())
                cursor.scroll(-2)
                result.append(cursor.fetchall())
    return result


@twins.same("row factories, ClientCursor, composed SQL")
def _(db):
    statement = compose.SQL("SELECT {} FROM {} WHERE email = {}").format(
        compose.SQL(", ").join(map(compose.Identifier, ("id", "email", "name"))), compose.Identifier("customers"),
        compose.Literal("ada@example.org"))
    with psycopg.ClientCursor(db) as cursor:
        client = cursor.execute("SELECT id, email FROM customers WHERE email = %s", ["ada@example.org"]).fetchall()
    return (client, db.cursor(row_factory=dict_row).execute(statement).fetchall(),
            db.cursor(row_factory=namedtuple_row).execute(statement).fetchone()._asdict())


@twins.same("stream, and the asynchronous connection")
def _(db):
    twin = twin_of(db)

    async def go():
        connection = await psycopg.AsyncConnection.connect(dbname=DATABASE, user="oms", options=f"-c search_path={twin}")
        async with connection, connection.cursor(binary=True) as cursor:
            return [row async for row in cursor.stream("SELECT id, email FROM customers ORDER BY email, id")]

    return asyncio.run(go()), list(db.cursor().stream("SELECT name FROM customers ORDER BY id"))


@twins.same("errors")
def _(db):
    result = []
    for sql, parameters in [("INSERT INTO customers (email) VALUES (%s)", ["ada@example.org"]),
                            ("INSERT INTO orders (email, item) VALUES (%s, 'x')", ["nobody@example.org"]),
                            ("DELETE FROM customers WHERE email = %s", ["ada@example.org"])]:
        try:
            with db.transaction():
                db.execute(sql, parameters)
        except psycopg.Error as error:
            result.append((type(error).__name__, error.sqlstate, error.diag.constraint_name))
    return result


def query(role, sql):
    with connect("secret", role) as connection:
        try:
            return [list(row) for row in run(connection, sql, binary=True)[0]]
        except psycopg.Error as error:
            return error.sqlstate


other_roles(query)
done()
