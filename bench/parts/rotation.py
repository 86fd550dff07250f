"""rotation: how fast values are re-encrypted, beside an UPDATE in the same steps.

Of four tables: "pairs" has the rows of the other parts, the rest (schema.sql) is partitioned, has values out of
line, and keys that are encrypted. Their twins have columns of the same stored size; "pairs" has a plain one, too.
"""
import time

from harness import Session, check, say

UPDATES = {
    "pairs": "note = other(note), email = other(email)",
    "parts": "secret = other(secret)",
    "longs": "secret = other(secret)",
    "keyed": "number = other(number), mail = other(mail), parent = other(parent)",
}
LOOK_EVERY = 0.5  # seconds


def rows_of(bench):
    """Of all but "pairs", half as many together."""
    others = max(bench.rows // 2, 1000)
    return {"pairs": bench.rows, "parts": others * 60 // 100, "longs": others * 5 // 100, "keyed": others * 35 // 100}


def load(bench):
    if "rotation" in bench.loaded:
        return
    rows = rows_of(bench)
    say("loading", ", ".join(f"{n} rows of {table}" for table, n in rows.items()))
    variables = [argument for table, n in rows.items() for argument in ("-v", f"{table}={n}")]
    bench.program("psql", "-X", "-q", "-U", "postgres", "-d", "bench", *variables, "-f", "bench/schema.sql")
    bench.loaded.add("rotation")
    for table in rows:
        full = size(bench, table), size(bench, table + "_twin")
        check(max(full) < min(full) * 1.03, f"{table} and its twin are not of the same size: {full}")


def size(bench, table):
    return bench.admin.value(f"SELECT sum(pg_table_size(part)) FROM parts_of('{table}') part")


def run(bench):
    load(bench)
    bench.configure("sdes.rotation_share", 100)
    session = Session()
    rows = rows_of(bench)
    for number in bench.all_rounds():
        for table in UPDATES:
            for twin in ("plain", "twin") if table == "pairs" else ("twin",):
                measured(bench, f"{table}_{twin}", table, twin, number, lambda name: update(bench, session, name, table))
            took = measured(bench, table, table, "sdes", number, lambda name: rotate(bench, number, table))
            say(f"{number}. {table}: {rows[table] / took:.0f} rows/s re-encrypted")
    session.close()


def measured(bench, name, table, kind, number, change):
    """Seconds that a change of all rows takes, once there is nothing but live rows; and how much larger the table and the
    WAL are then."""
    bench.admin.run(f"VACUUM (FULL, ANALYZE) {name}")
    bench.admin.run("CHECKPOINT")
    before, began = size(bench, name), bench.admin.value("SELECT pg_current_wal_insert_lsn()")
    took = change(name)
    wal = bench.admin.value(f"SELECT pg_current_wal_insert_lsn() - '{began}'")
    rows = rows_of(bench)[table]
    bench.record("rotation", table, kind, rows, number, wall_ns=took / rows * 1e9, growth=size(bench, name) / before - 1,
                 wal_bytes=wal / rows)
    return took


def update(bench, session, name, table):
    step = bench.admin.value("SHOW sdes.rotation_batch_rows")
    return session.timed(f"CALL update_in_steps('{name}', '{UPDATES[table]}', {step})").wall


def open_keys(bench):
    return bench.admin.value("""SELECT count(*) FROM sdes.keys
        WHERE emptied_at IS NULL AND state IN ('decrypt-only', 'retired')""")


def rotate(bench, number, table):
    """Seconds from the first batch to the last. What else is recorded: how long it takes from the call until the old key is
    empty, and to destroy it then."""
    began = bench.admin.value("SELECT clock_timestamp()")
    version = bench.admin.value(f"SELECT sdes.rotate_bucket('{table}')")
    while open_keys(bench) != 0:
        time.sleep(LOOK_EVERY)
    empty = bench.admin.value(f"""SELECT extract(epoch FROM emptied_at - '{began}') FROM sdes.keys
        WHERE bucket = '{table}' AND version = {version - 1} AND purpose = 'data'""")
    # The second pass, which finds nothing, begins where the first one has ended.
    took = bench.admin.value(f"""SELECT extract(epoch FROM min(pass_started_at) - min(started_at)) FROM sdes.rotation
        WHERE relation IN (SELECT parts_of('{table}')) AND pass >= 2""")
    destroy = bench.admin.timed(f"SELECT sdes.destroy_key('{table}', {version - 1})")
    bench.record("rotation", table, "sdes", rows_of(bench)[table], number, empty_s=empty, destroyed_s=destroy.wall)
    return took
