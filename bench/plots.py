"""Plots of results.csv, drawn by gnuplot as SVG."""
import os
import subprocess

from kinds import KINDS

HEAD = """
set terminal svg size {size} font 'sans-serif,13' background '#ffffff' linewidth 1.2
set border 3 linecolor '#666666'
set tics nomirror textcolor '#333333'
set grid ytics linecolor '#dddddd' linetype 1
set key top left reverse Left
"""
LINE = "with linespoints pointtype 7 pointsize 0.6"
COLORS = {"plain": "#888888", "copy": "#bbbbbb", "sdes": "#0b6fb8", "strict": "#c2571a", "cached": "#5aa9dd", "hsm": "#7a4fa3",
          "raw": "#2f8f4e", "pgp_s2k0": "#7fb38c", "pgp": "#b9b33c", "pgsodium": "#a33c5c"}
TITLES = {k.name: k.title for k in KINDS}


def draw(figures, folder):
    os.makedirs(folder, exist_ok=True)
    for name, plot in {"scan": scan, "clients": clients, "growth": growth, "size": size}.items():
        if figures.has(name):
            dimensions, text = plot(figures)
            drawn = subprocess.run(["gnuplot"], input=HEAD.format(size=dimensions) + text, stdout=subprocess.PIPE, text=True,
                                   check=True)
            with open(os.path.join(folder, name + ".svg"), "w") as file:
                file.writelines(line.rstrip() + "\n" for line in drawn.stdout.strip().splitlines())


def block(name, lines):
    """Data for gnuplot."""
    return f"${name} << EOD\n" + "\n".join(lines) + "\nEOD\n"


def scan(figures):
    """Microseconds a row, of all kinds; from hundredths to hundreds, so the scale is logarithmic."""
    kinds = [k for k in TITLES if figures.median("scan", "scan", k, "wall_ns")]
    values = {k: figures.median("scan", "scan", k, "wall_ns") / 1000 for k in kinds}
    lines = [f'"{TITLES[k]}" {i} {values[k]:.4g} {int(COLORS[k][1:], 16)}' for i, k in enumerate(reversed(kinds))]
    return "760,380", block("data", lines) + f"""
set title 'Decrypting scan: µs a row of two values'
set logscale x
set xrange [0.05:{max(values.values()) * 4:.4g}]
set yrange [-0.6:{len(kinds) - 0.4}]
set grid noytics xtics
set style fill solid
unset key
plot $data using (0.05):2:(0.05):3:($2-0.35):($2+0.35):4:ytic(1) with boxxyerror linecolor rgb variable, \\
     $data using 3:2:(sprintf('%.3g', $3)) with labels left offset 0.5,0
"""


def clients(figures):
    """Transactions a second of one to many clients, a picture for each statement."""
    text = ["""
set multiplot layout 2,2 margins 0.08,0.98,0.07,0.86 spacing 0.09,0.16
set key at screen 0.5,0.96 center maxrows 1
set logscale x 2
set xrange [0.9:36]
set xtics (1, 2, 8, 32)
set yrange [0:*]
"""]
    for what in figures.names("clients"):
        curves = []
        for kind in ("plain", "sdes", "strict"):
            points = [(s, figures.median("clients", what, kind, "tps", s)) for s in figures.sizes("clients", what, kind)]
            text.append(block(f"{what}_{kind}", [f"{s} {tps:.6g}" for s, tps in points]))
            if points:
                curves.append(f"${what}_{kind} using 1:2 {LINE} linecolor rgb '{COLORS[kind]}' title '{TITLES[kind]}'")
        text.append(f"set title '{what}: transactions a second, by clients'\nplot {', '.join(curves)}\nunset key\n")
    return "860,640", "".join(text) + "unset multiplot\n"


def growth(figures):
    """Nanoseconds of processor time a value, by rows."""
    text, curves = [], []
    for what, dash in (("load", 1), ("scan", 2)):
        for kind in ("plain", "sdes"):
            points = [(s, figures.median("growth", what, kind, "cpu_ns", s)) for s in figures.sizes("growth")]
            text.append(block(f"{what}_{kind}", [f"{rows} {ns:.6g}" for rows, ns in points]))
            curves.append(f"${what}_{kind} using 1:2 {LINE} dashtype {dash} linecolor rgb '{COLORS[kind]}'"
                          f" title '{what}, {TITLES[kind]}'")
    return "760,380", "".join(text) + f"""
set title 'Processor time of a value in tables of so many rows, ns'
set logscale x
set format x "10^{{%T}}"
set yrange [0:*]
set key outside right
plot {', '.join(curves)}
"""


def size(figures):
    """Bytes a row: table, index and WAL."""
    kinds = [k for k in TITLES if figures.median("size", "heap", k, "bytes")]
    whats = ("heap", "index", "wal")
    lines = [f'"{TITLES[k]}" ' + " ".join(f"{figures.median('size', w, k, 'bytes'):.1f}" for w in whats) for k in kinds]
    colors = ("#0b6fb8", "#5aa9dd", "#bbbbbb")
    bars = ", ".join(f"$data using {i + 2}:xtic(1) linecolor rgb '{colors[i]}' title '{title}'"
                     for i, title in enumerate(("table", "index of the addresses", "WAL of the load")))
    return "860,420", block("data", lines) + f"""
set title 'Bytes a row'
set style data histogram
set style histogram clustered gap 1
set style fill solid
set yrange [0:*]
set xtics rotate by -25
set key outside top center horizontal
plot {bars}
"""
