"""Figures of results.csv: medians of the rounds, and medians of ratios within a round."""
import csv
from collections import defaultdict
from statistics import median


class Figures:
    def __init__(self, path):
        self.rounds = defaultdict(lambda: defaultdict(list))  # what was measured: round: values
        self.texts = {}
        with open(path, newline="") as file:
            for row in csv.DictReader(file):
                if row["part"] == "machine":
                    self.texts[row["what"]] = row["value"]
                    continue
                key = row["part"], row["what"], row["kind"], int(row["size"]), row["metric"]
                self.rounds[key][int(row["round"])].append(float(row["value"]))

    def sizes(self, part, what=None, kind=None):
        return sorted({k[3] for k in self.rounds if k[0] == part and what in (None, k[1]) and kind in (None, k[2])})

    def names(self, part):
        """What was measured, in the order of the measurements."""
        return list(dict.fromkeys(k[1] for k in self.rounds if k[0] == part))

    def has(self, part):
        return any(k[0] == part for k in self.rounds)

    def _by_round(self, part, what, kind, metric, size):
        if size is None:
            size = next(iter(self.sizes(part, what, kind)), None)
        return {n: median(v) for n, v in self.rounds.get((part, what, kind, size, metric), {}).items()}

    def median(self, part, what, kind, metric, size=None):
        """None, where that was not measured."""
        values = self._by_round(part, what, kind, metric, size)
        return median(values.values()) if values else None

    def ratio(self, part, what, kind, base, metric, size=None, base_size=None):
        """How many times the base's figure it is."""
        values = self._by_round(part, what, kind, metric, size)
        bases = self._by_round(part, what, base, metric, base_size or size)
        ratios = [values[n] / bases[n] for n in values if bases.get(n)]
        return median(ratios) if ratios else None
