"""What the parts of the benchmark share: sessions whose costs are read from the kernel,
pgbench, the figures, and the tables that are measured.

Each figure is taken in every round, by all kinds in turn, so that what else the machine
does meets all of them; what is compared is compared within a round (report.py).
"""
import csv
import os
import subprocess
import sys
import time
from dataclasses import dataclass

import psycopg2
import psycopg2.extensions

from kinds import EMAIL, KINDS, LENGTH, NOTE

DATABASE = "bench"
PATIENCE = 20  # seconds
LEAST_ROWS = 2000  # fewer would be read without the index
SCATTER = 7919  # a prime: rows are not in the order of their addresses

# numeric is more exact than anything that is measured
psycopg2.extensions.register_type(psycopg2.extensions.new_type(
    psycopg2.extensions.DECIMAL.values, "numeric as float", lambda text, cursor: None if text is None else float(text)))


def say(*words):
    print("   ", *words, flush=True)


class Failure(Exception):
    """A figure that would not be of what it is said to be."""


def check(holds, what):
    if not holds:
        raise Failure(what)


@dataclass
class Cost:
    wall: float  # seconds
    cpu: float  # seconds that the backend had a processor

    def __add__(self, other):
        return Cost(self.wall + other.wall, self.cpu + other.cpu)


def processor_time(pid):
    """Seconds; none, once the process has ended."""
    try:
        with open(f"/proc/{pid}/schedstat") as schedstat:
            return int(schedstat.read().split()[0]) / 1e9
    except FileNotFoundError:
        return 0


class Session:
    """A connection in autocommit mode. Nothing runs in parallel, so that its backend's
    processor time is that of the statement."""

    def __init__(self, user="app"):
        self.connection = psycopg2.connect(dbname=DATABASE, user=user, options="-c max_parallel_workers_per_gather=0")
        self.connection.autocommit = True
        self.cursor = self.connection.cursor()
        self.pid = self.connection.get_backend_pid()

    def run(self, statement):
        self.cursor.execute(statement)

    def rows(self, statement):
        self.cursor.execute(statement)
        return self.cursor.fetchall()

    def row(self, statement):
        self.cursor.execute(statement)
        return self.cursor.fetchone()

    def value(self, statement):
        return self.row(statement)[0]

    def timed(self, statement):
        cpu, began = processor_time(self.pid), time.perf_counter()
        self.cursor.execute(statement)
        return Cost(time.perf_counter() - began, processor_time(self.pid) - cpu)

    def scan(self, kind, table, rows):
        """The cost of opening both values of all rows."""
        lengths = (f"sum(length({kind.open.format(column)}))" for column in ("note", "email"))
        cost = self.timed(f"SELECT {', '.join(lengths)} FROM {table}")
        check(self.cursor.fetchone() == (rows * LENGTH, rows * LENGTH), f"{table}: the scan has not opened all values")
        return cost

    def plan(self, statement):
        return "\n".join(line for line, in self.rows("EXPLAIN " + statement))

    def memory(self):
        """Resident bytes without shared buffers: those that the backend has alone, and those of programs and libraries."""
        with open(f"/proc/{self.pid}/status") as status:
            fields = dict(line.split(":", 1) for line in status)
        return [int(fields[f].split()[0]) * 1024 for f in ("RssAnon", "RssFile")]

    def close(self):
        self.connection.close()


class Bench:
    """One run: its options, its server and its figures."""

    def __init__(self, options, results, out):
        self.rows, self.rounds, self.seconds, self.growth = options.rows, options.rounds, options.seconds, options.growth
        self.quick = options.quick
        self.total = max(self.rows, self.growth)  # rows of the source
        self.names = options.kinds.split()
        self.programs, self.files, self.results = os.environ["BENCH_PROGRAMS"], os.environ["BENCH_FILES"], results
        self.out = csv.writer(out, lineterminator="\n")
        self.out.writerow(("part", "what", "kind", "size", "round", "metric", "value"))
        self.kinds, self.loaded = [], set()
        self.admin = None

    def record(self, part, what, kind, size, number, **metrics):
        for metric, value in metrics.items():
            self.out.writerow((part, what, kind, size, number, metric, f"{value:.9g}"))

    def note(self, what, text):
        self.out.writerow(("machine", what, "", 0, 0, "text", text))

    def record_cost(self, part, what, kind, size, number, cost, divisor):
        """Nanoseconds per value or whatever the cost is divided by."""
        self.record(part, what, kind, size, number, wall_ns=cost.wall / divisor * 1e9, cpu_ns=cost.cpu / divisor * 1e9)

    def all_rounds(self):
        return range(1, self.rounds + 1)

    def some(self, *names):
        return [k for k in self.kinds if k.name in names]

    def rows_of(self, kind):
        return min(max(self.rows // kind.fraction, LEAST_ROWS), self.rows)

    # The server ----------------------------------------------------------------------

    def set_up(self):
        admin = psycopg2.connect(dbname="postgres", user="postgres")
        admin.autocommit = True
        admin.cursor().execute(f"CREATE DATABASE {DATABASE}")
        admin.close()
        self.admin = Session("postgres")
        self.admin.run("""
            CREATE EXTENSION sdes; CREATE ROLE app LOGIN; GRANT CREATE ON SCHEMA public TO app;
            GRANT pg_read_server_files TO app;
            GRANT EXECUTE ON FUNCTION pg_read_file(text) TO app""")
        for function in ("copy_in(text, integer) RETURNS bytea", "copy_out(bytea) RETURNS text"):
            self.admin.run(f"CREATE FUNCTION {function} LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS '{self.path('copies')}'")
        wanted = [k for k in KINDS if not self.names or k.name in self.names or k.name == "plain"]
        self.kinds = [k for k in wanted if self.available(k)]
        for kind in self.kinds:
            if kind.is_sdes:
                self.create_bucket(kind.bucket, kind.mode, kind.audit)
        self.make_source()

    def available(self, kind):
        if not kind.extension:
            return True
        if self.admin.row(f"SELECT FROM pg_available_extensions WHERE name = '{kind.extension}'") is None:
            say(f"{kind.title}: not installed")
            self.record("setup", "missing", kind.name, 0, 0, missing=1)
            return False
        self.admin.run(f"CREATE EXTENSION IF NOT EXISTS {kind.extension}")
        if kind.extension == "pgsodium":
            self.admin.run("GRANT pgsodium_keymaker TO app")
            # They want settings that there are only with pgsodium preloaded, and are for its masks.
            for trigger, in self.admin.rows("SELECT evtname FROM pg_event_trigger WHERE evtname LIKE 'pgsodium%'"):
                self.admin.run(f"ALTER EVENT TRIGGER {trigger} DISABLE")
        return True

    def create_bucket(self, name, mode, audit):
        self.admin.run(f"""SELECT sdes.create_bucket('{name}', mode => '{mode}'), sdes.set_audit('{name}', '{audit}'),
            sdes.grant_access('{name}', 'app', '{{encrypt,search,decrypt}}')""")

    def configure(self, name, value):
        """Sets a parameter of the server and waits until a new session sees it."""
        self.admin.run(f"ALTER SYSTEM SET {name} = '{value}'")
        self.admin.run("SELECT pg_reload_conf()")
        while self.admin.value(f"SHOW {name}") != str(value):
            time.sleep(0.1)

    def quiet(self):
        """Waits until the server has nothing else to do: what one measurement leaves behind, such as records of the audit
        that go into their table, must not slow the next one."""
        def busy():
            others = self.admin.rows("SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
            return sum(processor_time(pid) for pid, in others)

        limit, before = time.monotonic() + PATIENCE, busy()
        while time.monotonic() < limit:
            time.sleep(0.1)
            now = busy()
            if abs(now - before) < 0.005:
                return
            before = now
        say(f"the server is not idle after {PATIENCE} s")

    def make_source(self):
        app = Session()
        app.run(f"""CREATE TABLE source AS SELECT i::bigint AS id, {NOTE.format('i')} AS note,
            {self.address('i')} AS email FROM generate_series(1, {self.total}) i""")
        check(app.row("SELECT count(DISTINCT email), sum(length(note)), sum(length(email)) FROM source")
              == (self.total, self.total * LENGTH, self.total * LENGTH), "the source has not the rows that it should have")
        app.close()
        self.admin.run("VACUUM ANALYZE source")

    def source(self, rows):
        """All of it, or its first rows."""
        return "source" if rows == self.total else f"(SELECT * FROM source LIMIT {rows})"

    def address(self, number):
        """The address of the row with that number."""
        return EMAIL.format(f"({number})::bigint * {SCATTER} % {self.total}")

    # The tables ----------------------------------------------------------------------

    def create_table(self, session, kind, table):
        session.run(f"DROP TABLE IF EXISTS {table}")
        session.run(f"CREATE TABLE {table} (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, {kind.columns})")

    def index(self, session, kind, table):
        """Nothing, where the addresses cannot be looked up."""
        if not kind.searchable:
            return None
        return session.timed(f"CREATE INDEX {table}_email ON {table} ({kind.indexed})")

    def settle(self, table):
        """So that every measurement begins with the same: no dead rows, and every page to be logged whole."""
        self.admin.run(f"VACUUM ANALYZE {table}")
        self.admin.run("CHECKPOINT")

    def need(self, kinds):
        """Sees that the kinds' tables are there, if no part before has loaded them."""
        missing = [k for k in kinds if k.name not in self.loaded]
        session = Session() if missing else None
        for kind in missing:
            say(f"loading {self.rows_of(kind)} rows of {kind.title}")
            self.create_table(session, kind, kind.name)
            session.run(kind.insert(kind.name, self.source(self.rows_of(kind))))
            self.finish(session, kind)
        if missing:
            session.close()

    def finish(self, session, kind):
        """Once its table is loaded."""
        self.index(session, kind, kind.name)
        self.settle(kind.name)
        self.loaded.add(kind.name)

    # Programs ------------------------------------------------------------------------

    def program(self, name, *arguments, text=None):
        done = subprocess.run([os.path.join(self.programs, name), *arguments], input=text, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if done.returncode != 0:
            sys.stderr.write(done.stderr)
            raise Failure(f"{name} failed")
        return done.stdout

    def path(self, name):
        """A file that both the server and the programs may use."""
        return os.path.join(self.files, name)
