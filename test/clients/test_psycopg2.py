#!/usr/bin/python3
"""psycopg2: literals in the statement's text, COPY, server-side cursors."""
import io
import psycopg2
import psycopg2.extras
from twins import CUSTOMERS, TEXT, Twins, done, equal, new_database, ok, other_roles

DATABASE = new_database("psycopg2")
COLUMNS = "email, name, card, city"


def connect(twin, role="oms"):
    return psycopg2.connect(dbname=DATABASE, user=role, options=f"-c search_path={twin}")


def run(connection, sql, parameters=None, **options):
    """Rows, description, count and command tag."""
    with connection.cursor(**options) as cursor:
        cursor.execute(sql, parameters)
        rows = cursor.fetchall() if cursor.description else None
        description = [tuple(column) for column in cursor.description or ()]
        return rows, description, cursor.rowcount, cursor.statusmessage


twins = Twins(connect)


@twins.same("execute: INSERT RETURNING")
def _(db):
    return [run(db, f"INSERT INTO customers ({COLUMNS}) VALUES (%s, %s, %s, %s) RETURNING *", row)
            for row in CUSTOMERS[:2]]


@twins.same("executemany")
def _(db):
    with db.cursor() as cursor:
        cursor.executemany(f"INSERT INTO customers ({COLUMNS}) VALUES (%s, %s, %s, %s)", CUSTOMERS[2:4])
        return cursor.rowcount, cursor.statusmessage


@twins.same("execute_values")
def _(db):
    with db.cursor() as cursor:
        return psycopg2.extras.execute_values(
            cursor, f"INSERT INTO customers ({COLUMNS}) VALUES %s RETURNING id, {COLUMNS}", CUSTOMERS[4:], fetch=True)


@twins.same("execute_batch")
def _(db):
    with db.cursor() as cursor:
        psycopg2.extras.execute_batch(cursor, "INSERT INTO orders (email, item) VALUES (%s, %s)",
                                      [(row[0], f"book {n}") for n, row in enumerate(CUSTOMERS)])
        db.commit()
        return cursor.rowcount, cursor.statusmessage


@twins.same("SELECT *: values, types, description")
def _(db):
    result = run(db, "SELECT * FROM customers ORDER BY id")
    equal([row[1:5] for row in result[0]], CUSTOMERS, "    all is there as it was written")
    equal([column[1] for column in result[1][1:5]], [TEXT] * 4, "    and described as text")
    return result


for name, sql, parameters in [
        ("=", "SELECT id, name FROM customers WHERE email = %s", ["ada@example.org"]),
        ("= on a card number", "SELECT id, email FROM customers WHERE card = %s", ["378282246310005"]),
        ("= without a token", "SELECT id, email FROM customers WHERE name = %s", ["Ada Lovelace"]),
        ("<>", "SELECT id FROM customers WHERE email <> %s ORDER BY id", ["ada@example.org"]),
        ("= finds nothing", "SELECT id FROM customers WHERE email = %s", ["nobody@example.org"]),
        ("IN a tuple", "SELECT id FROM customers WHERE email IN %s ORDER BY id",
         [("ada@example.org", "嫦娥@example.cn")]),
        ("= ANY of a list", "SELECT id FROM customers WHERE email = ANY(%s) ORDER BY id",
         [["ada@example.org", "100%_off@example.org", None]]),
        ("<> ALL of a list", "SELECT id FROM customers WHERE email <> ALL(%s) ORDER BY id", [["ada@example.org"]]),
        ("IS NULL", "SELECT id FROM customers WHERE email IS NULL OR card IS NULL ORDER BY id", None),
        ("NULL as parameter", "SELECT id FROM customers WHERE email = %s", [None]),
        ("LIKE", "SELECT email FROM customers WHERE email LIKE %s ORDER BY id", ["%@example.org"]),
        ("ILIKE", "SELECT email FROM customers WHERE email ILIKE %s ORDER BY id", ["long@%"]),
        ("regular expression", "SELECT email FROM customers WHERE email ~* %s ORDER BY id", ["^L.*org$"]),
        ("lower", "SELECT id, lower(email) FROM customers WHERE lower(email) = %s", ["long@example.org"]),
        ("ORDER BY", "SELECT email FROM customers ORDER BY email", None),
        ("ORDER BY DESC NULLS LAST, LIMIT", "SELECT id, name FROM customers ORDER BY email DESC NULLS LAST LIMIT 3", None),
        ("ORDER BY without a token", "SELECT id FROM customers ORDER BY name, id", None),
        ("range", "SELECT id FROM customers WHERE email >= %s AND email < %s ORDER BY id", ["a", "f"]),
        ("DISTINCT", "SELECT DISTINCT email FROM customers ORDER BY 1", None),
        ("GROUP BY", "SELECT email, count(*) FROM orders GROUP BY email ORDER BY email", None),
        ("count DISTINCT", "SELECT count(DISTINCT email), min(email), max(name) FROM customers", None),
        ("JOIN", "SELECT o.item, c.name, o.email FROM orders o JOIN customers c ON c.email = o.email ORDER BY o.id", None),
        ("LEFT JOIN USING", "SELECT email, item FROM orders LEFT JOIN customers USING (email) ORDER BY item", None),
        ("EXISTS", "SELECT id FROM customers c WHERE EXISTS (SELECT FROM orders o WHERE o.email = c.email) ORDER BY id",
         None),
        ("IN a query", "SELECT id FROM customers WHERE email IN (SELECT email FROM orders) ORDER BY id", None),
        ("UNION", "SELECT email FROM customers UNION SELECT email FROM orders ORDER BY 1", None),
        ("WITH", "WITH c AS (SELECT * FROM customers) SELECT id, card FROM c WHERE email = %s", ["ada@example.org"]),
        ("CASE and coalesce", "SELECT coalesce(email, city, %s), CASE WHEN id > 3 THEN name END FROM customers ORDER BY id",
         ["nothing"]),
        ("expressions", "SELECT email || %s, length(name), upper(left(name, 3)), card::text FROM customers ORDER BY id",
         ["!"]),
        ("window", "SELECT id, lag(email) OVER (ORDER BY id), row_number() OVER (ORDER BY email) FROM customers ORDER BY id",
         None),
        ("array_agg", "SELECT array_agg(email ORDER BY id), array_agg(name ORDER BY id) FROM customers", None),
        ("ARRAY[]", "SELECT ARRAY[email, name] FROM customers ORDER BY id", None),
        ("string_agg", "SELECT string_agg(email, ',' ORDER BY id) FROM customers", None),
        ("json", "SELECT row_to_json(c), to_jsonb(c), json_build_object('e', c.email) FROM customers c ORDER BY id", None),
        ("json_agg", "SELECT json_agg(c ORDER BY id), jsonb_object_agg(id, email) FROM customers c", None),
        ("concat and format", "SELECT concat(email, '/', name), format('%s: %L', id, email) FROM customers ORDER BY id",
         None),
        ("VALUES", "VALUES (1, (SELECT email FROM customers WHERE id = 1)), (2, (SELECT name FROM customers WHERE id = 1))", None),
        ("INSERT ON CONFLICT DO UPDATE",
         "INSERT INTO customers (email, name) VALUES (%s, 'Countess') ON CONFLICT (email) DO UPDATE"
         " SET name = excluded.name, visits = customers.visits + 1 RETURNING id, email, name, visits", ["ada@example.org"]),
        ("INSERT ON CONFLICT DO NOTHING", "INSERT INTO customers (email) VALUES (%s) ON CONFLICT DO NOTHING RETURNING id",
         ["ada@example.org"]),
        ("MERGE", "MERGE INTO customers c USING (VALUES (%s)) v(e) ON c.email = v.e WHEN MATCHED THEN UPDATE"
         " SET visits = 9 WHEN NOT MATCHED THEN INSERT (email) VALUES (v.e)", ["ada@example.org"]),
        ("UPDATE", "UPDATE customers SET name = %s, visits = visits + 1 WHERE email = %s RETURNING *",
         ["Ada Lovelace", "ada@example.org"]),
        ("UPDATE from a column", "UPDATE customers SET name = name WHERE id < 4", None),
        ("UPDATE cascades to orders", "UPDATE customers SET email = %s WHERE email = %s RETURNING email",
         ["chang@example.cn", "嫦娥@example.cn"]),
        ("it did", "SELECT id, email, item FROM orders ORDER BY id", None),
        ("DELETE", "DELETE FROM orders WHERE email = %s RETURNING email", ["chang@example.cn"]),
        ("data-modifying WITH", "WITH d AS (UPDATE customers SET visits = 0 RETURNING email, name)"
         " SELECT * FROM d ORDER BY name", None),
]:
    @twins.same(name)
    def _(db, sql=sql, parameters=parameters):
        return run(db, sql, parameters)


@twins.same("whole row")
def _(db):
    return run(db, "SELECT c FROM customers c ORDER BY id")[0]


@twins.same("a prepared statement in SQL")
def _(db):
    run(db, "PREPARE q (text) AS SELECT id, email, name FROM customers WHERE email = $1")
    result = [run(db, "EXECUTE q (%s)", [row[0]]) for row in CUSTOMERS for _ in range(2)]
    run(db, "DEALLOCATE q")
    return result


def sqlstate(db, sql, parameters=None):
    with db.cursor() as cursor:
        cursor.execute("SAVEPOINT s")
        try:
            cursor.execute(sql, parameters)
            return None
        except psycopg2.Error as error:
            cursor.execute("ROLLBACK TO s")
            return type(error).__name__, error.pgcode, error.diag.constraint_name, error.diag.table_name


@twins.same("errors")
def _(db):
    return [
        sqlstate(db, "INSERT INTO customers (email) VALUES (%s)", ["ada@example.org"]),
        sqlstate(db, "INSERT INTO orders (email, item) VALUES (%s, 'x')", ["nobody@example.org"]),
        sqlstate(db, "DELETE FROM customers WHERE email = %s", ["ada@example.org"]),
        sqlstate(db, "INSERT INTO orders (email) VALUES (%s)", ["ada@example.org"]),
        sqlstate(db, "SELECT email + 1 FROM customers"),
        run(db, "SELECT count(*) FROM customers"),
    ]


@twins.same("COPY FROM STDIN, text and CSV")
def _(db):
    with db.cursor() as cursor:
        cursor.copy_expert("COPY customers (email, name, card) FROM STDIN",
                           io.StringIO("copy1@example.org\tCo\\tpy\t4111111111111111\n\\N\t\\N\t\\N\n"))
        count = cursor.rowcount, cursor.statusmessage
        cursor.copy_expert("COPY customers (email, name, card) FROM STDIN (FORMAT csv, HEADER)",
                           io.StringIO('e,n,c\ncopy2@example.org,"a ""b"", c",4111-1111-1111-1111\n'))
        cursor.copy_from(io.StringIO("copy3@example.org|x\n"), "customers", sep="|", columns=("email", "name"))
        return count, cursor.rowcount, run(db, "SELECT * FROM customers WHERE email LIKE 'copy%%' ORDER BY id")


@twins.same("COPY (query) TO STDOUT, text, CSV and binary")
def _(db):
    out = []
    with db.cursor() as cursor:
        for form in ("", "(FORMAT csv, HEADER, FORCE_QUOTE *)", "(FORMAT binary)"):
            file = io.BytesIO()
            cursor.copy_expert(f"COPY (SELECT * FROM customers ORDER BY id) TO STDOUT {form}", file)
            out += [file.getvalue(), cursor.rowcount, cursor.statusmessage]
    db.commit()
    ok(b"ada@example.org" in out[0] and b"sdes1:" not in out[0], "    it has the values", repr(out[0]))
    return out


@twins.same("a named cursor")
def _(db):
    result = []
    for scrollable in (False, True):
        with db.cursor("c", scrollable=scrollable) as cursor:
            cursor.itersize = 2
            cursor.execute("SELECT id, email, name FROM customers ORDER BY email, id")
            result += [cursor.fetchone(), cursor.fetchmany(3), [tuple(c) for c in cursor.description], cursor.rowcount]
            if scrollable:
                cursor.scroll(1, mode="absolute")
                result.append(cursor.fetchone())
                cursor.scroll(-1)
            result.append(list(cursor))
    return result


@twins.same("a named cursor WITH HOLD")
def _(db):
    with db.cursor("held", withhold=True) as cursor:
        cursor.execute("SELECT email, card FROM customers ORDER BY email DESC NULLS LAST, id")
        first = cursor.fetchmany(2)
        db.commit()
        result = first, cursor.fetchall(), [tuple(c) for c in cursor.description]
    db.commit()
    return result


@twins.same("DECLARE and FETCH as statements, UPDATE WHERE CURRENT OF")
def _(db):
    run(db, "DECLARE c CURSOR FOR SELECT id, email FROM customers WHERE id = 2 FOR UPDATE")
    result = [run(db, "FETCH 1 FROM c"),
              run(db, "UPDATE customers SET name = 'Current' WHERE CURRENT OF c RETURNING email, name")]
    db.rollback()
    return result


@twins.same("RealDictCursor, DictCursor, NamedTupleCursor")
def _(db):
    result = []
    for factory in (psycopg2.extras.RealDictCursor, psycopg2.extras.DictCursor, psycopg2.extras.NamedTupleCursor):
        with db.cursor(cursor_factory=factory) as cursor:
            cursor.execute("SELECT id, email, name AS who FROM customers WHERE email = %s", ["ada@example.org"])
            row = cursor.fetchone()
            result.append(row._asdict() if hasattr(row, "_asdict") else dict(row))
    return result


@twins.same("autocommit, mogrify with a value that was read")
def _(db):
    db.rollback()
    db.autocommit = True
    try:
        (value,) = run(db, "SELECT name FROM customers WHERE id = 2")[0][0]
        with db.cursor() as cursor:
            statement = cursor.mogrify("SELECT id FROM customers WHERE name = %s", [value])
        return statement, run(db, statement)
    finally:
        db.autocommit = False


def query(role, sql):
    with connect("secret", role) as connection:
        try:
            return [list(row) for row in run(connection, sql)[0]]
        except psycopg2.Error as error:
            return error.pgcode


other_roles(query)
done()
