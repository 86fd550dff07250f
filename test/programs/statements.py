#!/usr/bin/env python3
"""statements.py CONNINFO <KINDS

Runs statements over and over, to see whether the server's memory grows. A line
of KINDS is NAME, ROLE, HOW, SQLSTATE, COUNT and SQL, separated by tabs. HOW is
simple ({n} in SQL is a running number), params or prepared (the number is
parameter $1, a text; prepared parses the statement once). SQLSTATE is what each
has to end with, 00000 for success.

All statements of a role go to one backend, through libpq. After a quarter of
COUNT and after COUNT more, the backend's private memory (kB) and its memory
contexts (bytes) are looked at. Prints NAME, both before, both after, and the
number of statements that ended otherwise with the last one's SQLSTATE,
tab-separated.
"""
import ctypes
import ctypes.util
import re
import sys

SQLSTATE = ord("C")
CONTEXTS = b"SELECT pg_backend_pid(), sum(total_bytes) FROM pg_backend_memory_contexts"

libpq = ctypes.CDLL(ctypes.util.find_library("pq") or "libpq.so.5")
for name in ("PQconnectdb", "PQexec", "PQexecParams", "PQprepare", "PQexecPrepared"):
    getattr(libpq, name).restype = ctypes.c_void_p
for name in ("PQresultErrorField", "PQerrorMessage", "PQgetvalue"):
    getattr(libpq, name).restype = ctypes.c_char_p


class Backend:
    def __init__(self, conninfo):
        self.connection = ctypes.c_void_p(libpq.PQconnectdb(conninfo.encode()))
        if libpq.PQstatus(self.connection) != 0:
            sys.exit(libpq.PQerrorMessage(self.connection).decode())

    def state(self, result):
        result = ctypes.c_void_p(result)
        state = libpq.PQresultErrorField(result, SQLSTATE)
        libpq.PQclear(result)
        return state.decode() if state else "00000"

    def prepare(self, sql):
        return self.state(libpq.PQprepare(self.connection, b"s", sql.encode(), 0, None))

    def run(self, how, sql, n):
        """Runs a statement once; returns its SQLSTATE."""
        if how == "simple":
            text = sql.replace("{n}", str(n)).encode()
            return self.state(libpq.PQexec(self.connection, text))
        value = (ctypes.c_char_p * 1)(str(n).encode())
        if how == "params":
            return self.state(libpq.PQexecParams(
                self.connection, sql.encode(), 1, None, value, None, None, 0))
        return self.state(libpq.PQexecPrepared(
            self.connection, b"s", 1, value, None, None, 0))

    def memory(self):
        """Private memory in kB, memory contexts in bytes."""
        result = ctypes.c_void_p(libpq.PQexec(self.connection, CONTEXTS))
        pid, contexts = (int(libpq.PQgetvalue(result, 0, column)) for column in (0, 1))
        libpq.PQclear(result)
        with open(f"/proc/{pid}/status", encoding="ascii") as status:
            return int(re.search(r"RssAnon:\s+(\d+)", status.read())[1]), contexts


def main():
    conninfo, backends = sys.argv[1], {}
    number = 0
    for line in sys.stdin:
        kind, role, how, expected, count, sql = line.rstrip("\n").split("\t")
        if role not in backends:
            backends[role] = Backend(f"{conninfo} user={role}")
        backend = backends[role]
        wrong, last, seen = 0, "", []
        if how == "prepared":
            backend.run("simple", "DEALLOCATE ALL", 0)
            backend.prepare(sql)
        for rounds in (int(count) // 4, int(count)):
            for _ in range(rounds):
                number += 1
                state = backend.run(how, sql, number)
                if state != expected:
                    wrong, last = wrong + 1, state
            seen += backend.memory()
        print(kind, *seen, wrong, last, sep="\t", flush=True)


main()
