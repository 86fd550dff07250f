"""audit: a statement of two buckets, one of them strict; how fast the journal is verified, and made into the table.

What the audit costs a statement is in the parts scan and clients: plain, sdes (async) and strict.
"""
import os
import re
import time

from harness import LENGTH, Session, check, say


def run(bench):
    both(bench)
    for number in bench.all_rounds():
        verify(bench, number)
    table(bench)


def both(bench):
    """Values of a strict and an async bucket in turns, beside those of one bucket twice."""
    kinds = bench.some("sdes", "strict")
    if len(kinds) < 2:
        return
    bench.need(kinds)
    session = Session()
    session.run("SET enable_hashjoin = off; SET enable_nestloop = off")
    for number in bench.all_rounds():
        for what, other in (("async", "sdes"), ("both", "strict")):
            cost = session.timed(f"SELECT sum(length(a.note)), sum(length(b.note)) FROM sdes a JOIN {other} b USING (id)")
            opened = bench.rows * LENGTH
            check(session.cursor.fetchone() == (opened, opened), "the join has not opened all values")
            bench.record_cost("audit", what, "sdes", bench.rows, number, cost, bench.rows * 2)
    session.close()


def verify(bench, number):
    """Records a second, and bytes of each."""
    folder = bench.admin.value("SELECT folder FROM sdes.verify_audit()")
    size = sum(os.path.getsize(os.path.join(top, file)) for top, _, files in os.walk(folder) for file in files)
    began = time.perf_counter()
    out = bench.program("sdes_audit", "verify", folder)
    took = time.perf_counter() - began
    records = int(re.search(r"^records 1 to (\d+) ", out, re.MULTILINE).group(1))
    rate = records / took
    bench.record("audit", "verify", "journal", 0, number, records_per_s=rate, bytes=size / records)
    say(f"{number}. {rate * 60 / 1e6:.0f} million records of the journal a minute verified")


def table(bench):
    """Records a second that go into sdes.audit_log, made anew, and how long it takes to compare it."""
    admin = bench.admin
    end = admin.value("SELECT last FROM sdes.verify_audit()")
    admin.run("""ALTER TABLE sdes.audit_log DISABLE TRIGGER ALL;
        DO $$ DECLARE part regclass; BEGIN
            FOR part IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'sdes.audit_log'::regclass LOOP
                EXECUTE format('ALTER TABLE %s DISABLE TRIGGER ALL', part);
            END LOOP;
        END $$;
        TRUNCATE sdes.audit_log, sdes.audit_hour, sdes.audit_open, sdes.audit_journal""")
    began = time.perf_counter()
    rate = following(admin, end) / (time.perf_counter() - began)
    rows = admin.value("SELECT count(*) FROM sdes.audit_log")
    compared = admin.timed("SELECT FROM sdes.verify_audit_log()")
    check(admin.cursor.rowcount == 0, "the table is not what the journal says")
    size = admin.value("""SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits
        WHERE inhparent = 'sdes.audit_log'::regclass""")
    bench.record("audit", "table", "journal", rows, 1, records_per_s=rate, bytes=size / rows, compared_s=compared.wall)
    say(f"{rate:.0f} records a second made into {rows} rows, compared in {compared.wall:.1f} s")


def following(admin, number):
    """The record that the table takes in next, once it is past that one."""
    while True:
        row = admin.row("SELECT next FROM sdes.audit_journal")
        if row is not None and row[0] > number:
            return row[0]
        time.sleep(0.1)
