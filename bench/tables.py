"""Tables in Markdown, one for each measured part."""
from kinds import KINDS

TITLES = {k.name: k.title for k in KINDS}
OTHERS = ("raw", "pgp_s2k0", "pgp", "pgsodium")


def number(value, digits=3):
    """With so many significant digits, all digits of what is larger."""
    if value is None:
        return "–"
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    decimals = next((d for d in range(digits) if abs(value) >= 10 ** (digits - 1 - d)), digits)
    return f"{value:.{decimals}f}"


def times(value):
    return "–" if value is None else f"{number(value)} ×"


def percent(value):
    return "–" if value is None else f"{value * 100:.0f} %"


def scaled(value, factor):
    return None if value is None else value * factor


def table(head, rows, align="---:"):
    """Columns of figures are aligned to the right."""
    lines = [head, ["---"] + [align] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines) + "\n"


def titled(figures, part, cells):
    """A line for each kind that the part has figures of, and for each that is missing here."""
    measured = {k[2] for k in figures.rounds if k[0] == part}
    missing = {k[2] for k in figures.rounds if k[:2] == ("setup", "missing")}
    columns = len(cells("plain"))
    return [[TITLES[n]] + (cells(n) if n in measured else ["not installed"] + [""] * (columns - 1))
            for n in TITLES if n in measured | missing]


def costs(figures, part, what, kind):
    """Microseconds, those of the processor, and how many times the plain figure that is."""
    return [number(scaled(figures.median(part, what, kind, m), 1e-3)) for m in ("wall_ns", "cpu_ns")] + \
        [times(figures.ratio(part, what, kind, "plain", "wall_ns"))]


# The measured parts ------------------------------------------------------------------


def machine(figures):
    return table(["", ""], figures.texts.items(), "---")


def kinds(figures):
    """Their options, which stand beside the figures, and how many rows were scanned."""
    def rows(kind):
        sizes = figures.sizes("scan", "scan", kind.name)
        return f"{sizes[0]:,}" if sizes else ""

    return table(["", "rows", "how"], [[k.title, rows(k), k.options] for k in KINDS], "---")


def load(figures):
    def cells(kind):
        return [cell for what in ("insert", "copy", "index") for cell in costs(figures, "load", what, kind)]

    return table(["µs a row", "INSERT … SELECT", "processor", "to plain", "COPY", "processor", "to plain",
                  "CREATE INDEX", "processor", "to plain"], titled(figures, "load", cells))


def scan(figures):
    def cells(kind):
        slower = figures.ratio("scan", "scan", kind, "sdes", "wall_ns") if kind in OTHERS else None
        return [*costs(figures, "scan", "scan", kind), times(figures.ratio("scan", "scan", kind, "plain", "cpu_ns")),
                times(slower)]

    return table(["µs a row", "time", "processor", "time to plain", "processor to plain", "time to sdes"],
                 titled(figures, "scan", cells))


def export(figures):
    def cells(kind):
        return [cell for what in ("copy", "psql") for cell in costs(figures, "export", what, kind)]

    return table(["µs a row", "COPY (SELECT …)", "processor", "to plain", "SELECT", "processor", "to plain"],
                 titled(figures, "export", cells))


def lookup(figures):
    return table(["µs a row found", "time", "processor", "to plain"],
                 titled(figures, "lookup", lambda kind: costs(figures, "lookup", "lookup", kind)))


def clients(figures):
    sizes = figures.sizes("clients")

    def cell(what, kind, size):
        tps = figures.median("clients", what, kind, "tps", size)
        return number(tps) + ("" if kind == "plain" or tps is None
                              else f" ({number(figures.ratio('clients', what, kind, 'plain', 'tps', size))})")

    return "\n".join(table([f"{what}, tps", *(f"{s} client{'s' * (s > 1)}" for s in sizes)],
                           titled(figures, "clients", lambda k: [cell(what, k, s) for s in sizes]))
                     for what in figures.names("clients"))


def size(figures):
    def over(what, kind):
        here, plain = (figures.median("size", what, k, "bytes") for k in (kind, "plain"))
        return f"{number(here)} (+{here - plain:.0f})"

    def cells(kind):
        return [over("note", kind), over("email", kind)] + \
            [number(figures.median("size", w, kind, "bytes")) for w in ("heap", "index", "wal")]

    return table(["bytes", "value", "searchable value", "table, a row", "index, a row", "WAL, a row"],
                 titled(figures, "size", cells))


def session(figures):
    def cells(kind):
        return [number(figures.median("session", "first", kind, m)) for m in ("wall_ms", "cpu_ms")] + \
            [number(scaled(figures.median("session", "memory", kind, m), 1 / 1024)) for m in ("bytes", "own_bytes")]

    return table(["first value", "ms", "processor, ms", "memory, KiB", "its own, KiB"], titled(figures, "session", cells))


def above_plain(figures, what, rows):
    """What sealing or opening a value takes, in nanoseconds of processor time."""
    values = [figures.median("growth", what, k, "cpu_ns", rows) for k in ("sdes", "plain")]
    return None if None in values else values[0] - values[1]


def growth(figures):
    def row(rows):
        cells = [f"{rows:,}"]
        for what in ("load", "scan"):
            cells += [number(figures.median("growth", what, k, "cpu_ns", rows)) for k in ("plain", "sdes")]
            cells.append(number(above_plain(figures, what, rows)))
        return cells

    return table(["ns a value, rows", "load, plain", "sdes", "more", "scan, plain", "sdes", "more"],
                 [row(rows) for rows in figures.sizes("growth")])


def rotation(figures):
    def row(name):
        def of(kind, metric):
            return figures.median("rotation", name, kind, metric)

        def rate(kind):
            return number(1e9 / of(kind, "wall_ns") if of(kind, "wall_ns") else None)

        def compared(kind):
            return times(figures.ratio("rotation", name, "sdes", kind, "wall_ns"))

        return [f"`{name}`, {figures.sizes('rotation', name)[0]:,}", rate("plain"), rate("twin"), rate("sdes"),
                compared("plain"), compared("twin"), percent(of("twin", "growth")), percent(of("sdes", "growth")),
                number(of("twin", "wal_bytes")), number(of("sdes", "wal_bytes")),
                number(of("sdes", "empty_s")) + " s", number(of("sdes", "destroyed_s")) + " s"]

    return table(["table, rows", "UPDATE of plain text, rows/s", "of the twin", "re-encrypted, rows/s", "time to plain",
                  "to the twin", "UPDATE grows the twin by", "re-encryption the table", "WAL of the UPDATE, bytes a row",
                  "of re-encryption", "empty after", "destroyed in"], [row(name) for name in figures.names("rotation")])


def rotation_clients(figures):
    def row(title, what):
        p50, p99 = (figures.median("rotation-clients", "clients", what, m) for m in ("p50_ms", "p99_ms"))
        ratio = figures.ratio("rotation-clients", "clients", what, "alone", "p99_ms")
        return [title, f"{p50:.2f} ms", f"{p99:.2f} ms", times(ratio)]

    return table(["4 clients", "p50", "p99", "p99 to alone"], [row("alone", "alone"), row("with a rotation", "rotating")])


def audit(figures):
    one, both = (figures.median("audit", what, "sdes", "wall_ns") for what in ("async", "both"))
    verified, record = (figures.median("audit", "verify", "journal", m) for m in ("records_per_s", "bytes"))
    into, row, compared = (figures.median("audit", "table", "journal", m) for m in ("records_per_s", "bytes", "compared_s"))
    rows = [["a value opened in a join of a bucket with itself", number(one) + " ns"],
            ["of an async with a strict bucket", number(both) + " ns"]] if one else []
    return table(["", ""], [
        *rows,
        ["a record of the journal", number(record) + " bytes"],
        ["records verified in a minute", f"{number(verified * 60 / 1e6)} million"],
        ["records taken into the table in a second", number(into)],
        ["a row of the table, with its index", number(row) + " bytes"],
        [f"{figures.sizes('audit', 'table')[0]:,} rows compared with the journal in", number(compared) + " s"]])


def micro(figures):
    providers = list(dict.fromkeys(k[2] for k in figures.rounds if k[0] == "micro"))
    return table(["ns", "bytes", *providers],
                 [[what, f"{size:,}", *(number(figures.median("micro", what, p, "cpu_ns", size)) for p in providers)]
                  for what in figures.names("micro") for size in figures.sizes("micro", what)])
