#!/usr/bin/env python3
"""bind.py CONNINFO SQL [FORMAT:TYPE:HEX]...

Executes one statement with bound parameters through libpq's PQexecParams, as
drivers do. FORMAT is t (text) or b (binary), TYPE the OID of the parameter's
type (0: the server finds out), HEX the bytes of its value. Prints the SQLSTATE,
00000 when it worked.
"""
import ctypes
import ctypes.util
import sys

PGRES_COMMAND_OK, PGRES_TUPLES_OK = 1, 2
SQLSTATE = ord("C")

libpq = ctypes.CDLL(ctypes.util.find_library("pq") or "libpq.so.5")
libpq.PQconnectdb.restype = ctypes.c_void_p
libpq.PQexecParams.restype = ctypes.c_void_p
libpq.PQresultErrorField.restype = ctypes.c_char_p
libpq.PQerrorMessage.restype = ctypes.c_char_p


def main():
    conninfo, sql = sys.argv[1].encode(), sys.argv[2].encode()
    parts = [argument.split(":", 2) for argument in sys.argv[3:]]
    n = len(parts)
    values = [bytes.fromhex(value) for _, _, value in parts]
    connection = ctypes.c_void_p(libpq.PQconnectdb(conninfo))
    if libpq.PQstatus(connection) != 0:
        sys.exit(libpq.PQerrorMessage(connection).decode())
    result = ctypes.c_void_p(libpq.PQexecParams(
        connection, sql, n,
        (ctypes.c_uint * n)(*[int(oid) for _, oid, _ in parts]),
        (ctypes.c_char_p * n)(*values),
        (ctypes.c_int * n)(*[len(value) for value in values]),
        (ctypes.c_int * n)(*[form == "b" for form, _, _ in parts]), 0))
    if libpq.PQresultStatus(result) in (PGRES_COMMAND_OK, PGRES_TUPLES_OK):
        print("00000")
    else:
        state = libpq.PQresultErrorField(result, SQLSTATE)
        print(state.decode() if state else libpq.PQerrorMessage(connection).decode())


main()
