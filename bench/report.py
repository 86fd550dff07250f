"""Makes tables and plots of results.csv: results.md and plots/*.svg beside it, and on demand the
measured parts of docs/performance.md, which stand between <!-- measured: NAME --> and <!-- end -->.
"""
import os
import platform
import re
import ssl
import sys
import time

import aims
import plots
import tables
from figures import Figures

DOCUMENT = "docs/performance.md"
SETTINGS = ("shared_buffers", "max_wal_size", "fsync", "synchronous_commit", "full_page_writes", "wal_compression",
            "autovacuum", "jit", "sdes.rotation_batch_rows")
BLOCKS = {"machine": tables.machine, "aims": aims.aims, "kinds": tables.kinds, "load": tables.load, "scan": tables.scan,
          "export": tables.export, "lookup": tables.lookup, "clients": tables.clients, "size": tables.size,
          "session": tables.session, "growth": tables.growth, "rotation": tables.rotation,
          "rotation-clients": tables.rotation_clients, "audit": tables.audit, "micro": tables.micro}
ALWAYS = ("machine", "aims", "kinds")


def describe(bench):
    """The machine and the run, as texts in results.csv."""
    with open("/proc/cpuinfo") as cpuinfo:
        model = re.search(r"model name\s*: (.*)", cpuinfo.read())
    with open("/proc/meminfo") as meminfo:
        memory = int(re.search(r"MemTotal: *(\d+)", meminfo.read()).group(1)) / 1024 / 1024
    bench.note("date", time.strftime("%Y-%m-%d"))
    bench.note("processor", f"{model.group(1) if model else platform.machine()}, {os.cpu_count()} cores")
    bench.note("memory", f"{memory:.0f} GiB")
    bench.note("system", f"Linux {platform.release()}, {platform.freedesktop_os_release()['PRETTY_NAME']}")
    bench.note("PostgreSQL", bench.admin.value("SHOW server_version"))
    bench.note("OpenSSL", ssl.OPENSSL_VERSION.split()[1])
    bench.note("sdes", bench.admin.value("""SELECT detail FROM sdes.health() WHERE "check" = 'crypto'"""))
    bench.note("HSM", "SoftHSM2, AES-256 KEKs")
    bench.note("settings", ", ".join(f"`{s} = {bench.admin.value('SHOW ' + s)}`" for s in SETTINGS))
    bench.note("run", f"{bench.rows:,} rows, {bench.rounds} rounds, pgbench for {bench.seconds} s each")


def write(folder, docs):
    figures = Figures(os.path.join(folder, "results.csv"))
    blocks = {name: block(figures) for name, block in BLOCKS.items() if name in ALWAYS or figures.has(name)}
    text = "\n".join(f"## {name}\n\n{block}" for name, block in blocks.items())
    with open(os.path.join(folder, "results.md"), "w") as file:
        file.write(text)
    print("\n" + text, flush=True)
    plots.draw(figures, os.path.join(folder, "plots"))
    if docs:
        write_document(blocks)
        plots.draw(figures, "docs/plots")


def write_document(blocks):
    """What this run has not measured stays as it is, and so does what is aimed at, if it has not measured all of that."""
    if not aims.PARTS.issubset(blocks):
        del blocks["aims"]
    with open(DOCUMENT) as file:
        text = file.read()
    for name, block in blocks.items():
        before, begin, rest = text.partition(f"<!-- measured: {name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        if not end:
            sys.exit(f"{DOCUMENT} has no place for {name}")
        text = f"{before}{begin}\n{block}\n{end}{after}"
    with open(DOCUMENT, "w") as file:
        file.write(text)


if __name__ == "__main__":
    write("build/bench", docs=bool(os.environ.get("WRITE_DOCS")))
