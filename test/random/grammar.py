"""grammar.py
Random SQL over the tables of schema.sql. Every statement's result is determined by the
tables' content alone: no LIMIT without a whole order, no aggregate that depends on one, no
UPDATE from several rows. It names nothing that differs between the twins but by
search_path, and its literals hold no canary.
"""
import random

TEXT, INT, NUM, PAN, TAGS, BOOL = "text", "int", "numeric", "pan", "tags", "bool"

# Table: its columns by type. Those of plain text are marked, as an encrypted value must
# not land there unless a cast says so.
TABLES = {
    "customer": {"id": INT, "name": TEXT, "email": TEXT, "phone": TEXT, "city": TEXT, "score": INT},
    "orders": {"id": INT, "customer_id": INT, "email": TEXT, "note": TEXT, "card": PAN,
               "status": TEXT, "total": NUM},
    "item": {"id": INT, "order_id": INT, "sku": TEXT, "descr": TEXT, "tags": TAGS, "qty": INT},
    "shop": {"code": TEXT, "title": TEXT},
    "visit": {"id": INT, "shop": TEXT, "who": TEXT},
}
VIEWS = {
    "people": {"id": INT, "name": TEXT, "email": TEXT, "city": TEXT, "score": INT},
    "order_lines": {"id": INT, "email": TEXT, "card": PAN, "sku": TEXT, "descr": TEXT,
                    "status": TEXT, "qty": INT},
    "sorted": {"id": INT, "name": TEXT, "phone": TEXT},
}
PLAIN_TEXT = {"city", "status"}
WORDS = ["red", "Red", "blue", "green", "", "a b", "common 1", "common 2", "common 3",
         "common@example.org", "it''s", "%", "x_y", "zoë", "10"]
CARDS = ["4111111111111111", "5555555555554444", "378282246310005"]
PATTERNS = ["%o%", "c%", "%1", "_ed", "%@example.org", "r%d", "%x\\_y%", "%"]
REGEXES = ["^c", "o.*n", "[0-9]+$", "(red|blue)", "^$", "example[.]org"]
COLLATIONS = ['"C"', '"en-x-icu"', '"de-x-icu"']


class Grammar:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.names = 0
        self.ids = 0
        self.bare = False  # columns only, and what may be done with them without a grant
        self.explicit = False  # columns with a cast, as for what is stored in plain text
        self.spilled = False  # whether such a column may hold a plaintext now

    # ---- small things ----

    def chance(self, percent):
        return self.random.random() * 100 < percent

    def pick(self, *choices):
        return self.random.choice(choices)

    def word(self):
        return f"'{self.random.choice(WORDS)}'"

    def number(self):
        return str(self.random.randrange(0, 50))

    def new_name(self, stem):
        self.names += 1
        return f"{stem}{self.names}"

    def columns(self, scope, kind):
        return [name for name, of in scope if of == kind]

    def column(self, scope, kind):
        """A column of that type, or None."""
        found = self.columns(scope, kind)
        return self.random.choice(found) if found else None

    def fresh(self):
        """Ids that no row has, with a number below 100000 added."""
        self.ids += 100000
        return str(self.ids)

    # ---- expressions ----

    def text(self, scope, depth=2):
        column = self.column(scope, TEXT)
        if self.bare and column:
            return column
        if self.explicit and column:
            column = f"{column}::text"
        if depth <= 0 or self.chance(45):
            return column if column and self.chance(80) else self.word()
        a = lambda: self.text(scope, depth - 1)
        n = lambda: str(self.random.randrange(0, 6))
        form = self.random.randrange(24)
        return [
            lambda: f"lower({a()})",
            lambda: f"upper({a()})",
            lambda: f"({a()} || {a()})",
            lambda: f"substr({a()}, {n()}, {n()})",
            lambda: f"left({a()}, {n()})",
            lambda: f"coalesce({a()}, {a()})",
            lambda: f"nullif({a()}, {a()})",
            lambda: f"CASE WHEN {self.bool(scope, depth - 1)} THEN {a()} ELSE {a()} END",
            lambda: f"CASE {a()} WHEN {self.word()} THEN {a()} WHEN {a()} THEN {self.word()} END",
            lambda: f"replace({a()}, {self.word()}, {self.word()})",
            lambda: f"concat({a()}, {self.int(scope, 0)}, {a()})",
            lambda: f"concat_ws('-', {a()}, {a()})",
            lambda: f"format('%s:%s', {a()}, {a()})",
            lambda: f"{a()}::text",
            lambda: f"{a()}::varchar(5)",
            lambda: f"trim(both from {a()})",
            lambda: f"md5({a()})",
            lambda: f"reverse({a()})",
            lambda: f"split_part({a()}, '@', 1)",
            lambda: f"regexp_replace({a()}, '{self.random.choice(REGEXES)}', '#')",
            lambda: f"{self.pick('greatest', 'least')}({a()}, {a()})",
            lambda: f"initcap({a()})",
            lambda: self.scalar(scope, depth - 1, TEXT),
            lambda: f"name_of({self.int(scope, 0)})",
        ][form]()

    def int(self, scope, depth=2):
        column = self.column(scope, INT)
        if depth <= 0 or self.chance(50):
            return column if column and self.chance(75) else self.number()
        a = lambda: self.int(scope, depth - 1)
        t = lambda: self.text(scope, depth - 1)
        form = self.random.randrange(9)
        return [
            lambda: f"({a()} + {a()})",
            lambda: f"({a()} % 7)",
            lambda: f"length({t()})",
            lambda: f"octet_length({t()})",
            lambda: f"strpos({t()}, {self.word()})",
            lambda: f"coalesce({a()}, 0)",
            lambda: f"cardinality({self.tags(scope)})",
            lambda: self.scalar(scope, depth - 1, INT),
            # What concat() and the like print of a value is ciphertext for a user's own function.
            lambda: f"customer_of({self.column(scope, TEXT) or self.word()})",
        ][form]()

    def tags(self, scope):
        column = self.column(scope, TAGS)
        if column and self.chance(80):
            return column
        return f"ARRAY[{self.word()}, {self.word()}]"

    def pan(self, scope):
        return self.column(scope, PAN) or f"'{self.random.choice(CARDS)}'"

    def value(self, scope, kind, depth=1):
        """An expression of that type."""
        if kind == TEXT:
            return self.text(scope, depth)
        if kind == INT:
            return self.int(scope, depth)
        if kind == PAN:
            return self.pan(scope)
        if kind == TAGS:
            return self.tags(scope)
        if kind == NUM:
            return self.column(scope, NUM) or f"{self.number()}.5"
        return self.bool(scope, depth)

    def bool(self, scope, depth=2):
        if self.bare:
            a, b = self.column(scope, TEXT), self.column(scope, TEXT)
            return self.pick(f"{self.int([], 0)} < {self.int(scope, 0)}",
                             f"{a} IS NOT NULL" if a else "true", f"{a} = {b}" if a else "true")
        form = self.random.randrange(5 if depth <= 0 else 22)
        t = lambda: self.text(scope, depth - 1)
        c = self.column(scope, TEXT) or self.word()
        compare = self.pick("=", "<>", "=", "=", "<", "<=", ">", ">=")
        return [
            lambda: f"{c} = {self.word()}",
            lambda: f"{c} IN ({self.word()}, {self.word()}, {self.word()})",
            lambda: f"{c} IS {self.pick('', 'NOT ')}NULL",
            lambda: f"{self.int(scope, 0)} {compare} {self.int(scope, 0)}",
            lambda: f"{c} {self.pick('=', '<>')} {self.column(scope, TEXT) or self.word()}",
            lambda: f"{t()} {compare} {t()}",
            lambda: f"{t()} {self.pick('', 'NOT ')}{self.pick('LIKE', 'ILIKE')} '{self.random.choice(PATTERNS)}'",
            lambda: f"{t()} {self.pick('~', '~*', '!~')} '{self.random.choice(REGEXES)}'",
            lambda: f"{c} = ANY (ARRAY[{self.word()}, {self.word()}, {self.word()}])",
            lambda: f"{c} = ANY ('{{red,blue,common 1}}')",
            lambda: f"{t()} IS {self.pick('', 'NOT ')}DISTINCT FROM {t()}",
            lambda: f"{t()} BETWEEN {self.word()} AND {self.word()}",
            lambda: f"({self.bool(scope, depth - 1)} {self.pick('AND', 'OR')} {self.bool(scope, depth - 1)})",
            lambda: f"NOT ({self.bool(scope, depth - 1)})",
            lambda: f"EXISTS ({self.subquery(scope, depth - 1, [TEXT])})",
            lambda: f"{c} {self.pick('', 'NOT ')}IN ({self.subquery(scope, depth - 1, [TEXT])})",
            lambda: f"({c}, {self.int(scope, 0)}) = ({t()}, {self.int(scope, 0)})",
            lambda: f"({c}, {self.int(scope, 0)}) IN ({self.subquery(scope, depth - 1, [TEXT, INT])})",
            lambda: f"{c} {self.pick('=', '<>', '<')} {self.pick('ANY', 'ALL')} ({self.subquery(scope, depth - 1, [TEXT])})",
            lambda: f"{self.pan(scope)} {self.pick('=', '<>')} {self.pan(scope)}",
            lambda: f"{c} = ANY ({self.tags(scope)})",
            lambda: f"lower({c}) = {self.pick('lower', 'upper')}({self.word()})",
        ][form]()

    def scalar(self, scope, depth, kind):
        """A subquery of one value."""
        inner = self.source(0)
        argument = self.value(inner[1] + scope, kind, depth)
        return (f"(SELECT {self.pick('min', 'max')}({argument}) FROM {inner[0]}"
                f" WHERE {self.bool(inner[1] + scope, 0)})")

    def subquery(self, scope, depth, kinds):
        inner = self.source(0)
        both = inner[1] + (scope if self.chance(50) else [])
        targets = ", ".join(self.value(inner[1], kind, depth) for kind in kinds)
        return f"SELECT {targets} FROM {inner[0]} WHERE {self.bool(both, depth)}"

    # ---- FROM ----

    def table(self, tables=None):
        """(text, scope) of a table or view under a new name."""
        tables = tables or (TABLES if self.chance(75) else VIEWS)
        name = self.random.choice(list(tables))
        alias = self.new_name(name[0])
        return f"{name} AS {alias}", [(f"{alias}.{c}", kind) for c, kind in tables[name].items()]

    def source(self, depth):
        if depth <= 0 or self.chance(55):
            return self.table()
        form = self.random.randrange(5)
        if form == 0:
            kinds = self.kinds()
            alias = self.new_name("q")
            names = [f"c{i}" for i in range(len(kinds))]
            return (f"({self.select(kinds, depth - 1)}) AS {alias} ({', '.join(names)})",
                    [(f"{alias}.{n}", kind) for n, kind in zip(names, kinds)])
        if form == 1:
            alias = self.new_name("v")
            rows = ", ".join(f"({self.word()}, {self.number()})" for _ in range(3))
            return f"(VALUES {rows}) AS {alias} (w, n)", [(f"{alias}.w", TEXT), (f"{alias}.n", INT)]
        left, right = self.source(depth - 1 if self.chance(30) else 0), self.table()
        if form == 2:
            inner = self.table()
            alias = self.new_name("l")
            return (f"{left[0]} CROSS JOIN LATERAL (SELECT count(*)::int AS n, min({self.text(inner[1], 0)}) AS w"
                    f" FROM {inner[0]} WHERE {self.bool(inner[1] + left[1], 0)}) AS {alias}",
                    left[1] + [(f"{alias}.n", INT), (f"{alias}.w", TEXT)])
        kind = self.pick("JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN")
        return f"{left[0]} {kind} {right[0]} ON {self.join(left[1], right[1])}", left[1] + right[1]

    def join(self, left, right):
        """An equality that can be hashed or merged (which FULL JOIN needs)."""
        of = TEXT if self.chance(65) else INT
        a, b = self.column(left, of), self.column(right, of)
        if a and b:
            return f"{a} = {b}"
        a, b = self.column(left, TEXT), self.column(right, TEXT)
        return f"{a} = {b}" if a and b else "true"

    def kinds(self):
        return [self.pick(TEXT, TEXT, TEXT, INT, PAN) for _ in range(self.random.randrange(1, 4))]

    # ---- SELECT ----

    def select(self, kinds, depth=2):
        """A SELECT of columns of these types, in no order."""
        form = self.random.randrange(10)
        if form == 0 and depth > 0:
            kinds_text = (kinds, depth - 1)
            return (f"({self.select(*kinds_text)}) {self.pick('UNION', 'UNION ALL', 'INTERSECT', 'EXCEPT')}"
                    f" ({self.select(*kinds_text)})")
        if form == 1 and depth > 0:
            return self.with_query(kinds, depth)
        if form == 2:
            return self.grouped(kinds, depth)
        source, scope = self.source(depth)
        distinct = "DISTINCT " if self.chance(15) else ""
        targets = ", ".join(self.value(scope, kind, depth) for kind in kinds)
        where = f" WHERE {self.bool(scope, depth)}" if self.chance(70) else ""
        return f"SELECT {distinct}{targets} FROM {source}{where}"

    def with_query(self, kinds, depth):
        name = self.new_name("w")
        inner = self.kinds()
        columns = [f"c{i}" for i in range(len(inner))]
        scope = [(f"{name}.{c}", kind) for c, kind in zip(columns, inner)]
        targets = ", ".join(self.value(scope, kind, 1) for kind in kinds)
        materialized = self.pick("", "MATERIALIZED ", "NOT MATERIALIZED ")
        return (f"WITH {name} ({', '.join(columns)}) AS {materialized}({self.select(inner, depth - 1)})"
                f" SELECT {targets} FROM {name} WHERE {self.bool(scope, 1)}")

    def grouped(self, kinds, depth):
        source, scope = self.source(depth)
        keys = [self.text(scope, 1 if self.chance(30) else 0)]
        keys = [k if not k.startswith("'") else self.column(scope, TEXT) or "1::text" for k in keys]
        key = keys[0]
        targets = []
        for kind in kinds:
            if kind == TEXT:
                t = self.text(scope, 1)
                targets.append(self.pick(
                    key, key, f"min({t})", f"max({t})", f"string_agg({t}, ',' ORDER BY {t})",
                    f"string_agg(DISTINCT {t}, ',')" if self.chance(30) else key,
                    f"array_to_string(array_agg({t} ORDER BY {t}), '/')"))
            elif kind == INT:
                t = self.text(scope, 1)
                targets.append(self.pick(
                    "count(*)::int", f"count({t})::int", f"count(DISTINCT {t})::int",
                    f"count(*) FILTER (WHERE {self.bool(scope, 0)})::int",
                    f"sum({self.int(scope, 0)})::int"))
            else:
                targets.append(self.pick("NULL", f"'{self.random.choice(CARDS)}'") + "::text")
        where = f" WHERE {self.bool(scope, 1)}" if self.chance(50) else ""
        having = f" HAVING {self.pick('count(*) > 1', 'min(' + key + ') > ' + self.word())}" if self.chance(25) else ""
        by = self.pick(key, key, key, f"ROLLUP ({key})")
        return f"SELECT {', '.join(targets)} FROM {source}{where} GROUP BY {by}{having}"

    def query(self):
        """(SELECT, whether its rows come in an order that is wholly given)."""
        form = self.random.randrange(10)
        if form == 0:
            return self.windowed(), False
        if form == 1:
            return self.shaped(), False
        if form == 2:
            return self.distinct_on(), True
        kinds = self.kinds()
        text = self.select(kinds)
        if not self.chance(60):
            return text, False
        alias = self.new_name("z")
        names = [f"o{i}" for i in range(len(kinds))]
        if self.chance(50) and not text.startswith("("):
            names = [str(i + 1) for i in range(len(kinds))]
        else:
            text = f"SELECT * FROM ({text}) AS {alias} ({', '.join(names)})"
        order = []
        for name, kind in zip(names, kinds):
            collate = ""
            if kind == TEXT and not name.isdigit() and self.chance(20):
                # Ties of a collation that the next key breaks; these are deterministic.
                collate = f" COLLATE {self.random.choice(COLLATIONS)}"
            order.append(name + collate + self.pick("", "", " DESC", " NULLS FIRST", " DESC NULLS LAST"))
        text += f" ORDER BY {', '.join(order)}"
        if self.chance(40):
            text += f" LIMIT {self.random.randrange(0, 8)} OFFSET {self.random.randrange(0, 3)}"
        return text, True

    def windowed(self):
        source, scope = self.table(TABLES if self.chance(70) else {"people": VIEWS["people"]})
        c = lambda: self.column(scope, TEXT)
        windows = [
            f"row_number() OVER (PARTITION BY {c()} ORDER BY {self.random.choice([n for n, k in scope if k != TAGS])}, {scope[0][0]})"
            if scope[0][1] == INT and "visit" not in source else f"count(*) OVER (PARTITION BY {c()})",
            f"rank() OVER (ORDER BY {c()})",
            f"dense_rank() OVER (ORDER BY {c()} DESC)",
            f"count(*) OVER (PARTITION BY {c()})",
            f"min({c()}) OVER (PARTITION BY {c()})",
            f"max({c()}) OVER ()",
            f"first_value({scope[1][0]}) OVER (ORDER BY {c()}, {', '.join(n for n, k in scope if k != TAGS)})",
        ]
        window = self.random.choice(windows)
        return f"SELECT {c()}, {window} AS w FROM {source} WHERE {self.bool(scope, 1)}"

    def shaped(self):
        """Results of other shapes: json, arrays, whole rows."""
        source, scope = self.table()
        alias = source.split()[-1]
        t = lambda: self.text(scope, 1)
        where = f" WHERE {self.bool(scope, 1)}"
        key = ", ".join(n for n, k in scope if k != TAGS)
        form = self.random.randrange(10)
        return [
            lambda: f"SELECT to_json({t()}) FROM {source}{where}",
            lambda: f"SELECT row_to_json({alias}) FROM {source}{where}",
            lambda: f"SELECT jsonb_build_object('a', {t()}, 'b', {t()}) FROM {source}{where}",
            lambda: f"SELECT json_agg({t()} ORDER BY {key}) FROM {source}{where}",
            lambda: f"SELECT jsonb_object_agg({self.int(scope, 0)}::text, {t()} ORDER BY {key}) FROM {source}"
                    f" WHERE {self.int(scope, 0)} IS NOT NULL AND {self.bool(scope, 0)}",
            lambda: f"SELECT ARRAY[{t()}, {t()}] FROM {source}{where}",
            lambda: f"SELECT array_agg({t()} ORDER BY {key}) FROM {source}{where}",
            lambda: f"SELECT {alias} FROM {source}{where}",
            lambda: f"SELECT {alias}.* FROM {source}{where}",
            lambda: f"SELECT tags, unnest(tags), tags[1], array_to_string(tags, ',') FROM item WHERE tags IS NOT NULL",
        ][form]()

    def distinct_on(self):
        source, scope = self.table()
        c = self.column(scope, TEXT)
        rest = ", ".join(n for n, k in scope if k != TAGS)
        return f"SELECT DISTINCT ON ({c}) {c}, {rest} FROM {source} WHERE {self.bool(scope, 1)} ORDER BY {c}, {rest}"

    # ---- statements that write ----

    def plain_text(self, scope, depth):
        self.explicit = self.spilled = True
        value = self.text(scope, depth)
        self.explicit = False
        return value

    def stored(self, scope, column, kind, depth=1):
        """A value for a column; an encrypted one lands in a plain column by a cast only."""
        if kind == PAN:
            return self.pick("NULL", f"'{self.random.choice(CARDS)}'", self.pan(scope))
        if kind == TAGS:
            return self.pick("NULL", f"'{{{self.pick('red', 'blue', 'common 1')},green}}'")
        if column in PLAIN_TEXT:
            return self.plain_text(scope, depth)
        value = self.value(scope, kind, depth)
        if column == "sku":
            return f"coalesce({value}, 'none')"
        return value

    def returning(self, scope):
        """Of the table written to only: which other row meets one of it is not given."""
        if not self.chance(40):
            return ""
        return f" RETURNING {self.pick(', '.join(name for name, _ in scope), self.text(scope, 1))}"

    def insert(self):
        table = self.pick("customer", "orders", "item", "shop")
        columns = TABLES[table]
        key = next(iter(columns))
        scope = [(f"{table}.{c}", kind) for c, kind in columns.items()]
        if self.chance(60):
            rows = []
            for _ in range(self.random.randrange(1, 4)):
                values = [self.fresh() if c == "id" else self.stored([], c, kind) for c, kind in columns.items()]
                rows.append(f"({', '.join(values)})")
            body = f"VALUES {', '.join(rows)}"
        else:
            source, inner = self.table(TABLES)
            values = []
            for c, kind in columns.items():
                values.append(f"{self.fresh()} + row_number() OVER (ORDER BY {', '.join(n for n, k in inner if k != TAGS)})"
                              if c == "id" else self.stored(inner, c, kind))
            body = f"SELECT {', '.join(values)} FROM {source} WHERE {self.bool(inner, 1)}"
        conflict = ""
        if self.chance(40):
            target = self.pick(key, "email") if table == "customer" else key
            name, kind = self.random.choice([(c, k) for c, k in columns.items() if c not in (key, "email", "tags")]
                                            or [("title", TEXT)])
            excluded = [(f"excluded.{c}", k) for c, k in columns.items()]
            conflict = f" ON CONFLICT ({target}) DO " + self.pick(
                "NOTHING", f"UPDATE SET {name} = excluded.{name}",
                f"UPDATE SET {name} = {self.stored(excluded, name, kind)} WHERE {self.bool(scope, 0)}")
        return f"INSERT INTO {table} ({', '.join(columns)}) {body}{conflict}{self.returning(scope)}"

    def update(self):
        if self.chance(8):
            return f"UPDATE shop SET code = coalesce(code || {self.word()}, 'x') WHERE {self.bool([('code', TEXT), ('title', TEXT)], 1)}"
        table = self.random.choice(list(TABLES))
        columns = TABLES[table]
        scope = [(f"{table}.{c}", kind) for c, kind in columns.items()]
        settable = [c for c in columns if c not in ("id", "email", "code", "shop")] or ["title"]
        chosen = self.random.sample(settable, min(len(settable), self.pick(1, 1, 2)))
        sets = ", ".join(f"{c} = {self.stored(scope, c, columns[c])}" for c in chosen)
        where = self.bool(scope, 1)
        if self.chance(25):
            source, inner = self.table(TABLES)
            column = self.random.choice([c for c in chosen if columns[c] == TEXT] or [None])
            if column:
                value = self.plain_text(inner, 1) if column in PLAIN_TEXT else self.text(inner, 1)
                sets = (f"{column} = coalesce((SELECT max({value}) FROM {source}"
                        f" WHERE {self.bool(inner + scope, 0)}), 'x')")
        return f"UPDATE {table} SET {sets} WHERE {where}{self.returning(scope)}"

    def delete(self):
        table = self.random.choice(list(TABLES))
        scope = [(f"{table}.{c}", kind) for c, kind in TABLES[table].items()]
        using, inner = "", []
        if self.chance(30):
            source, inner = self.table()
            using = f" USING {source}"
        return (f"DELETE FROM {table}{using} WHERE {self.bool(scope + inner, 1)}"
                f" AND {self.bool(scope, 0)}{self.returning(scope)}")

    def merge(self):
        source, inner = self.table(TABLES)
        table = self.pick("customer", "orders")
        alias = "target"
        scope = [(f"{alias}.{c}", kind) for c, kind in TABLES[table].items()]
        name = self.pick("name", "phone") if table == "customer" else "note"
        columns = [c for c in TABLES[table] if c != "email"]
        values = ", ".join(
            f"{self.fresh()} + {self.int(inner, 0)}" if c == "id" else self.stored(inner, c, TABLES[table][c]) for c in columns)
        actions = [
            f"WHEN MATCHED AND {self.bool(scope + inner, 0)} THEN "
            + self.pick("DELETE", "DO NOTHING", f"UPDATE SET {name} = {self.text(inner + scope, 1)}"),
            f"WHEN NOT MATCHED AND {self.bool(inner, 0)} THEN INSERT ({', '.join(columns)}) VALUES ({values})",
        ]
        return (f"MERGE INTO {table} AS {alias} USING {source} ON {self.join(scope, inner)} "
                + " ".join(actions if self.chance(60) else [self.random.choice(actions)]))

    def data_modifying(self):
        table = self.pick("customer", "item")
        scope = [(f"{table}.{c}", kind) for c, kind in TABLES[table].items()]
        text = self.column([(c, k) for c, k in TABLES[table].items()], TEXT)
        return (f"WITH gone AS (DELETE FROM {table} WHERE {self.bool(scope, 1)} RETURNING *)"
                f" SELECT {text}, count(*) FROM gone GROUP BY {text}")

    def write(self):
        return self.pick(self.insert, self.insert, self.update, self.update, self.delete,
                         self.merge, self.data_modifying)()
