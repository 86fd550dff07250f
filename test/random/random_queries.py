#!/usr/bin/python3
"""random_queries.py CONNINFO [--seconds N] [--seed N]... [--statements N]

Random statements over the tables of schema.sql, plain and encrypted. CONNINFO is a
superuser's. For each seed both twins get the same rows, and then, in transactions that are
rolled back or kept,

  * random_oms, who holds every grant but mask, runs each statement on the plain twin and
    on the encrypted one: rows (in order, where that is given), types, command tag or
    SQLSTATE must be the same, and so must the tables after each transaction;
  * random_stranger, who may read the tables and holds no grant, and random_support, who
    holds mask, run it on the encrypted one: the server survives, no error is an internal
    one, and no byte that they get is of a plaintext.

Given seeds run first (a seed alone repeats what it did), then new ones until the seconds
are over. Prints one line of TAP; differences are grouped by what they look like, with the
statements of the first ones, the shortest first.
"""
import argparse
import collections
import os
import random
import re
import sys
import time

import psycopg2
from psycopg2 import extensions

from grammar import CARDS, Grammar, TABLES, WORDS

# Plaintexts that nobody but random_oms may see are written in Georgian letters, which are
# in no statement and in no name: one of them in what the others get is a leak (two of
# them for who may see a mask, which shows the first).
LETTERS = "აბგდევზთიკლმნოპჟრსტუფქღყშჩცძწჭხჯჰ"
LETTER = re.compile("[\u10a0-\u10ff\u1c90-\u1cbf\u2d00-\u2d2f]")
# Numbers of these are stored, and of CARDS, which statements name.
SECRET_CARDS = ["4000001234567899", "5200828282828210", "6011000990139424"]
KEPT = 5  # examples of each kind of difference
DATABASE = "random_queries"
HERE = os.path.dirname(os.path.abspath(__file__))

# What a session may be set to, so that plans are of all sorts.
SETTINGS = [
    [], [], [],
    ["enable_hashjoin = off"], ["enable_mergejoin = off", "enable_nestloop = off"],
    ["enable_hashagg = off"], ["enable_sort = off"], ["enable_seqscan = off"],
    ["force_parallel_mode = on"],
    ["parallel_setup_cost = 0", "parallel_tuple_cost = 0", "min_parallel_table_scan_size = 0"],
    ["plan_cache_mode = force_generic_plan"], ["work_mem = '64kB'"],
    ["from_collapse_limit = 1", "join_collapse_limit = 1"], ["enable_memoize = off", "enable_material = off"],
]


# What an encrypted column does not do as a plain one would, where the plain one gave no
# error: docs/compatibility.md says why, and what to write instead.
LIMITS = {
    "literal": ("42501", "a literal of an encrypted type cannot be decrypted"),
    "ciphertext in, by a function of any type": ("22000", "encrypted text is not accepted as input"),
}


BY_ROW = {"21000", "23502", "23505", "23503"}
# A whole row is of its table's type, and a record where it is revealed; an encrypted value
# beside varchar is varchar, where text would be text.
SAME = {1043: 25, 1015: 1009}
RECORD = 2249


class Outcome:
    """What a statement gave: rows and their types, a command tag, or an SQLSTATE."""

    def __init__(self, rows=None, types=None, tag=None, error=None, message=""):
        self.rows, self.types, self.tag, self.error, self.message = rows, types, tag, error, message

    def differs(self, other, ordered):
        """In a few words, or None."""
        if self.error or other.error:
            # Which of these comes first depends on the order of rows.
            same = self.error == other.error or {self.error, other.error} <= BY_ROW
            return None if same else \
                f"{self.error or 'no error'}, then {other.error or 'no error'}: {generic(other.message or self.message)}"
        if self.tag != other.tag:
            return "another command tag"
        if self.types != other.types:
            return f"types {self.types}, then {other.types}"
        if self.rows is not None and sorted(self.rows, key=repr) != sorted(other.rows, key=repr):
            return "other rows" + (": armor" if "sdes1:" in repr(other.rows) else "")
        if ordered and self.rows != other.rows:
            return "another order"
        return None

    def __str__(self):
        if self.error:
            return f"{self.error} {self.message}"
        return f"{self.tag} {self.rows[:8] if self.rows is not None else ''}"


def generic(message):
    """An error message without its particulars."""
    first = message.strip().split("\n")[0]
    return re.sub(r'"[^"]*"|\d+', "*", first)[:100]


class Session:
    """A connection of a role, which sees values as the server sends them."""

    def __init__(self, conninfo, role):
        self.role, self.received = role, []
        self.connection = psycopg2.connect(f"{conninfo} user={role} dbname={DATABASE} application_name=random")
        self.connection.autocommit = True
        extensions.register_type(extensions.new_type(
            tuple(range(1, 200000)), "RAW", lambda value, _: value), self.connection)
        self.cursor = self.connection.cursor()

    def run(self, statement):
        """The outcome; everything that was sent is kept in received."""
        del self.connection.notices[:]
        try:
            if statement.startswith("COPY"):
                lines = []

                class Sink:
                    def write(self, data):
                        lines.append(data)
                self.cursor.copy_expert(statement, Sink())
                outcome = Outcome([], None, self.cursor.statusmessage)
                outcome.rows = [(line,) for line in b"".join(lines).decode().splitlines()]
            else:
                self.cursor.execute(statement)
                rows = types = None
                if self.cursor.description is not None:
                    codes = [column.type_code for column in self.cursor.description]
                    types = [SAME.get(code, code) if code < 16384 else RECORD for code in codes]
                    rows = self.cursor.fetchall()
                outcome = Outcome(rows, types, self.cursor.statusmessage)
        except psycopg2.Error as error:
            if error.pgcode is None or error.pgcode.startswith("57P"):
                raise
            # What the server said, not the statement that libpq shows an excerpt of.
            fields = [getattr(error.diag, name) for name in dir(error.diag) if not name.startswith("_")]
            self.received += [str(field) for field in fields]
            outcome = Outcome(error=error.pgcode, message=str(error))
        self.received += self.connection.notices
        self.received.append(repr(outcome.rows))
        return outcome

    def demand(self, statement):
        outcome = self.run(statement)
        if outcome.error:
            raise RuntimeError(f"{self.role}: {statement}: {outcome}")
        return outcome

    def attempt(self, statement, twin=None):
        """Like run, within a transaction that goes on after an error."""
        self.demand("SAVEPOINT attempt")
        if twin:
            self.demand(f"SET LOCAL search_path = {twin}")
        outcome = self.run(statement)
        self.demand("ROLLBACK TO attempt" if outcome.error else "RELEASE attempt")
        return outcome


def leak(received, masked):
    """What of a plaintext is in there, or None."""
    text = "\n".join(received)
    if masked:
        pairs = re.findall(LETTER.pattern + "{2}", text)
        return pairs[0] if pairs else None
    found = LETTER.search(text)
    digits = re.sub(r"[ -]", "", text)
    cards = [card for card in SECRET_CARDS if card[:8] in digits or card[-8:] in digits]
    return found[0] if found else (cards or [None])[0]


# Setting up ------------------------------------------------------------------------


def set_up(conninfo):
    connection = psycopg2.connect(conninfo)
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute(f"CREATE DATABASE {DATABASE}")
    connection.close()
    connection = psycopg2.connect(re.sub(r"\bdbname=\S+", "", conninfo) + f" dbname={DATABASE}")
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute("CREATE EXTENSION sdes; SET client_min_messages = error")
    for bucket in ("random_pii", "random_order", "random_card"):
        cursor.execute("SELECT sdes.create_bucket(%s)", [bucket])
    for role, privileges in (("random_oms", "{encrypt,search,decrypt}"), ("random_support", "{mask}"),
                             ("random_stranger", None)):
        cursor.execute(f"CREATE ROLE {role} LOGIN")
        if privileges:
            cursor.execute("SELECT sdes.grant_access(b, %s, %s::text[]) FROM unnest(%s) AS b",
                           [role, privileges, ["random_pii", "random_order", "random_card"]])
    with open(os.path.join(HERE, "schema.sql"), encoding="utf-8") as file:
        script = file.read()
    for twin in ("plain", "enc"):
        cursor.execute(f"CREATE SCHEMA {twin} AUTHORIZATION random_oms")
        cursor.execute(f"SET SESSION AUTHORIZATION random_oms; SET search_path = {twin}")
        cursor.execute(re.sub(r":(enc|pan)(\([^)]*\))",
                              "text" if twin == "plain" else r"sdes.enc_\1\2", script)
                       .replace("sdes.enc_enc(", "sdes.enc_text("))
        cursor.execute("RESET SESSION AUTHORIZATION")
    cursor.execute("GRANT USAGE ON SCHEMA enc TO random_support, random_stranger;"
                   "GRANT ALL ON ALL TABLES IN SCHEMA enc TO random_support, random_stranger")
    connection.close()


def fill(oms, seed):
    """The same rows for both twins, by plain statements as an application sends them."""
    dice = random.Random(f"rows of {seed}")

    def value():
        if dice.random() < 0.08:
            return "NULL"
        if dice.random() < 0.45:
            return f"'{dice.choice(WORDS)}'"
        return f"'{secret()}'"

    def secret():
        return "".join(dice.choice(LETTERS) for _ in range(dice.randrange(5, 12))) + dice.choice(
            ["", "@example.org", ".1", " ii"])

    def card():
        return "NULL" if dice.random() < 0.1 else f"'{dice.choice(CARDS + SECRET_CARDS)}'"

    def number(most):
        return str(dice.randrange(most)) if dice.random() > 0.1 else "NULL"

    city = lambda: dice.choice(["'red'", "'Kutaisi'", "'a b'", "NULL", "''"])
    emails = {f"'{w}'" for w in WORDS} | {f"'{secret()}'" for _ in range(40)}
    emails = dice.sample(sorted(emails), 24)
    rows = {
        "customer": [[str(i), value(), emails[i] if i < 22 else "NULL", value(), city(), number(40)] for i in range(25)],
        "orders": [[str(i), number(30), dice.choice(emails + ["NULL"]), value(), card(), city(), number(90)]
                   for i in range(40)],
        "item": [[str(i), number(45), value().replace("NULL", "'none'"), value(),
                  dice.choice(["NULL", "'{}'", "'{red,common 1}'", f"'{{{secret()},blue}}'"]), number(20)]
                 for i in range(50)],
        "shop": [[emails[i], value()] for i in range(8)],
        "visit": [[str(i), dice.choice(emails[:8]), dice.choice(emails + ["NULL"])] for i in range(30)],
    }
    for twin in ("plain", "enc"):
        oms.demand(f"SET search_path = {twin}")
        oms.demand(f"TRUNCATE {', '.join(TABLES)}")
        for table, lines in rows.items():
            oms.demand(f"INSERT INTO {table} VALUES " + ", ".join(f"({', '.join(line)})" for line in lines))
        oms.demand("ANALYZE " + ", ".join(TABLES))


# One seed ---------------------------------------------------------------------------


class Seed:
    def __init__(self, conninfo, seed, counts):
        self.seed, self.counts, self.found = seed, counts, []
        self.grammar = Grammar(seed)
        self.spoilt = False
        self.slow = []
        self.waiting = []
        self.oms = Session(conninfo, "random_oms")
        self.others = [Session(conninfo, "random_stranger"), Session(conninfo, "random_support")]

    def report(self, kind, statement, *details):
        self.found.append((kind, statement, details))

    def run(self, statements):
        fill(self.oms, self.seed)
        for setting in self.grammar.random.choice(SETTINGS):
            if self.oms.connection.server_version >= 160000:
                setting = setting.replace("force_parallel_mode", "debug_parallel_query")
            for session in [self.oms, *self.others]:
                session.demand(f"SET {setting}")
        for session in self.others:
            session.demand("SET search_path = enc")
        for session in [self.oms, *self.others]:
            session.demand("SET jit = off; SET statement_timeout = '1500ms'; SET client_min_messages = notice")
        done = 0
        while done < statements:
            done += self.transaction(self.grammar.random.randrange(4, 16))
        for session in [self.oms, *self.others]:
            session.connection.close()
        for statement in self.slow:
            print(f"# slow, seed {self.seed}: {statement}", flush=True)
        return self.found

    def transaction(self, length):
        self.oms.demand("BEGIN")
        self.grammar.spilled = False
        self.spoilt = False  # what is written after a difference differs, too
        for _ in range(length):
            self.statement()
            if self.spoilt:
                break
        if not self.spoilt:
            self.compare_tables()
        end = self.grammar.pick("ROLLBACK", "ROLLBACK", "COMMIT")
        self.oms.demand("ROLLBACK" if self.spoilt or self.grammar.spilled else end)
        for statements in self.waiting:
            self.run_by_others(statements)
        self.waiting = []
        return length

    def statement(self):
        grammar = self.grammar
        form = grammar.random.randrange(20)
        if form < 6:
            self.on_twins(grammar.write(), False)
        elif form < 15:
            self.on_twins(*grammar.query())
        elif form == 15:
            self.with_cursor(*grammar.query())
        elif form < 18:
            self.prepared(*grammar.query())
        elif form == 18:
            query, ordered = grammar.query()
            self.on_twins(f"COPY ({query}) TO STDOUT", ordered)
        else:
            self.on_twins(grammar.write(), False)
        if grammar.chance(40):
            grammar.bare = True
            query = grammar.pick(lambda: grammar.query()[0], grammar.shaped, grammar.windowed, grammar.write)()
            grammar.bare = False
            self.by_others([query])

    def on_twins(self, statement, ordered):
        plain, enc = (self.oms.attempt(statement, twin) for twin in ("plain", "enc"))
        self.judge(statement, ordered, plain, enc)
        self.by_others([statement])

    def judge(self, statement, ordered, plain, enc):
        self.counts["statements"] += 1
        self.counts["plain gave " + (plain.error or "no error")] += 1
        if "57014" in (plain.error, enc.error):
            self.spoilt = True
            if not plain.error:
                self.counts["too slow on the encrypted twin"] += 1
                self.slow.append(statement)
            return
        if enc.error and enc.error.startswith("XX"):
            self.report(f"internal error: {generic(enc.message)}", statement, enc)
        difference = plain.differs(enc, ordered)
        if not difference:
            return
        self.spoilt = True
        for name, (state, message) in LIMITS.items():
            if enc.error == state and message in enc.message:
                self.counts[f"limit: {name}"] += 1
                return
        self.report(difference, statement, plain, enc, *[
            f"only {which}: {list((collections.Counter(a.rows) - collections.Counter(b.rows)).items())[:3]}"
            for which, a, b in (("plain", plain, enc), ("encrypted", enc, plain)) if a.rows and b.rows])

    def by_others(self, statements):
        """Has statements run in a row by who may see no plaintext, when nobody holds locks."""
        self.waiting.append(statements)

    def run_by_others(self, statements):
        for session in self.others:
            session.received = []
            session.demand("BEGIN")
            for statement in statements:
                outcome = session.attempt(statement)
                self.counts[f"{session.role} got {outcome.error or 'no error'}"] += 1
                if outcome.error and outcome.error.startswith("XX"):
                    self.report(f"internal error for {session.role}: {generic(outcome.message)}", statement, outcome)
            session.demand("ROLLBACK")
            leaked = leak(session.received, session.role == "random_support")
            if leaked:
                self.report(f"LEAK to {session.role}", "; ".join(statements), leaked,
                            [r for r in session.received if leak([r], session.role == "random_support")][:3])

    def with_cursor(self, query, ordered):
        scroll = self.grammar.pick("", "", "SCROLL ")
        fetches = [f"FETCH {self.grammar.random.randrange(1, 6)} FROM c" for _ in range(2)] + ["FETCH ALL FROM c"]
        if scroll:
            fetches += ["MOVE BACKWARD ALL FROM c", "FETCH 2 FROM c"]
        declare = f"DECLARE c {scroll}CURSOR FOR {query}"
        rows = []
        for twin in ("plain", "enc"):
            got = [self.oms.attempt(declare, twin)]
            if not got[0].error:
                got += [self.oms.attempt(fetch, twin) for fetch in fetches]
                self.oms.attempt("CLOSE c")
            rows.append(got)
        if ordered:
            for step, plain, enc in zip([declare] + fetches, *rows):
                self.judge(f"{declare}; {step}", ordered, plain, enc)
                if enc.error:
                    break
        else:
            whole = [next((o for o in got if o.error), None)
                     or Outcome([r for o in got[1:4] for r in o.rows], got[1].types, "all") for got in rows]
            self.judge(declare, ordered, *whole)
        self.by_others([declare, *fetches])

    def prepared(self, query, ordered):
        """A literal or two become parameters; EXECUTE six times has a generic plan."""
        literals = sorted({w for w in re.findall(r"= ('[^']*')", query)})[:2]
        types = ", ".join(self.grammar.pick("text", "varchar", "text") for _ in literals)
        text = query
        for i, literal in enumerate(literals):
            text = text.replace(f"= {literal}", f"= ${i + 1}")
        prepare = f"PREPARE p{f' ({types})' if literals else ''} AS {text}"
        execute = "EXECUTE p" + (f" ({', '.join(literals)})" if literals else "")
        results = []
        times = self.grammar.pick(1, 1, 7)
        for twin in ("plain", "enc"):
            outcome = self.oms.attempt(prepare, twin)
            if not outcome.error:
                for _ in range(times):
                    outcome = self.oms.attempt(execute, twin)
                self.oms.attempt("DEALLOCATE p")
            results.append(outcome)
        self.judge(f"{prepare}; {execute}", ordered, *results)
        self.by_others([prepare, execute, "DEALLOCATE p"])

    def compare_tables(self):
        for table in TABLES:
            statement = f"SELECT * FROM {table}"
            plain, enc = (self.oms.attempt(statement, twin) for twin in ("plain", "enc"))
            if plain.differs(enc, False):
                self.spoilt = True
                self.report(f"tables differ after a transaction: {plain.differs(enc, False)}", statement,
                            sorted(set(map(repr, plain.rows or [])) ^ set(map(repr, enc.rows or [])))[:4])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("conninfo")
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--seed", type=int, action="append", default=[])
    parser.add_argument("--statements", type=int, default=120)
    parser.add_argument("--no-set-up", action="store_true", help="the database is there already")
    options = parser.parse_args()
    if not options.no_set_up:
        set_up(options.conninfo)
    conninfo = re.sub(r"\b(user|dbname)=\S+", "", options.conninfo)
    began = told = time.monotonic()
    counts, kinds, bad, ran = collections.Counter(), collections.defaultdict(list), 0, 0
    seeds = list(options.seed)
    while seeds or time.monotonic() - began < options.seconds:
        seed = seeds.pop(0) if seeds else random.SystemRandom().randrange(1, 10**9)
        try:
            found = Seed(conninfo, seed, counts).run(options.statements)
        except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
            found = [(f"the connection was lost: {generic(str(error))}", "", [])]
            time.sleep(3)
        ran += 1
        bad += bool(found)
        for kind, statement, details in found:
            kinds[kind].append((seed, statement, details))
        if time.monotonic() - told > 60:
            told = time.monotonic()
            print(f"# {time.strftime('%T')} {ran} seeds, {counts['statements']} statements, {bad} seeds failed",
                  file=sys.stderr, flush=True)
    for kind, examples in sorted(kinds.items(), key=lambda item: len(item[1])):
        print(f"\nDIFFERENCE, {len(examples)} times: {kind}")
        for seed, statement, details in sorted(examples, key=lambda e: len(e[1]))[:KEPT]:
            print(f"  seed {seed}: {statement}")
            for detail in details:
                print(f"      {str(detail)[:600]}")
    print("\n# " + ", ".join(f"{n} {what}" for what, n in counts.most_common()))
    print(f"{'not ' if bad else ''}ok - {ran} seeds, {counts['statements']} statements, {bad} seeds failed")
    sys.exit(bad != 0)


if __name__ == "__main__":
    main()
