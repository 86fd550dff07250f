"""growth: the cost of a value in tables of 10,000 rows and more."""
from harness import Cost, Session, say

LEAST_ROWS = 200000  # read or written by one measurement: small tables are, several times


def run(bench):
    session = Session()
    kinds = bench.some("plain", "sdes")
    for kind in kinds:
        bench.create_table(session, kind, "growth_" + kind.name)
    rows = 10000
    while rows <= bench.growth:
        measure(bench, session, kinds, rows)
        rows *= 10
    for kind in kinds:
        session.run(f"DROP TABLE growth_{kind.name}")
    session.close()


def measure(bench, session, kinds, rows):
    times = max(LEAST_ROWS // rows, 1)
    values = rows * times * 2
    for number in bench.all_rounds():
        took = []
        for kind in kinds:
            loaded, scanned = Cost(0, 0), Cost(0, 0)
            for _ in range(times):
                loaded += load(bench, session, kind, rows)
            session.scan(kind, "growth_" + kind.name, rows)  # hint bits, and a warm cache
            for _ in range(times):
                scanned += session.scan(kind, "growth_" + kind.name, rows)
            for what, cost in (("load", loaded), ("scan", scanned)):
                bench.record_cost("growth", what, kind.name, rows, number, cost, values)
            took.append(f"{kind.name} {loaded.cpu / values * 1e9:.0f} and {scanned.cpu / values * 1e9:.0f}")
        say(f"{rows} rows, {number}. load and scan, ns of processor time a value:", ", ".join(took))


def load(bench, session, kind, rows):
    session.run(f"TRUNCATE growth_{kind.name}")
    return session.timed(kind.insert("growth_" + kind.name, bench.source(rows)))
