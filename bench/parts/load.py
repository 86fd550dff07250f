"""load: rows that come by INSERT...SELECT and by COPY, the index on the addresses made
afterwards, and how large all of it is.
"""
from harness import Session, check, say


def run(bench):
    session = Session()
    for kind in bench.kinds:
        bench.create_table(session, kind, kind.name)
    for number in bench.all_rounds():
        took = []
        for kind in bench.kinds:
            cost = insert(bench, session, kind, number)
            took.append(f"{kind.name} {cost.wall / bench.rows_of(kind) * 1e6:.2f}")
            index = bench.index(session, kind, kind.name)
            if index:
                bench.record_cost("load", "index", kind.name, bench.rows_of(kind), number, index, bench.rows_of(kind))
            if number == 1:
                sizes(bench, kind)
        say(f"{number}. INSERT...SELECT, µs a row:", ", ".join(took))
        copies(bench, session, number)
    for kind in bench.kinds:
        empty(bench, session, kind)
        session.run(kind.insert(kind.name, bench.source(bench.rows_of(kind))))
        bench.finish(session, kind)
    session.close()


def empty(bench, session, kind):
    session.run(f"DROP INDEX IF EXISTS {kind.name}_email; TRUNCATE {kind.name}")
    bench.admin.run("CHECKPOINT")
    bench.quiet()


def insert(bench, session, kind, number):
    rows = bench.rows_of(kind)
    empty(bench, session, kind)
    began = bench.admin.value("SELECT pg_current_wal_insert_lsn()")
    cost = session.timed(kind.insert(kind.name, bench.source(rows)))
    check(session.cursor.rowcount == rows, f"{kind.name}: not all rows were stored")
    wal = bench.admin.value(f"SELECT pg_current_wal_insert_lsn() - '{began}'")
    bench.record_cost("load", "insert", kind.name, rows, number, cost, rows)
    bench.record("size", "wal", kind.name, rows, number, bytes=wal / rows)
    return cost


def sizes(bench, kind):
    """Bytes per row of the table and its index, and per value."""
    rows = bench.rows_of(kind)
    heap, index, note, email = bench.admin.row(
        f"""SELECT pg_relation_size('{kind.name}'), pg_relation_size(to_regclass('{kind.name}_email')),
        (SELECT avg(pg_column_size(note)) FROM {kind.name}), (SELECT avg(pg_column_size(email)) FROM {kind.name})""")
    bench.record("size", "heap", kind.name, rows, 1, bytes=heap / rows)
    bench.record("size", "index", kind.name, rows, 1, bytes=(index or 0) / rows)
    bench.record("size", "note", kind.name, rows, 1, bytes=note)
    bench.record("size", "email", kind.name, rows, 1, bytes=email)


def copies(bench, session, number):
    """Peers have no COPY: their values are made by expressions."""
    took = []
    for kind in bench.kinds:
        if not (kind.is_sdes or kind.name == "plain"):
            continue
        rows = bench.rows_of(kind)
        file = bench.path(f"rows-{rows}")
        if number == 1:
            bench.admin.run(f"COPY (SELECT * FROM source LIMIT {rows}) TO '{file}'")
        empty(bench, session, kind)
        cost = session.timed(f"COPY {kind.name} (id, note, email) FROM '{file}'")
        check(session.cursor.rowcount == rows, f"{kind.name}: not all rows were copied")
        bench.record_cost("load", "copy", kind.name, rows, number, cost, rows)
        took.append(f"{kind.name} {cost.wall / rows * 1e6:.2f}")
    say(f"{number}. COPY, µs a row:", ", ".join(took))
