"""session: what the first value of a new connection costs, in time and in memory."""
from harness import Session, say

CONNECTIONS = 5  # a round


def run(bench):
    bench.need(bench.kinds)
    for number in bench.all_rounds():
        for kind in bench.kinds:
            for _ in range(CONNECTIONS):
                first, (own, files) = first_value(kind), growth(kind)
                bench.record("session", "first", kind.name, 1, number, wall_ms=first.wall * 1e3, cpu_ms=first.cpu * 1e3)
                bench.record("session", "memory", kind.name, 1, number, bytes=own + files, own_bytes=own)
        say(f"{number}. {CONNECTIONS} connections of each kind")


def statement(kind):
    return f"SELECT {kind.select(('note', 'email'))} FROM {kind.name} WHERE id = 1"


def first_value(kind):
    session = Session()
    cost = session.timed(statement(kind))
    session.close()
    return cost


def growth(kind):
    """By the first value, when the backend has read a plain row before."""
    session = Session()
    session.run(statement(kind).replace(kind.select(("note", "email")), "note, email").replace(kind.name, "plain"))
    before = session.memory()
    session.run(statement(kind))
    after = session.memory()
    session.close()
    return [a - b for a, b in zip(after, before)]
