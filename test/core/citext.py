#!/usr/bin/python3
"""citext.py [--write] CITEXT.SQL DIFFERENCES CONNINFO

Runs the statements of citext's own regression test three times, each in a database of
its own: as they are, with text in citext's place, and with sdes.enc_text, as a role that
may encrypt, search and decrypt. Demands that what enc_text gives differs from what citext
gives for the statements that DIFFERENCES lists, in the way that is listed there, and for
no others. Prints lines of TAP.

A statement is known by a hash, as its text is PostgreSQL's. Where enc_text gives what
text gives, that is the reason; where it does not, DIFFERENCES says why. --write prints
what DIFFERENCES should hold.
"""
import collections
import hashlib
import re
import sys

import psycopg2

BUCKET = "citext_bucket"
ENC = f"sdes.enc_text('{BUCKET}', 'searchable')"
OWN = re.compile(r"\b(citext_\w+|\w*::regtype)\b", re.I)


def statements(sql):
    """The statements of a script, without comments, and the lines that they begin in."""
    token = re.compile(
        r"--[^\n]*|/\*.*?\*/|E'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|\"[^\"]*\"|;|\s+|.", re.S | re.I)
    text, line, began = "", 1, None
    for piece in token.findall(sql):
        if piece == ";":
            yield began, text.strip()
            text, began = "", None
        elif piece.startswith("--") or piece.startswith("/*"):
            text += " "
        else:
            if began is None and not piece.isspace():
                began = line
            text += " " if piece.isspace() else piece
        line += piece.count("\n")


def with_type(statement, name):
    """The statement with another type where it names citext as a type."""
    statement = re.sub(r"::\s*citext\b", lambda _: "::" + name, statement, flags=re.I)
    statement = re.sub(r"\b(name|citext)(\s+)citext\b", lambda m: m[1] + m[2] + name,
                       statement, flags=re.I)
    return re.sub(r"\bAS citext\)", lambda _: f"AS {name})", statement, flags=re.I)


def run(conninfo, todo):
    """What each statement gives: its rows as text, its command tag or its SQLSTATE."""
    outcomes = []
    connection = psycopg2.connect(conninfo)
    connection.autocommit = True
    cursor = connection.cursor()
    psycopg2.extensions.register_type(psycopg2.extensions.new_type(
        tuple(range(1, 100000)), "ASIS", lambda value, _: value), connection)
    for statement in todo:
        try:
            cursor.execute(statement)
            if cursor.description is None:
                outcomes.append(cursor.statusmessage)
            else:
                rows = ["|".join("null" if v is None else v for v in row) for row in cursor]
                outcomes.append(" / ".join(rows) or "no row")
        except psycopg2.Error as error:
            outcomes.append(error.pgcode)
    connection.close()
    return outcomes


def prepare(conninfo):
    """Databases and roles: a conninfo for each of the three runs."""
    connection = psycopg2.connect(conninfo)
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute("CREATE ROLE citext_user LOGIN")
    for name in ("citext", "text", "enc"):
        cursor.execute(f"CREATE DATABASE citext_{name} OWNER citext_user TEMPLATE template0 "
                       "LC_COLLATE 'C' LC_CTYPE 'C.UTF-8'")
    connection.close()

    def of(name, role):
        return re.sub(r"\b(user|dbname)=\S+", "", conninfo) + f" user={role} dbname=citext_{name}"

    for name, extension in (("citext", "citext"), ("enc", "sdes")):
        connection = psycopg2.connect(of(name, "postgres"))
        connection.autocommit = True
        connection.cursor().execute(f"CREATE EXTENSION {extension}")
        if name == "enc":
            cursor = connection.cursor()
            cursor.execute("SELECT sdes.create_bucket(%s)", [BUCKET])
            cursor.execute("SELECT sdes.grant_access(%s, 'citext_user', '{encrypt,search,decrypt}')",
                           [BUCKET])
        connection.close()
    return [of(name, "citext_user") for name in ("citext", "text", "enc")]


def read_differences(path):
    """{ hash: (reason, citext's outcome, enc_text's) } of the lines "HASH REASON A -> B"."""
    listed = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            if line.strip() and not line.startswith("#"):
                key, reason, change = line.rstrip("\n").split(" ", 2)
                listed[key] = (reason, *change.split(" -> "))
    return listed


def short(outcome):
    return outcome if len(outcome) <= 60 else outcome[:40] + "..." + hashlib.md5(
        outcome.encode()).hexdigest()[:8]


def reason_of(statement, text, enc):
    """Why enc_text's outcome may differ from citext's, as far as that can be told."""
    if re.search(r"\bcitext_\w+\s*\(", statement, re.I):
        return "function"
    return "case" if text == enc else "WHY"


def main():
    arguments = sys.argv[1:]
    write = arguments[:1] == ["--write"]
    sql, listing, conninfo = arguments[write:]
    with open(sql, encoding="utf-8") as file:
        found = [s for s in statements(file.read()) if "EXTENSION" not in s[1]]
    citext, text, enc = (
        run(database, [with_type(statement, name) for _, statement in found])
        for database, name in zip(prepare(conninfo), ("citext", "text", ENC)))
    listed = read_differences(listing)
    seen, met, bad = collections.Counter(), {}, []
    for (line, statement), a, t, e in zip(found, citext, text, enc):
        key = hashlib.md5(statement.encode()).hexdigest()[:8]
        seen[key] += 1
        key += f".{seen[key]}" if seen[key] > 1 else ""
        if a == e:
            continue
        reason = reason_of(statement, t, e)
        met[key] = (reason, short(a), short(e))
        known = listed.get(key)
        if known is None or known[1:] != met[key][1:] or (reason != "WHY" and known[0] != reason):
            bad.append(f"line {line}: {statement}\n#     citext: {a}\n#     text: {t}\n#     enc_text: {e}")
        if write:
            if known and reason == "WHY":
                reason = known[0]
            print(f"{key} {reason} {short(a)} -> {short(e)}")
    if write:
        return
    for message in bad:
        print("not ok - " + message)
    for key in listed.keys() - met.keys():
        print(f"not ok - {key} is listed and was not met: {' '.join(listed[key])}")
    reasons = collections.Counter(reason for reason, *_ in listed.values())
    print(f"# {len(found)} statements of citext's test, {len(met)} differ:",
          ", ".join(f"{n} {r}" for r, n in reasons.most_common()))
    print(f"{'ok' if len(found) > 500 else 'not ok'} - citext's statements ran: {len(found) - len(met)} "
          "as on citext, the others as listed" if not bad else "not ok - citext's statements")


main()
