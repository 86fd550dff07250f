"""What is aimed at, and what was measured of it: sdes with audit async, where nothing else is said."""
from tables import TITLES, above_plain, number, scaled, table, times

PARTS = {"load", "scan", "export", "clients", "size", "session", "growth", "rotation", "rotation-clients"}


def aims(figures):
    most_rows = f"{max(figures.sizes('growth'), default=0):,}"
    memory = scaled(figures.median("session", "memory", "sdes", "bytes"), 1 / 1024)
    grown = scaled(figures.median("rotation", "pairs", "sdes", "growth"), 100)
    return table(["", "aim", "measured", ""], [
        cost(figures, "decrypting scan, time to plain", 2.0, "scan", "scan"),
        cost(figures, "export by COPY, time to plain", 1.6, "export", "copy"),
        cost(figures, "export by SELECT, time to plain", 1.6, "export", "psql"),
        cost(figures, "load by INSERT … SELECT, time to plain", 1.45, "load", "insert"),
        cost(figures, "load by COPY, time to plain", 1.4, "load", "copy"),
        cost(figures, "rotation, time to an UPDATE of plain text in the same steps", 1.4, "rotation", "pairs"),
        rotation_rates(figures, 0.7),
        at_most("growth of the table by a rotation, `pairs`", 30, "%", grown),
        at_most("p99 of clients with a rotation, to without", 1.1, "×",
                figures.ratio("rotation-clients", "clients", "rotating", "alone", "p99_ms")),
        clients(figures, "select", 0.97), clients(figures, "lookup", 0.95), clients(figures, "insert", 0.90),
        peer(figures, "pgsodium", 8), peer(figures, "raw", 8), peer(figures, "pgp_s2k0", 25), peer(figures, "pgp", 800),
        at_most("a value over the plain one", 40, "bytes", over_plain(figures, "note")),
        at_most("a searchable value over the plain one", 58, "bytes", over_plain(figures, "email")),
        at_most("first value of a connection", 15, "ms", figures.median("session", "first", "sdes", "wall_ms")),
        at_most("memory of a backend by its first value", 1024, "KiB", memory),
        at_most(f"cost of sealing a value, {most_rows} rows to 10,000", 1.1, "×", growth(figures, "load")),
        at_most(f"cost of opening a value, {most_rows} rows to 10,000", 1.1, "×", growth(figures, "scan")),
    ])


# Lines: what, the aim, the figure, whether that is reached ----------------------------------


def line(what, aim, measured, met):
    return [what, aim, measured, "" if measured == "–" else "met" if met else "**not met**"]


def at_most(what, most, unit, value):
    if value is None:
        return line(what, f"≤ {most} {unit}", "–", False)
    return line(what, f"≤ {most} {unit}", f"{number(value)} {unit}", value <= most)


def cost(figures, what, most, *measured):
    """Of the time; the processor's stands beside it, and the floor's."""
    time, processor = (figures.ratio(*measured, "sdes", "plain", metric) for metric in ("wall_ns", "cpu_ns"))
    floor = figures.ratio(*measured, "copy", "plain", "wall_ns")
    beside = f" (processor: {times(processor)})" if processor else ""
    beside += f", copied: {times(floor)}" if floor else ""
    return line(what, f"≤ {most} ×", times(time) + beside, time is not None and time <= most)


def peer(figures, kind, least):
    ratio = figures.ratio("scan", "scan", kind, "sdes", "wall_ns")
    return line(f"decrypting scan, {TITLES[kind]} to sdes", f"≥ {least} ×", times(ratio),
                ratio is not None and ratio >= least)


def clients(figures, statement, least):
    """With every number of clients; the strict figures stand beside them."""
    sizes = figures.sizes("clients", statement, "sdes")

    def ratios(kind):
        measured = [figures.ratio("clients", statement, kind, "plain", "tps", s) for s in sizes]
        return [] if None in measured else measured

    here, strict = ratios("sdes"), ", ".join(map(number, ratios("strict")))
    return line(f"{statement}, transactions to plain, {', '.join(map(str, sizes))} clients", f"≥ {least} ×",
                (", ".join(map(number, here)) or "–") + (f" (strict: {strict})" if strict else ""),
                bool(here) and min(here) >= least)


def rotation_rates(figures, least):
    """Rows a second to those of an UPDATE of the twin, which has as much to write."""
    tables = ("parts", "longs", "keyed")
    spent = [figures.ratio("rotation", name, "twin", "sdes", "wall_ns") for name in tables]
    return line(f"rotation, rows/s to an UPDATE of as many bytes, {', '.join(f'`{name}`' for name in tables)}", f"≥ {least} ×",
                "–" if None in spent else ", ".join(map(number, spent)), None not in spent and min(spent) >= least)


def over_plain(figures, what):
    sealed, plain = (figures.median("size", what, kind, "bytes") for kind in ("sdes", "plain"))
    return None if sealed is None else sealed - plain


def growth(figures, what):
    """How many times that of the smallest table the cost of a value is in the largest."""
    values = [above_plain(figures, what, s) for s in figures.sizes("growth")]
    return values[-1] / values[0] if values and None not in values else None
