"""clients: statements that concern one row, by pgbench's clients."""
import re

from harness import Session, check, say
from kinds import EMAIL, NOTE

CLIENTS = (1, 2, 8, 32)
QUICK = (1, 8)
MAIN = ("plain", "sdes", "strict")
OTHERS = (8,)  # clients of other kinds, which are looked at by the way
STATEMENTS = ("select", "lookup", "insert", "update")


def run(bench):
    kinds = [k for k in bench.kinds if k.searchable]
    bench.need(kinds)
    session = Session()
    for kind in kinds:
        bench.create_table(session, kind, kind.name + "_new")
        bench.index(session, kind, kind.name + "_new")
        check_plan(bench, session, kind)
    for number in bench.all_rounds():
        for clients in QUICK if bench.quick else CLIENTS:
            for what in STATEMENTS:
                one(bench, session, kinds, number, clients, what)
    for kind in kinds:
        session.run(f"DROP TABLE {kind.name}_new")
        bench.settle(kind.name)
    session.close()


def one(bench, session, kinds, number, clients, what):
    """All kinds, one after the other."""
    took = []
    for kind in kinds:
        main = kind.name in MAIN
        if not main and (clients not in OTHERS or bench.quick):
            continue
        if what == "insert":
            session.run(f"TRUNCATE {kind.name}_new")
        bench.quiet()
        tps, latency = pgbench(bench, kind, what, clients, bench.seconds if main else 1)
        bench.record("clients", what, kind.name, clients, number, tps=tps, latency_ms=latency)
        took.append(f"{kind.name} {tps:.0f}")
    say(f"{number}. {what}, {clients} client(s), tps:", ", ".join(took))


def pgbench(bench, kind, what, clients, seconds):
    path = bench.path("script")
    with open(path, "w") as script:
        script.write(f"\\set id random(1, {bench.rows_of(kind)})\n{statement(bench, kind, what)};\n")
    out = bench.program("pgbench", "-n", "-M", "prepared", "-U", "app", "-c", str(clients), "-j", str(min(clients, 2)),
                        "-T", str(seconds), "-f", path, "bench")
    check("number of failed transactions: 0 " in out, f"{kind.name}: transactions failed")
    return [float(re.search(p, out).group(1)) for p in (r"\ntps = ([0-9.]+)", r"latency average = ([0-9.]+)")]


def statement(bench, kind, what):
    note, email = NOTE.format(":id"), EMAIL.format(":id")
    return {
        "select": f"SELECT {kind.select(('note', 'email'))} FROM {kind.name} WHERE id = :id",
        "lookup": f"SELECT id, {kind.select(('note',))} FROM {kind.name} WHERE {kind.equals(bench.address(':id'))}",
        "insert": kind.insert_one(kind.name + "_new", note, email),
        "update": kind.update_one(kind.name, note, ":id"),
    }[what]


def check_plan(bench, session, kind):
    plan = session.plan(statement(bench, kind, "lookup").replace(":id", "1"))
    check(f"using {kind.name}_email" in plan or f"on {kind.name}_email" in plan,
          f"{kind.name}: the lookup does not use the index:\n{plan}")
