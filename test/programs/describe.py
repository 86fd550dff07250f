#!/usr/bin/env python3
"""describe.py CONNINFO SQL OTHER-SQL

Prepares SQL on one connection through the protocol, as drivers do. Runs
OTHER-SQL on another connection, so that the statement is analysed anew. Then
describes the statement and executes it. Prints, a line each, the result's type
at first, its type after, and the first value (or the error of a step).
"""
import ctypes
import ctypes.util
import sys

PGRES_COMMAND_OK, PGRES_TUPLES_OK = 1, 2

libpq = ctypes.CDLL(ctypes.util.find_library("pq") or "libpq.so.5")
for name in ("PQconnectdb", "PQprepare", "PQdescribePrepared", "PQexecPrepared", "PQexec"):
    getattr(libpq, name).restype = ctypes.c_void_p
libpq.PQgetvalue.restype = ctypes.c_char_p
libpq.PQerrorMessage.restype = ctypes.c_char_p


def connect(conninfo):
    connection = ctypes.c_void_p(libpq.PQconnectdb(conninfo.encode()))
    if libpq.PQstatus(connection) != 0:
        sys.exit(libpq.PQerrorMessage(connection).decode())
    return connection


def good(connection, result):
    result = ctypes.c_void_p(result)
    if libpq.PQresultStatus(result) not in (PGRES_COMMAND_OK, PGRES_TUPLES_OK):
        print(libpq.PQerrorMessage(connection).decode().splitlines()[0])
        return None
    return result


def describe(connection):
    result = good(connection, libpq.PQdescribePrepared(connection, b"s"))
    if result:
        print(libpq.PQftype(result, 0))


def main():
    conninfo, sql, other = sys.argv[1:]
    client, neighbour = connect(conninfo), connect(conninfo)
    good(client, libpq.PQprepare(client, b"s", sql.encode(), 0, None))
    describe(client)
    good(neighbour, libpq.PQexec(neighbour, other.encode()))
    describe(client)
    result = good(client, libpq.PQexecPrepared(client, b"s", 0, None, None, None, 0))
    if result:
        print(libpq.PQgetvalue(result, 0, 0).decode())


main()
