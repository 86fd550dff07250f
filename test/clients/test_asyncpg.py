#!/usr/bin/python3
"""asyncpg: it prepares every statement, asks for binary, and looks types up that it
does not know."""
import asyncio
import io
import asyncpg
from twins import CUSTOMERS, TEXT, TEXT_ARRAY, Twins, done, equal, new_database, other_roles

DATABASE = new_database("asyncpg")
COLUMNS = "email, name, card, city"
loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)


async def open_connection(twin, role="oms"):
    return await asyncpg.connect(database=DATABASE, user=role, server_settings={"search_path": twin})


async def recover(_):
    return None


def types(statement):
    return [(a.name, a.type.oid, a.type.name, a.type.kind, a.type.schema) for a in statement.get_attributes()]


def rows(records):
    return [dict(record) for record in records]


async def run(db, sql, *parameters):
    """Rows, types of the result, command tag."""
    statement = await db.prepare(sql)
    return rows(await statement.fetch(*parameters)), types(statement), statement.get_statusmsg()


twins = Twins(lambda twin: loop.run_until_complete(open_connection(twin)), recover)


@twins.same("fetch: INSERT RETURNING")
async def _(db):
    return [await run(db, f"INSERT INTO customers ({COLUMNS}) VALUES ($1, $2, $3, $4) RETURNING *", *row)
            for row in CUSTOMERS[:3]]


@twins.same("executemany", nonempty=False)
async def _(db):
    await db.executemany("INSERT INTO orders (email, item) VALUES ($1, $2)", [(None, "none")])
    return await db.executemany(f"INSERT INTO customers ({COLUMNS}) VALUES ($1, $2, $3, $4)", CUSTOMERS[3:])


@twins.same("copy_records_to_table")
async def _(db):
    return await db.copy_records_to_table("orders", columns=["email", "item"], records=[
        (row[0], f"book {n}") for n, row in enumerate(CUSTOMERS)])


@twins.same("SELECT *: values, types, attributes")
async def _(db):
    result = await run(db, "SELECT * FROM customers ORDER BY id")
    equal([tuple(row.values())[1:5] for row in result[0]], CUSTOMERS, "    all is there as it was written")
    equal([column[1:3] for column in result[1][1:5]], [(TEXT, "text")] * 4, "    and described as text")
    return result


@twins.same("fetchrow, fetchval, execute")
async def _(db):
    return (dict(await db.fetchrow("SELECT * FROM customers WHERE email = $1", "ada@example.org")),
            await db.fetchval("SELECT name FROM customers WHERE card = $1", "378282246310005"),
            await db.execute("UPDATE customers SET name = $1 WHERE email = $2", "Ada L.", "ada@example.org"),
            await db.execute("UPDATE customers SET name = 'Ada Lovelace' WHERE email = 'ada@example.org'"))


for sql, parameters in [
        ("SELECT id, name FROM customers WHERE $1 = email", ["ada@example.org"]),
        ("SELECT id FROM customers WHERE name = $1", ["Ada Lovelace"]),
        ("SELECT id FROM customers WHERE email = $1", [None]),
        ("SELECT id FROM customers WHERE email <> $1 ORDER BY id", ["ada@example.org"]),
        ("SELECT id FROM customers WHERE email IN ($1, $2) ORDER BY id", ["ada@example.org", "嫦娥@example.cn"]),
        ("SELECT id FROM customers WHERE email = ANY($1) ORDER BY id", [["ada@example.org", "嫦娥@example.cn", None]]),
        ("SELECT id FROM customers WHERE email = ANY($1::text[]) ORDER BY id", [["ada@example.org", "100%_off@example.org"]]),
        ("SELECT id FROM customers WHERE email <> ALL($1) ORDER BY id", [["ada@example.org"]]),
        ("SELECT email FROM customers WHERE email LIKE $1 ORDER BY id", ["%.org"]),
        ("SELECT lower(email) FROM customers WHERE lower(email) = $1", ["long@example.org"]),
        ("SELECT lower(email) FROM customers WHERE lower(email) = lower($1)", ["LONG@example.org"]),
        ("SELECT email, name FROM customers ORDER BY email DESC, id", []),
        ("SELECT DISTINCT email FROM customers ORDER BY email", []),
        ("SELECT o.item, c.name, o.email FROM orders o JOIN customers c USING (email) WHERE o.email = $1", ["ada@example.org"]),
        ("SELECT coalesce(email, name, $1) FROM customers ORDER BY id", ["?"]),
        ("SELECT email || $1 FROM customers WHERE id = 1", ["!"]),
        ("SELECT coalesce(email, $1) AS a, $1 AS b, ARRAY[email, $1] AS c FROM customers WHERE email <> $1 OR email IS NULL"
         " ORDER BY id", ["ada@example.org"]),
        ("SELECT array_agg(email ORDER BY id), array_agg(name ORDER BY id) FROM customers", []),
        ("SELECT ARRAY[email, card::text] FROM customers ORDER BY id", []),
        ("SELECT row_to_json(c), jsonb_build_object('n', name) FROM customers c ORDER BY id", []),
        ("SELECT email FROM customers UNION ALL SELECT email FROM orders ORDER BY 1", []),
        ("INSERT INTO customers (email, visits) VALUES ($1, 1) ON CONFLICT (email) DO UPDATE"
         " SET visits = customers.visits + 1 RETURNING id, email, visits", ["ada@example.org"]),
        ("UPDATE customers SET name = $1, card = coalesce($2, card) WHERE email = $3 RETURNING *",
         ["Ada Lovelace", None, "ada@example.org"]),
        ("INSERT INTO customers (email) SELECT unnest($1::text[]) RETURNING email", [["u1@example.org", "u2@example.org"]]),
        ("DELETE FROM customers WHERE email = ANY($1) RETURNING email", [["u1@example.org", "u2@example.org"]]),
]:
    @twins.same(sql)
    async def _(db, sql=sql, parameters=parameters):
        return await run(db, sql, *parameters)


@twins.same("arrays are arrays of text")
async def _(db):
    result = types(await db.prepare("SELECT array_agg(email), array_agg(card) FROM customers"))
    equal([column[1] for column in result], [TEXT_ARRAY] * 2, "    by their type")
    return result


@twins.same("a prepared statement, before and after ALTER TABLE and ANALYZE")
async def _(db):
    twin = await db.fetchval("SHOW search_path")
    owner = await open_connection(twin, "postgres")
    statement = await db.prepare("SELECT email, item FROM orders WHERE email = $1")
    choice = await db.prepare("SELECT coalesce(item, email, $1), coalesce(email, $1) FROM orders WHERE email = $1 OR email IS NULL")
    result = [types(statement), types(choice), [p.name for p in choice.get_parameters()]]
    for change in ("SELECT 1", "ALTER TABLE orders ADD note text", "ANALYZE orders", "ALTER TABLE orders DROP note"):
        await owner.execute(change)
        for row in CUSTOMERS:
            result += [rows(await statement.fetch(row[0])), rows(await choice.fetch(row[0]))]
    await owner.close()
    return result


@twins.same("copy_to_table and copy_from_query, text, CSV and binary")
async def _(db):
    result = [await db.copy_to_table("customers", source=io.BytesIO(b"copy1@example.org,Copy,4111111111111111\n"),
                                     columns=["email", "name", "card"], format="csv"),
              await db.copy_records_to_table("customers", columns=["email", "name", "card"],
                                             records=[("copy2@example.org", "Köpy", "5555-5555-5555-4444")])]
    for form in ("text", "csv", "binary"):
        out = io.BytesIO()
        # It pastes parameters in by quote_literal($1::TYPE), TYPE being what the server took the parameter for.
        result.append(await db.copy_from_query("SELECT * FROM customers WHERE email <> $1::text ORDER BY id",
                                               "ada@example.org", output=out, format=form))
        result.append(out.getvalue())
    return result + [await run(db, "SELECT * FROM customers WHERE email LIKE 'copy%' ORDER BY id")]


@twins.same("cursors")
async def _(db):
    async with db.transaction():
        iterated = [dict(record) async for record in db.cursor("SELECT id, email FROM customers ORDER BY email, id", prefetch=2)]
        cursor = await db.cursor("SELECT email, name FROM customers WHERE id > $1 ORDER BY id", 1)
        fetched = [dict(await cursor.fetchrow()), rows(await cursor.fetch(2)), await cursor.forward(1), rows(await cursor.fetch(9))]
    return iterated, fetched


@twins.same("a transaction that fails")
async def _(db):
    result = []
    for sql, value in [("INSERT INTO customers (email) VALUES ($1)", "ada@example.org"),
                       ("INSERT INTO orders (email, item) VALUES ($1, 'x')", "nobody@example.org"),
                       ("DELETE FROM customers WHERE email = $1", "ada@example.org")]:
        try:
            async with db.transaction():
                await db.execute("UPDATE customers SET name = 'lost' WHERE email = 'ada@example.org'")
                await db.execute(sql, value)
        except asyncpg.PostgresError as error:
            result.append((type(error).__name__, error.sqlstate, error.constraint_name))
    return result, await run(db, "SELECT name FROM customers WHERE email = $1", "ada@example.org")


@twins.same("a pool, used by many at once")
async def _(db):
    twin = await db.fetchval("SHOW search_path")
    async with asyncpg.create_pool(database=DATABASE, user="oms", server_settings={"search_path": twin},
                                   min_size=2, max_size=2) as pool:
        found = await asyncio.gather(*(pool.fetch("SELECT id, email, name FROM customers WHERE email = $1", row[0])
                                       for row in CUSTOMERS * 5))
    return [rows(records) for records in found]


def query(role, sql):
    async def go():
        connection = await open_connection("secret", role)
        try:
            return [list(record.values()) for record in await connection.fetch(sql)]
        except asyncpg.PostgresError as error:
            return error.sqlstate
        finally:
            await connection.close()

    return loop.run_until_complete(go())


other_roles(query)
done()
