"""micro: what sealing, opening and a token take below the server, by provider of AES and HMAC."""
import csv
import subprocess

from harness import say

PROGRAM = "build/bench_micro"


def run(bench):
    """The program has rounds of its own, and gives their medians."""
    lines = subprocess.run([PROGRAM], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    for figure in csv.DictReader(lines):
        bench.record("micro", figure["operation"], figure["provider"], int(figure["bytes"]), 1, cpu_ns=float(figure["ns"]))
    say(f"{len(lines) - 1} figures of {PROGRAM}")
