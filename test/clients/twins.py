"""What the clients in Python share: TAP, the rows they write, the comparison of the
encrypted tables with their plain twins, and what other roles are to see.

The tables are those of schema.sql. A test runs the same code twice, with
search_path "plain" and "secret", and demands the same of both: values and their
Python types, descriptions, counts, command tags.
"""
import asyncio
import decimal
import inspect
import os
import subprocess
import sys
import traceback

TWINS = ("plain", "secret")
TEXT = 25  # pg_type.oid
TEXT_ARRAY = 1009

# email, name, card, city
CUSTOMERS = [
    ("ada@example.org", "Ada Lovelace", "4111 1111 1111 1111", "London"),
    ("grace@example.org", "Grace \"Amazing\" O'Hopper\\n\t,", "5555-5555-5555-4444", "New York"),
    ("emilie@example.fr", "Émilie du Châtelet", "378282246310005", "Paris"),
    (None, "", None, None),
    ("LONG@example.org", "long\n" * 2000, "6011111111111117", ""),
    ("嫦娥@example.cn", "sdes1 is no armor", "4111111111111111", "{北京,NULL}"),
    ("100%_off@example.org", "a\\.b", None, "(x,y)"),
]
MASKS = ("a" + "*" * 15, "A" + "*" * 15, "4111 1111 **** 1111")  # of the first one

tests = failures = 0


def ok(passed, name, *diagnostics):
    global tests, failures
    tests += 1
    failures += not passed
    print(f"{'ok' if passed else 'not ok'} {tests} - {name}", flush=True)
    if not passed:
        print(f"#   Failed test '{name}'", file=sys.stderr)
        for line in "\n".join(diagnostics).splitlines():
            print(f"#   {line[:2000]}", file=sys.stderr, flush=True)
    return passed


def equal(got, expected, name):
    return ok(typed(got) == typed(expected), name, f"     got: {got!r}", f"expected: {expected!r}")


def typed(value):
    """The value with the names of all types in it, so that 1 is not True nor '1'."""
    kind = type(value).__name__
    if isinstance(value, dict):
        return kind, [(typed(k), typed(v)) for k, v in value.items()]
    if isinstance(value, (str, bytes, bytearray, memoryview, int, float, decimal.Decimal, type(None))):
        return kind, bytes(value) if isinstance(value, memoryview) else value
    try:
        return kind, [typed(v) for v in value]
    except TypeError:
        return kind, repr(value)


class Twins:
    """Tests on two connections. connect(twin) makes one; recover(connection) is
    called after an error."""

    def __init__(self, connect, recover=lambda connection: connection.rollback()):
        self.connections = {twin: connect(twin) for twin in TWINS}
        self.recover = recover

    def run(self, twin, function):
        connection = self.connections[twin]
        try:
            result = function(connection)
            if inspect.iscoroutine(result):
                result = asyncio.get_event_loop().run_until_complete(result)
            return result
        except (Exception, SystemExit) as error:  # pylint: disable=broad-except
            why = traceback.format_exc()
            try:
                result = self.recover(connection)
                if inspect.iscoroutine(result):
                    asyncio.get_event_loop().run_until_complete(result)
            except Exception as again:  # pylint: disable=broad-except
                why += f"then: {again}"
            return Failed(f"{type(error).__name__}: {error}", why)

    def same(self, name, nonempty=True):
        """Decorates a function of a connection, which is called at once on both."""

        def decorate(function):
            plain, secret = (self.run(twin, function) for twin in TWINS)
            for twin, result in zip(TWINS, (plain, secret)):
                if isinstance(result, Failed):
                    ok(False, name, f"on {twin}: {result.why}")
                    return function
            if nonempty and not plain:
                ok(False, name, f"the plain twin gave {plain!r}")
                return function
            ok(typed(plain) == typed(secret), name,
               f" plain: {plain!r}", f"secret: {secret!r}",
               "(differs in types only)" if plain == secret else "")
            return function

        return decorate


class Failed:
    def __init__(self, error, why):
        self.error, self.why = error, why


def other_roles(query):
    """Tests of what others than oms can do. query(role, sql) gives the rows as
    lists, or the SQLSTATE of the error."""
    columns = "SELECT email, name, card FROM secret.customers WHERE id = 1"
    before = query("oms", columns)
    equal(query("support", columns), [list(MASKS)], "support sees masks")
    equal(query("support", "UPDATE secret.customers SET city = 'Ada Town' WHERE id = 1 RETURNING city, email"),
          [["Ada Town", MASKS[0]]], "support writes other columns")
    equal(query("support", "SELECT email FROM secret.customers WHERE id < 3 ORDER BY email DESC"),
          [["g" + "*" * 31], [MASKS[0]]], "and sorts by mask")
    equal(query("support", "UPDATE secret.customers SET email = 'x@example.org' WHERE id = 1 RETURNING id"),
          "42501", "support cannot write an encrypted column")
    equal(query("support", f"UPDATE secret.customers SET name = '{MASKS[1]}' WHERE id = 1 RETURNING id"),
          "42501", "nor a mask back")
    equal(query("support", "SELECT id FROM secret.customers WHERE email = 'ada@example.org'"),
          "42501", "nor compare")
    seen = query("stranger", columns)
    ok(isinstance(seen, list) and all(value.startswith("sdes1:") for value in seen[0]),
       "a role without grant sees armor", repr(seen))
    equal(query("stranger", "UPDATE secret.customers SET city = 'Strange' WHERE id = 1 RETURNING city"),
          [["Strange"]], "it writes other columns")
    equal(query("stranger", "UPDATE secret.customers SET email = 'x@example.org' WHERE id = 1 RETURNING id"),
          "42501", "it cannot write an encrypted column")
    equal(query("stranger", "SELECT email::text FROM secret.customers WHERE id = 1"),
          "42501", "it cannot cast")
    equal(query("stranger", "SELECT id FROM secret.customers WHERE email = 'ada@example.org'"),
          "42501", "nor compare")
    equal(query("oms", columns), before, "and all is as it was for oms")


def new_database(name):
    """Makes the database and returns its name."""
    subprocess.run([os.path.join(os.path.dirname(__file__), "database"), name], check=True)
    return name


def done():
    print(f"1..{tests}")
    sys.exit(failures > 0)
