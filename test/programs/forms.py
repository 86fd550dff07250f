#!/usr/bin/env python3
"""forms.py CONNINFO FILE...

Runs SQL forms against plain tables (schema "plain") and against their encrypted
twins (schema "enc"), each on a session of its own, and compares everything a
client can see of them. Before that it makes both twins of test/forms/schema.sql,
which stands beside the first FILE. Prints one JSON object per form and pass:
{"pass", "form", "file", "flags", "problems", "ms", "received", "receipts"}: how many different
values of encrypted columns the client got by it; and for each statement on the encrypted
twin the application_name that it was run under, and how many values the client got exactly,
where that is plain (else null).

A file holds forms. A form begins with a line "--- NAME | FLAG | FLAG..." and
goes on with statements, each ending in ";" at the end of a line (outside of
$$ $$). A line that begins with "plain:" or "enc:" is for that twin only. @NAME@
is a type, see TYPES. "--bind TYPE=VALUE | ..." before a statement gives it
parameters through the protocol: it is prepared, described, and executed
until the plan is generic, once of that with binary results. "--copy TEXT" before a
statement is what COPY FROM STDIN gets, with \\n and \\t in it.

What must be the same, statement by statement: SQLSTATE; in an error the names of
table, column and constraint; command tag; names and types of columns, types of
parameters; rows, in order if the statement has ORDER BY; COPY data; notices.

Flags:
  index           the plain one uses an index for a condition; so must the other
  indexonly       the same, and both do it by an index-only scan
  noindex         the plain one uses an index for a condition, the other can't
                  (without this flag no form of one table may differ in that)
  partitions      both plans read the same partitions
  plan            both plans have the same nodes
  multiset        the order of rows does not count, in spite of an ORDER BY
  since: 17       not on older versions of PostgreSQL
  commit          not within a transaction that is rolled back
  except: SLUG HOW    the last statement works on the plain table, and on the other
                  ends with the SQLSTATE HOW, or differs in just what HOW lists:
                  columns (their types), rows, copy, notices, parameters
  instead: SLUG   the way round that exception: like every form without a flag
"""
import ctypes
import ctypes.util
import json
import os
import re
import sys
import time

PGRES_EMPTY_QUERY, PGRES_COMMAND_OK, PGRES_TUPLES_OK, PGRES_COPY_OUT, PGRES_COPY_IN = 0, 1, 2, 3, 4

TWINS = ("plain", "enc")
TYPES = {
    # name: (plain, encrypted)
    "TEXT": ("text", "sdes.enc_text('customer_pii', 'searchable')"),
    "CI": ("text", "sdes.enc_text('customer_pii', 'searchable', 'searchable_ci')"),
    "NOTE": ("text", "sdes.enc_text('customer_pii')"),
    "OTHER": ("text", "sdes.enc_text('partners', 'searchable')"),
    "PAN": ("text", "sdes.enc_pan('payment', 'searchable')"),
    # Without a bucket, as in parameters and variables.
    "ENC": ("text", "sdes.enc_text"),
}
PARAMETER_TYPES = {"unknown": 0, "text": 25, "varchar": 1043, "bpchar": 1042, "int4": 23,
                   "text[]": 1009, "varchar[]": 1015}

# Settings of each pass. Small tables are read by index where the planner can.
PASSES = (
    ("indexes", ("enable_seqscan = off",)),
    ("sorts", ("enable_hashagg = off", "enable_hashjoin = off", "enable_indexscan = off",
               "enable_bitmapscan = off", "enable_indexonlyscan = off")),
    ("generic, parallel", ("plan_cache_mode = force_generic_plan", "force_parallel_mode = on",
                           "parallel_setup_cost = 0", "parallel_tuple_cost = 0",
                           "min_parallel_table_scan_size = 0", "min_parallel_index_scan_size = 0",
                           "max_parallel_workers_per_gather = 1", "enable_nestloop = off")),
)

libpq = ctypes.CDLL(ctypes.util.find_library("pq") or "libpq.so.5")
for name in ("PQconnectdb", "PQexec", "PQexecParams", "PQprepare", "PQexecPrepared",
             "PQdescribePrepared", "PQgetResult"):
    getattr(libpq, name).restype = ctypes.c_void_p
for name in ("PQresultErrorField", "PQerrorMessage", "PQcmdStatus", "PQfname"):
    getattr(libpq, name).restype = ctypes.c_char_p
libpq.PQgetvalue.restype = ctypes.c_void_p
NOTICE_RECEIVER = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)


def field(result, code):
    value = libpq.PQresultErrorField(result, ord(code))
    return value.decode() if value is not None else None


def type_name(session, oid):
    """A type by name: the twins' own have different OIDs."""
    if oid < 16384:
        return oid
    seen = session.run(f"SELECT typname FROM pg_type WHERE oid = {oid}")
    return seen["rows"][0][0] if seen["rows"] else "a new type"


def of_version(setting, session):
    """A setting by its name in the server's version: PostgreSQL 16 has renamed one."""
    if libpq.PQserverVersion(session.connection) < 160000:
        return setting
    return setting.replace("force_parallel_mode", "debug_parallel_query")


class Session:
    """A connection whose search_path leads to one of the twins."""

    def __init__(self, conninfo, twin, settings=(), types=None):
        options = " ".join(f"-c {s.replace(' ', '')}" for s in
                           (f"search_path={twin}", "client_min_messages=notice", "jit=off", *settings))
        self.connection = ctypes.c_void_p(libpq.PQconnectdb(
            f"{conninfo} user=oms options='{options}'".encode()))
        if libpq.PQstatus(self.connection) != 0:
            sys.exit(libpq.PQerrorMessage(self.connection).decode())
        self.twin = TWINS.index(twin)
        self.types = types # a session that is not in a transaction
        self.executions = 1 if "plan_cache_mode = force_generic_plan" in settings else 6
        self.notices = []
        self.receiver = NOTICE_RECEIVER(self.notice)
        libpq.PQsetNoticeReceiver(self.connection, self.receiver, None)

    def notice(self, _, result):
        result = ctypes.c_void_p(result)
        self.notices.append([field(result, "S"), field(result, "C"), field(result, "M")])

    def outcome(self, result):
        """What a client sees of a result, as a dictionary; the result is freed."""
        result = result if isinstance(result, ctypes.c_void_p) else ctypes.c_void_p(result)
        status = libpq.PQresultStatus(result)
        seen = {"sqlstate": "00000"}
        if status in (PGRES_COMMAND_OK, PGRES_TUPLES_OK, PGRES_EMPTY_QUERY):
            columns = range(libpq.PQnfields(result))
            seen["tag"] = libpq.PQcmdStatus(result).decode()
            seen["columns"] = [[libpq.PQfname(result, c).decode(), type_name(self.types, libpq.PQftype(result, c))] for c in columns]
            seen["rows"] = [[self.value(result, r, c) for c in columns]
                            for r in range(libpq.PQntuples(result))]
        elif status == PGRES_COPY_OUT:
            seen["copy"] = self.copy_out()
        else:
            seen["sqlstate"] = field(result, "C") or "?"
            seen["error"] = field(result, "M") or libpq.PQerrorMessage(self.connection).decode()
            seen["names"] = [anonymous(field(result, code) or "") for code in "tcn"]
        libpq.PQclear(result)
        if self.notices:
            seen["notices"], self.notices = self.notices, []
        return seen

    @staticmethod
    def value(result, row, column):
        if libpq.PQgetisnull(result, row, column):
            return None
        length = libpq.PQgetlength(result, row, column)
        return ctypes.string_at(libpq.PQgetvalue(result, row, column), length).decode("utf-8", "backslashreplace")

    def copy_out(self):
        lines, buffer = [], ctypes.c_char_p()
        while libpq.PQgetCopyData(self.connection, ctypes.byref(buffer), 0) > 0:
            lines.append(buffer.value.decode())
        while (rest := libpq.PQgetResult(self.connection)) is not None:
            libpq.PQclear(ctypes.c_void_p(rest))
        return lines

    def run(self, sql, copy=None):
        result = ctypes.c_void_p(libpq.PQexec(self.connection, sql.encode()))
        if libpq.PQresultStatus(result) == PGRES_COPY_IN:
            libpq.PQclear(result)
            data = (copy or "").encode()
            libpq.PQputCopyData(self.connection, data, len(data))
            libpq.PQputCopyEnd(self.connection, None)
            result = ctypes.c_void_p(libpq.PQgetResult(self.connection))
        return self.outcome(result)

    def must(self, sql):
        seen = self.run(sql)
        if seen["sqlstate"] != "00000":
            sys.exit(f"{TWINS[self.twin]}: {seen['error']}\n{sql}")
        return seen

    def bound(self, sql, parameters):
        """A statement with parameters, as drivers send it; a dictionary as outcome()'s."""
        types = (ctypes.c_uint * len(parameters))(*(PARAMETER_TYPES[t] for t, _ in parameters))
        values = (ctypes.c_char_p * len(parameters))(
            *(None if v == "\\N" else v.encode() for _, v in parameters))
        seen = self.outcome(libpq.PQprepare(self.connection, b"s", sql.encode(), len(parameters), types))
        if seen["sqlstate"] != "00000":
            return seen
        described = ctypes.c_void_p(libpq.PQdescribePrepared(self.connection, b"s"))
        parameter_types = [type_name(self.types, libpq.PQparamtype(described, n)) for n in range(libpq.PQnparams(described))]
        libpq.PQclear(described)
        for binary in (0,) * self.executions + (1, 0):
            last = self.outcome(libpq.PQexecPrepared(
                self.connection, b"s", len(parameters), values, None, None, binary))
            seen = seen if seen.get("rows") and not binary else last
            if binary:
                seen["binary"] = last.get("rows")
            if last["sqlstate"] != "00000":
                return last
            if not sql.lstrip().upper().startswith("SELECT"):
                break
        seen["last rows"] = last["rows"]
        seen["parameters"] = parameter_types
        self.run("DEALLOCATE s")
        return seen

    def plan(self, sql, parameters):
        """The plan's nodes as EXPLAIN has them, in order; None where there is no plan."""
        if not re.match(r"\s*(SELECT|INSERT|UPDATE|DELETE|MERGE|WITH|VALUES|TABLE|EXECUTE|DECLARE)\b", sql, re.I):
            return None
        self.run("SAVEPOINT explain")
        sql = "EXPLAIN (FORMAT JSON, COSTS OFF) " + sql
        if parameters:
            for n in range(len(parameters), 0, -1):
                kind, value = parameters[n - 1]
                literal = "NULL" if value == "\\N" else "'" + value.replace("'", "''") + "'"
                sql = sql.replace(f"${n}", literal + ("" if kind == "unknown" else f"::{kind}"))
        seen = self.run(sql)
        self.run("ROLLBACK TO explain")
        if seen["sqlstate"] != "00000":
            return None
        nodes = []

        def walk(node):
            nodes.append(node)
            for child in node.get("Plans", ()):
                walk(child)

        for statement in json.loads(seen["rows"][0][0]):
            if "Plan" in statement:
                walk(statement["Plan"])
        return nodes


# What the client got ----------------------------------------------------------------

# Columns of one table, no functions, no condition on an encrypted column. (Rows that OFFSET
# skips are opened as well.)
PLAIN_READING = re.compile(
    r'SELECT (?!DISTINCT\b)[\w", .*]+ FROM "?(\w+)"?(?: (?:AS )?"?\w+"?)?'
    r'(?: WHERE [\w".]*\bid"? (?:(?:<|<=|=|>|>=|<>) \d+|BETWEEN \d+ AND \d+|IN \([\d, ]+\)))?'
    r'(?: ORDER BY (?:[\w".]+(?: ASC| DESC)?(?: NULLS (?:FIRST|LAST))?(?:, )?)+)?(?: LIMIT \d+)?$', re.I)


class Receipt:
    """Counts the values of encrypted columns that a client gets by statements of a form."""

    secrets = {}     # plaintext => columns that have it, as the tables were made
    columns = set()  # names of encrypted columns
    plain = set()    # and of the other ones, of the same tables
    tables = set()   # those tables

    @classmethod
    def learn(cls, session):
        """Which plaintexts there are, from the plain twin of each encrypted column."""
        where = """SELECT c.relname, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_type t ON t.oid = a.atttypid
            WHERE c.relnamespace = 'enc'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND t.typname LIKE 'enc\\_%'
            AND NOT a.attisdropped AND a.attnum > 0"""
        for table, column in session.must(where)["rows"]:
            cls.columns.add(column)
            cls.tables.add(table)
            cls.plain |= {name for name, in session.must(
                f"SELECT attname FROM pg_attribute WHERE attrelid = 'plain.{table}'::regclass AND attnum > 0")["rows"]}
            for value, in session.must(f"SELECT DISTINCT {column}::text FROM plain.{table} WHERE length({column}::text) >= 6")["rows"]:
                cls.secrets.setdefault(value, set()).add(column)

    def __init__(self, application):
        self.application, self.number, self.values, self.all = application, 0, set(), []
        self.changed = False # a policy, say, that opens values to compare them

    def name_next(self, session):
        self.number += 1
        session.run(f"SET application_name = '{self.application}.{self.number}'")

    def see(self, sql, parameters, copy, seen):
        given = sql + " ".join(v for _, v in parameters or ()) + (copy or "")
        cells = [v for row in seen.get("rows") or () for v in row if v is not None]
        cells += [v for line in seen.get("copy") or () for v in line.rstrip("\n").split("\t")]
        # A plain column has some of them, too.
        if "plain_email" not in sql:
            self.values |= {v for v in cells if v in self.secrets and v not in given}
        names = [name for name, _ in seen.get("columns") or ()]
        exactly = None
        plain = PLAIN_READING.match(sql)
        self.changed |= sql.upper().startswith(("CREATE", "ALTER"))
        if not parameters and plain and plain[1] in self.tables and not self.changed and not set(names) - self.columns - self.plain:
            exactly = sum(1 for row in seen.get("rows") or () for name, v in zip(names, row) if name in self.columns and v is not None)
        self.all.append([f"{self.application}.{self.number}", exactly])


# Forms ----------------------------------------------------------------------------

class Form:
    def __init__(self, file, header):
        self.file = os.path.basename(file)
        self.name, *flags = (part.strip() for part in header.split(" | "))
        self.flags = dict((f.split(":", 1) + [""])[:2] for f in flags)
        self.flags = {k.strip(): v.strip() for k, v in self.flags.items()}
        unknown = set(self.flags) - {"index", "indexonly", "noindex", "partitions", "plan", "multiset",
                                     "since", "commit", "except", "instead"}
        if unknown:
            sys.exit(f"{file}: {self.name}: what is {unknown}?")
        self.lines = []

    def statements(self, twin):
        """Triples of a statement's text, its parameters and what COPY reads."""
        found, text, parameters, copy = [], "", None, None
        for line in self.lines:
            side = re.match(r"(plain|enc): ?", line)
            if side:
                if side[1] != TWINS[twin]:
                    continue
                line = line[side.end():]
            if line.startswith("--bind "):
                parameters = [tuple(p.strip().split("=", 1)) for p in line[7:].split(" | ")]
                continue
            if line.startswith("--copy "):
                copy = line[7:].replace("\\\\", "\0").replace("\\n", "\n").replace("\\t", "\t").replace("\0", "\\")
                continue
            if line.startswith("--") or not (line.strip() or text):
                continue
            text += re.sub(r"@(\w+)@", lambda m: TYPES[m[1]][twin], line) + "\n"
            if line.rstrip().endswith(";") and text.count("$$") % 2 == 0:
                found.append((text.strip().rstrip(";"), parameters, copy))
                text, parameters, copy = "", None, None
        if text.strip():
            sys.exit(f"{self.file}: {self.name}: a statement does not end: {text}")
        return found


def read_forms(file):
    forms = []
    with open(file, encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("--- "):
                forms.append(Form(file, line[4:]))
            elif forms:
                forms[-1].lines.append(line.rstrip("\n"))
    return forms


# Comparing ------------------------------------------------------------------------

def short(value):
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) < 400 else text[:400] + "..."


def difference(left, right):
    """The first difference of two lists of rows."""
    if left is None or right is None:
        return f"{short(left)} and {short(right)}"
    for n, (a, b) in enumerate(zip(left, right)):
        if a != b:
            return f"row {n}: {short(a)} and {short(b)}"
    return f"{len(left)} and {len(right)} rows"


def compare(sql, left, right, multiset):
    problems = []
    ordered = re.search(r"\bORDER\s+BY\b", sql, re.I) and not multiset
    for what in sorted((set(left) | set(right)) - {"error"}):
        a, b = left.get(what), right.get(what)
        if what in ("rows", "last rows", "binary", "copy") and not ordered and a and b:
            a, b = sorted(a, key=str), sorted(b, key=str)
        if a != b:
            detail = difference(a, b) if what in ("rows", "last rows", "binary", "copy") else f"{short(a)} and {short(b)}"
            problems.append(f"{what}: {detail}")
    if problems:
        problems += [f"{twin}'s error: {seen['error']}" for twin, seen in zip(TWINS, (left, right)) if "error" in seen]
    return problems


def anonymous(name):
    """A name without the number of a hash partition: the twins hash differently."""
    return re.sub(r"^hashed_\d", "hashed_n", name)


def index_conditions(nodes):
    """Indexes that a plan uses for a condition, and whether index-only. Any index finds NULLs."""
    return [("NULLs" if re.search("IS (NOT )?NULL", n["Index Cond"]) else anonymous(n["Index Name"]),
             n["Node Type"] == "Index Only Scan")
            for n in nodes if "Index Name" in n and "Index Cond" in n]


def is_join(nodes):
    return len({n["Alias"] for n in nodes if "Alias" in n}) > 1


def compare_plans(form, plans):
    if None in plans:
        return [] if plans[0] == plans[1] else ["one has no plan"]
    problems, flags = [], form.flags
    left, right = ([name for name, _ in index_conditions(plan)] for plan in plans)
    # How two tables are joined is a matter of costs.
    judged = "index" in flags or not any(is_join(plan) for plan in plans)
    if judged and "noindex" not in flags and not set(left) <= set(right):
        problems.append(f"indexes: {left} and {right}")
    if "indexonly" in flags and not all(only for plan in plans for _, only in index_conditions(plan)):
        problems.append("a scan is not index-only")
    if "partitions" in flags:
        read = [sorted(anonymous(n["Relation Name"]) for n in plan if "Relation Name" in n) for plan in plans]
        if read[0] != read[1]:
            problems.append(f"partitions: {read[0]} and {read[1]}")
    if "plan" in flags:
        kinds = [[n["Node Type"] for n in plan] for plan in plans]
        if kinds[0] != kinds[1]:
            problems.append(f"plans: {kinds[0]} and {kinds[1]}")
    return problems


def run_form(form, sessions, look_at_plans, receipt):
    """Runs a form on both twins; returns problems and both indexes of its conditions."""
    lists = [form.statements(s.twin) for s in sessions]
    if len(lists[0]) != len(lists[1]):
        return ["it has not as many statements on both"], [[], []]
    problems, used = [], [[], []]
    slug, _, expected = form.flags.get("except", "").partition(" ")
    for session in sessions:
        if "commit" not in form.flags:
            session.must("BEGIN")
    for number, statements in enumerate(zip(*lists)):
        found = []
        if look_at_plans and "commit" not in form.flags:
            plans = [s.plan(*statement[:2]) for s, statement in zip(sessions, statements)]
            for twin in (0, 1):
                used[twin] += index_conditions(plans[twin] or ())
            if not slug:
                found += compare_plans(form, plans)
        receipt.name_next(sessions[1])
        seen = [s.bound(sql, parameters) if parameters else s.run(sql, copy)
                for s, (sql, parameters, copy) in zip(sessions, statements)]
        receipt.see(*statements[1], seen[1])
        different = compare(statements[0][0], *seen, "multiset" in form.flags)
        if slug and number == len(lists[0]) - 1:
            found += check_exception(expected, seen, different)
        else:
            found += different
        problems += [f"statement {number + 1}: {p}" for p in found]
    for session in sessions:
        session.run("ROLLBACK")
        session.must("DISCARD ALL")
        session.notices = []
    return problems, used


def check_exception(expected, seen, different):
    if seen[0]["sqlstate"] != "00000":
        return [f"the plain one fails: {seen[0]['error']}"]
    if seen[1]["sqlstate"] == expected:
        return []
    if {d.split(":")[0] for d in different} == set(expected.split()):
        return []
    return [f"not {expected}: {short(seen[1])}", *different]


def check_index_flags(form, used):
    if {"index", "indexonly"} & set(form.flags) and not used[0]:
        return ["the plain one uses no index"]
    if "noindex" in form.flags and set(used[0]) <= set(used[1]):
        return ["flag noindex is not needed"]
    return []


def main():
    conninfo, files = sys.argv[1], sys.argv[2:]
    sys.stdout.reconfigure(encoding="utf-8")
    forms = [form for file in files for form in read_forms(file)]
    only = os.environ.get("SDES_FORM")
    schema = read_forms(os.path.join(os.path.dirname(files[0]), "schema.sql"))
    for twin in TWINS:
        session = Session(conninfo, twin)
        for form in schema:
            for sql, *_ in form.statements(session.twin):
                session.must(sql)
    types = Session(conninfo, TWINS[0])
    Receipt.learn(types)
    forms = [form for form in forms
             if int(form.flags.get("since", 0)) * 10000 <= libpq.PQserverVersion(types.connection)]
    for number, (name, settings) in enumerate(PASSES):
        settings = [of_version(setting, types) for setting in settings]
        sessions = [Session(conninfo, twin, settings, types) for twin in TWINS]
        for n, form in enumerate(forms):
            if only and only not in form.name:
                continue
            began = time.monotonic()
            receipt = Receipt(f"form {number}.{n}")
            problems, used = run_form(form, sessions, number == 0, receipt)
            if number == 0:
                problems += check_index_flags(form, used)
            print(json.dumps({"pass": name, "form": form.name, "file": form.file,
                              "flags": form.flags, "problems": problems, "received": len(receipt.values), "receipts": receipt.all,
                              "ms": round((time.monotonic() - began) * 1000)}, ensure_ascii=False), flush=True)


main()
