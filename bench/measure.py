#!/usr/bin/env python3
"""measure.py [PART...]

Measures on the server that bench/run has started, and writes build/bench/results.csv, from
which report.py makes tables and plots. Parts are run in the order of PARTS.
"""
import argparse
import os
import sys
import time

import psycopg2

import report
from harness import Bench, Failure
from kinds import KINDS
from parts import audit, clients, growth, load, micro, read, rotation, rotation_clients, session

PARTS = {
    "load": load.run,
    "scan": read.scan,
    "export": read.export,
    "lookup": read.lookup,
    "session": session.run,
    "growth": growth.run,
    "clients": clients.run,
    "rotation": rotation.run,
    "rotation-clients": rotation_clients.run,
    "audit": audit.run,
    "micro": micro.run,
}
RESULTS = "build/bench"


def options():
    """From the environment, as make hands them on."""
    quick = bool(os.environ.get("QUICK"))

    def number(name, usual, when_quick):
        return int(os.environ.get(name) or (when_quick if quick else usual))

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[2])
    parser.add_argument("part", nargs="*")
    chosen = parser.parse_args()
    chosen.quick = quick
    chosen.rows = number("ROWS", 1000000, 50000)
    chosen.rounds = number("ROUNDS", 5, 2)
    chosen.seconds = number("CLIENT_SECONDS", 2, 1)
    chosen.growth = number("GROWTH", 1000000, 100000)
    chosen.kinds = os.environ.get("KINDS") or ""
    chosen.docs = bool(os.environ.get("WRITE_DOCS"))
    for given, known in ((chosen.part, PARTS), (chosen.kinds.split(), [k.name for k in KINDS])):
        if not set(given).issubset(known):
            parser.error(f"{' '.join(given)}: it may be some of {' '.join(known)}")
    return chosen


def main():
    chosen = options()
    began = time.monotonic()
    with open(os.path.join(RESULTS, "results.csv"), "w") as out:
        bench = Bench(chosen, RESULTS, out)
        print("==> Loading the source", flush=True)
        bench.set_up()
        report.describe(bench)
        for name, part in PARTS.items():
            if chosen.part and name not in chosen.part:
                continue
            print(f"==> {name}, after {time.monotonic() - began:.0f} s", flush=True)
            part(bench)
    report.write(RESULTS, docs=chosen.docs)
    print(f"==> done in {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    try:
        main()
    except (Failure, psycopg2.Error) as failure:
        sys.exit(f"measure.py: {failure}")
