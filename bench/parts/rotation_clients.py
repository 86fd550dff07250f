"""rotation-clients: what clients notice of a rotation at its default share of the time."""
import glob
import os
import shutil
import threading
import time
from contextlib import contextmanager

from harness import PATIENCE, Session, check, say
from parts.rotation import load, open_keys, rows_of

CLIENTS = 4
TRANSACTIONS = 200  # a second
SECONDS = 30
LOOK_EVERY = 5  # seconds: a new key costs as much as some transactions do
BUCKETS = "unnest('{parts,longs,keyed}'::text[]) name"


def run(bench):
    load(bench)
    seconds = 2 if bench.quick else SECONDS
    bench.configure("autovacuum", "on")
    share = bench.admin.value("SELECT boot_val FROM pg_settings WHERE name = 'sdes.rotation_share'")
    bench.configure("sdes.rotation_share", share)
    bench.admin.run("VACUUM")
    bench.admin.run("CHECKPOINT")
    clients(bench, seconds)  # caches get warm
    for number in bench.all_rounds():
        # In turns, since autovacuum comes after what it is for.
        for what, company in sorted((("alone", alone), ("rotating", rotating)), reverse=number % 2 == 0):
            with company(bench):
                p50, p99 = clients(bench, seconds)
            bench.record("rotation-clients", "clients", what, CLIENTS, number, p50_ms=p50, p99_ms=p99)
            say(f"{number}. {what}: p50 {p50:.2f} ms, p99 {p99:.2f} ms")
    bench.admin.run(f"SELECT sdes.resume_rotation(name) FROM {BUCKETS}")
    bench.configure("autovacuum", "off")


@contextmanager
def alone(bench):
    bench.admin.run(f"SELECT sdes.pause_rotation(name) FROM {BUCKETS}")
    time.sleep(1)
    yield


def now(session):
    return session.value("SELECT clock_timestamp()")


def has_worked(session, since):
    return session.value(f"SELECT count(*) FROM sdes.rotation WHERE updated_at > '{since}' AND rows_done > 0") > 0


@contextmanager
def rotating(bench):
    """A rotation is kept under way: when one has ended, the next begins. The worker rests for up to ten seconds, which
    is longer than a quick run: there it is seen at work before."""
    end = threading.Event()
    watching = Session("postgres")  # the other one is the thread's
    began, limit = now(watching), time.monotonic() + PATIENCE

    def rotate():
        while not end.is_set():
            if open_keys(bench) == 0:
                bench.admin.run(f"SELECT sdes.rotate_bucket(name) FROM {BUCKETS}")
            end.wait(LOOK_EVERY)

    bench.admin.run(f"SELECT sdes.resume_rotation(name) FROM {BUCKETS}")
    thread = threading.Thread(target=rotate)
    thread.start()
    try:
        while not has_worked(watching, began):
            check(time.monotonic() < limit, "nothing is re-encrypted")
            time.sleep(0.2)
        began = now(watching)
        yield
        check(bench.quick or has_worked(watching, began), "nothing was re-encrypted")
    finally:
        end.set()
        thread.join()
        watching.close()


def clients(bench, seconds):
    """Milliseconds, median and 99th percentile, from when a transaction was due. No transaction may fail."""
    logs = os.path.join(bench.results, "transactions")
    shutil.rmtree(logs, ignore_errors=True)
    os.mkdir(logs)
    variables = [argument for table, n in rows_of(bench).items() for argument in ("-D", f"{table}={n}")]
    out = bench.program("pgbench", "-n", "-U", "app", "-c", str(CLIENTS), "-j", "1", "-T", str(seconds),
                        "--rate", str(TRANSACTIONS), "-l", "--log-prefix", os.path.join(logs, "log"), *variables,
                        "-f", "bench/read.sql@4", "-f", "bench/write.sql@1", "bench")
    check("number of failed transactions: 0 " in out, "transactions failed")
    latencies = sorted(int(line.split()[2]) for log in glob.glob(os.path.join(logs, "log.*")) for line in open(log))
    return [latencies[int(len(latencies) * share)] / 1000 for share in (0.5, 0.99)]
