#!/usr/bin/python3
"""PgBouncer in transaction mode: many clients of three drivers share two servers. What
a transaction sees depends on its own role only, never on who had the server before.

One pool each for the roles oms, support and stranger, and one of a role that becomes
any of them for a transaction (SET LOCAL ROLE), as frameworks do.
"""
import asyncio
import os
import random
import subprocess
import tempfile
import threading
import time
import asyncpg
import psycopg
import psycopg2
from twins import MASKS, TWINS, done, equal, new_database, ok

DATABASE = new_database("pgbouncer")
PORT = 6432  # of a socket in a folder of our own
TRANSACTIONS = 40
SERVERS = 2
ROW = ("ada@example.org", "Ada Lovelace", "4111 1111 1111 1111")
ARMOR = "sdes1:"


def as_owner(sql):
    with psycopg2.connect(dbname=DATABASE) as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall() if cursor.description else None


class Bouncer:
    """PgBouncer itself, in a folder that is gone afterwards."""

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()  # pylint: disable=consider-using-with
        name = self.folder.name
        server = f"host={os.environ['PGHOST']} port={os.environ['PGPORT']} dbname={DATABASE}"
        with open(f"{name}/users", "w", encoding="ascii") as file:
            file.writelines(f'"{role}" ""\n' for role in ("oms", "support", "stranger", "app"))
        with open(f"{name}/pgbouncer.ini", "w", encoding="ascii") as file:
            file.write(f"[databases]\nshop = {server}\n[pgbouncer]\npool_mode = transaction\n"
                       f"default_pool_size = {SERVERS}\nmax_client_conn = 200\nserver_reset_query_always = 0\n"
                       f"unix_socket_dir = {name}\nlisten_port = {PORT}\nauth_type = trust\nauth_file = {name}/users\n"
                       f"logfile = {name}/log\nlog_connections = 0\nlog_disconnections = 0\n")
        self.process = subprocess.Popen(  # pylint: disable=consider-using-with
            ["/usr/sbin/pgbouncer", "-q", f"{name}/pgbouncer.ini"], stderr=subprocess.DEVNULL)
        end = time.monotonic() + 10
        while not os.path.exists(f"{name}/.s.PGSQL.{PORT}"):
            if time.monotonic() > end or self.process.poll() is not None:
                with open(f"{name}/log", encoding="utf-8") as log:
                    raise RuntimeError("PgBouncer did not start: " + log.read())
            time.sleep(0.02)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.folder.cleanup()


# ---- three drivers, one interface: transaction(list of statements) gives a list of results ----
# A result is the rows as lists, or the SQLSTATE of the error that ended the transaction.

class Psycopg2:
    def __init__(self, bouncer, role):
        self.connection = psycopg2.connect(host=bouncer.folder.name, port=PORT, dbname="shop", user=role)

    def transaction(self, statements):
        results = []
        with self.connection.cursor() as cursor:
            try:
                for sql, parameters in statements:
                    cursor.execute(sql, parameters)
                    results.append([list(row) for row in cursor.fetchall()] if cursor.description else None)
                self.connection.commit()
            except psycopg2.Error as error:
                self.connection.rollback()
                results.append(error.pgcode)
        return results

    def close(self):
        self.connection.close()


class Psycopg3:
    def __init__(self, bouncer, role):
        self.connection = psycopg.connect(host=bouncer.folder.name, port=PORT, dbname="shop", user=role)
        self.connection.prepare_threshold = None

    def transaction(self, statements):
        results = []
        try:
            with self.connection.transaction():
                for sql, parameters in statements:
                    cursor = self.connection.execute(sql, parameters or None, binary=True)
                    results.append([list(row) for row in cursor.fetchall()] if cursor.description else None)
        except psycopg.Error as error:
            results.append(error.sqlstate)
        return results

    def close(self):
        self.connection.close()


class Asyncpg:
    """Has a loop of its own, in the client's thread."""

    def __init__(self, bouncer, role):
        self.loop = asyncio.new_event_loop()
        self.connection = self.loop.run_until_complete(asyncpg.connect(
            host=bouncer.folder.name, port=PORT, database="shop", user=role, statement_cache_size=0))

    async def go(self, statements):
        results = []
        try:
            async with self.connection.transaction():
                for sql, parameters in statements:
                    for n in range(len(parameters)):
                        sql = sql.replace("%s", f"${n + 1}", 1)
                    results.append([list(row.values()) for row in await self.connection.fetch(sql, *parameters)]
                                   if "RETURNING" in sql or sql.startswith("SELECT")
                                   else await self.connection.execute(sql, *parameters) and None)
        except asyncpg.PostgresError as error:
            results.append(error.sqlstate)
        return results

    def transaction(self, statements):
        return self.loop.run_until_complete(self.go(statements))

    def close(self):
        self.loop.run_until_complete(self.connection.close())
        self.loop.close()


DRIVERS = (Psycopg2, Psycopg3, Asyncpg)

# ---- what clients do ----


def writer(client, twin, number, results):
    """Its own rows, written, found, changed, rolled back, deleted."""
    dice = random.Random(number)
    for n in range(TRANSACTIONS):
        email, name = f"{number}.{dice.randrange(8)}@example.org", f"name {number} {n}"
        results.append(client.transaction([
            (f"INSERT INTO {twin}.customers (email, name, card) VALUES (%s, %s, %s) ON CONFLICT (email)"
             f" DO UPDATE SET name = excluded.name, visits = customers.visits + 1 RETURNING email, name, card, visits",
             (email, name, ROW[2])),
            (f"SELECT name, card, visits FROM {twin}.customers WHERE email = %s", (email,)),
            (f"UPDATE {twin}.customers SET name = name || %s WHERE email = %s RETURNING name", ("!", email)),
            (f"SELECT email, name FROM {twin}.customers WHERE email LIKE %s ORDER BY email DESC", (f"{number}.%",)),
            (f"INSERT INTO {twin}.orders (email, item) VALUES (%s, %s) RETURNING email, item", (email, str(n))),
        ]))
        if n % 5 == 0:  # one that fails, with its writes
            results.append(client.transaction([
                (f"UPDATE {twin}.customers SET name = %s WHERE email = %s RETURNING name", ("lost", email)),
                (f"INSERT INTO {twin}.orders (email, item) VALUES (%s, %s)", ("nobody@example.org", "lost"))]))
        results.append(client.transaction([
            (f"SELECT c.name, count(*) FROM {twin}.customers c JOIN {twin}.orders o USING (email)"
             " WHERE email = ANY(%s) GROUP BY c.name", ([email, "x"],))]))


SEEN = "SELECT email, name, card FROM secret.customers WHERE id = 1"
COMPARE = ("SELECT id FROM secret.customers WHERE email = %s", (ROW[0],))


def looks_right(role, rows):
    if role == "oms":
        return rows == [list(ROW)]
    if role == "support":
        return rows == [list(MASKS)]
    return isinstance(rows, list) and all(value.startswith(ARMOR) for value in rows[0])


def reader(client, role, number, wrong):
    """A client of one role: it always sees what that role may see."""
    for _ in range(TRANSACTIONS):
        rows, = client.transaction([(SEEN, ())])
        if not looks_right(role, rows):
            wrong.append((role, number, rows))
        compared = client.transaction([COMPARE])
        if compared != ["42501"]:
            wrong.append((role, number, compared))


def chameleon(client, number, wrong):
    """A client that is a role for a transaction, and nobody else in the next one."""
    dice = random.Random(number)
    for _ in range(TRANSACTIONS):
        role = dice.choice(("oms", "support", "stranger", None))
        rows = client.transaction([(f"SET LOCAL ROLE {role}", ()) if role else ("SET LOCAL work_mem = '4MB'", ()),
                                   (SEEN, ()), ("SELECT current_user", ())])
        if rows[-1] != [[role or "app"]] or not looks_right(role or "app", rows[1]):
            wrong.append((role, number, rows))


def together(jobs):
    """Runs each in a thread of its own; errors of the threads are returned."""
    errors = []

    def guarded(job):
        try:
            job()
        except Exception as error:  # pylint: disable=broad-except
            errors.append(f"{type(error).__name__}: {error}")

    threads = [threading.Thread(target=guarded, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def with_client(bouncer, driver, role, what, *arguments):
    def job():
        client = driver(bouncer, role)
        try:
            what(client, *arguments)
        finally:
            client.close()
    return job


as_owner("GRANT USAGE ON SCHEMA secret TO app; GRANT SELECT ON secret.customers TO app")
for twin in TWINS:
    first = psycopg2.connect(dbname=DATABASE, user="oms")
    with first, first.cursor() as cursor:
        cursor.execute(f"INSERT INTO {twin}.customers (email, name, card) VALUES (%s, %s, %s)", ROW)
    first.close()

with Bouncer() as bouncer:
    seen, wrong = {twin: [[] for _ in range(6)] for twin in TWINS}, []
    # Writers on both twins, and everybody else, at the same time.
    jobs = [with_client(bouncer, DRIVERS[n % 3], "oms", writer, twin, n, seen[twin][n]) for n in range(6) for twin in TWINS]
    jobs += [with_client(bouncer, driver, role, reader, role, n, wrong)
             for n, driver in enumerate(DRIVERS) for role in ("support", "stranger")]
    jobs += [with_client(bouncer, DRIVERS[n % 3], "app", chameleon, n, wrong) for n in range(6)]
    equal(together(jobs), [], f"{len(jobs)} clients ran to their end")
    for n in range(6):
        done_by = DRIVERS[n % 3].__name__.lower()
        equal(seen["secret"][n], seen["plain"][n], f"writer {n}, {done_by}: the same results on both twins")
        ok(len(seen["plain"][n]) == TRANSACTIONS * 2 + TRANSACTIONS // 5
           and all(r == [[["lost"]], "23503"] for r in seen["plain"][n] if isinstance(r[-1], str)),
           f"writer {n}, {done_by}: none failed but those that had to", repr([r for r in seen["plain"][n] if isinstance(r[-1], str)]))
    equal(wrong, [], "everybody saw what the role may see, whoever had the server before")
    servers = as_owner("SELECT usename::text, count(*) FROM pg_stat_activity WHERE datname = current_database()"
                       " AND usename <> current_user GROUP BY 1 ORDER BY 1")
    ok(len(servers) == 4 and all(count <= SERVERS for _, count in servers),
       f"all of that by at most {SERVERS} servers of each pool", repr(servers))

counts = [as_owner(f"SELECT (SELECT count(*) FROM {twin}.customers), (SELECT count(*) FROM {twin}.orders)") for twin in TWINS]
equal(counts[1], counts[0], "as many rows in both")
equal(counts[0][0][1], 6 * TRANSACTIONS, "and an order of each transaction")
done()
