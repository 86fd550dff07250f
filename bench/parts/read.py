"""scan, export, lookup: what it costs to read many values."""
import os

from harness import Cost, LENGTH, Session, check, say

LOOKUPS = 20000  # in a statement
LEAST_SECONDS = 0.5
QUICK_SECONDS = 0.05


def in_rounds(bench, part, what, kinds, measure):
    """Each kind in turn. Caches are warm, since the tables were loaded and vacuumed by this run."""
    for number in bench.all_rounds():
        took = []
        for kind in kinds:
            bench.quiet()
            cost, count = measure(kind)
            while cost.wall < (QUICK_SECONDS if bench.quick else LEAST_SECONDS):
                more, again = measure(kind)
                cost, count = cost + more, count + again
            took.append(f"{kind.name} {cost.wall / count * 1e6:.2f}")
            bench.record_cost(part, what, kind.name, bench.rows_of(kind), number, cost, count)
        say(f"{number}. {what}, µs a row:", ", ".join(took))


def scan(bench):
    bench.need(bench.kinds)
    session = Session()

    def measure(kind):
        rows = bench.rows_of(kind)
        return session.scan(kind, kind.name, rows), rows

    in_rounds(bench, "scan", "scan", bench.kinds, measure)
    session.close()


# Export ------------------------------------------------------------------------------


def export(bench):
    """By psql into a file: rows as COPY sends them, and those of a SELECT."""
    bench.need(bench.kinds)
    path, expected = os.path.join(bench.results, "export"), {}

    def measure(kind, statement):
        cost = by_psql(bench, statement.format(f"SELECT id, {kind.select(('note', 'email'))} FROM {kind.name}"), path)
        with open(path, "rb") as file:
            text = file.read()
        os.unlink(path)
        if kind.name == "plain":
            expected[statement] = text
        # The plain table has more rows than some others.
        check(expected[statement].startswith(text) and text.count(b"\n") == bench.rows_of(kind),
              f"{kind.name}: the export is not what the plain table has")
        return cost, bench.rows_of(kind)

    for what, statement in (("copy", "COPY ({}) TO STDOUT"), ("psql", "{}")):
        in_rounds(bench, "export", what, bench.kinds, lambda kind: measure(kind, statement))


def by_psql(bench, statement, path):
    """The time is taken before and after, in the server."""
    now = "SELECT extract(epoch FROM clock_timestamp()), split_part(pg_read_file('/proc/self/schedstat'), ' ', 1);"
    lines = bench.program("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "app", "-d", "bench", text=f"""
        SET max_parallel_workers_per_gather = 0;
        {now}
        \\o {path}
        {statement};
        \\o
        {now}""").splitlines()
    (began, cpu_began), (ended, cpu_ended) = ([float(n) for n in line.split("|")] for line in lines)
    return Cost(ended - began, (cpu_ended - cpu_began) / 1e9)


# Equality ----------------------------------------------------------------------------


def lookup(bench):
    """Rows found by the index on the addresses, many in one statement."""
    bench.need(bench.kinds)
    session = Session()
    session.run("SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_seqscan = off; SET enable_memoize = off")

    def measure(kind):
        rows = bench.rows_of(kind)
        count = max(LOOKUPS * min(rows, 100000) // 100000, 100)
        statement = (f"SELECT count(*), sum(length({kind.open.format('t.note')})) FROM generate_series(1, {count}) i"
                     f" JOIN {kind.name} t ON {kind.equals(bench.address(f'i * 31::bigint % {rows} + 1'))}")
        check(f"Index Scan using {kind.name}_email" in session.plan(statement),
              f"{kind.name}: the lookup does not use the index")
        cost = session.timed(statement)
        check(session.cursor.fetchone() == (count, count * LENGTH), f"{kind.name}: not all rows were found")
        return cost, count

    in_rounds(bench, "lookup", "lookup", [k for k in bench.kinds if k.searchable], measure)
    session.close()
