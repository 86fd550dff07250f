"""micro: what sealing and opening take below the server, if that program was built."""
import os
import subprocess

from harness import say

PROGRAM = "build/bench-micro"


def run(bench):
    """The program prints lines "NAME NANOSECONDS"."""
    if not os.access(PROGRAM, os.X_OK):
        say(f"{PROGRAM} is not built")
        return
    for number in bench.all_rounds():
        for line in subprocess.run([PROGRAM], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines():
            name, nanoseconds = line.rsplit(None, 1)
            bench.record("micro", name, "", 0, number, cpu_ns=float(nanoseconds))
        say(f"{number}. {PROGRAM}")
