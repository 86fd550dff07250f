#!/usr/bin/env python3
"""reader.py CONNINFO EXPECTED MODE JOURNAL PAUSE

A client that keeps reading orders and writes down what it got. EXPECTED holds
lines "ID EMAIL". MODE is cached (one connection, whose backend keeps its key;
made anew only when it is lost) or fresh (a connection for each value, whose
backend has to fetch the key).

A line of JOURNAL is when the statement began, when it ended (seconds since the
epoch), and what came of it: "ok", "wrong ID", or an SQLSTATE ("-" without one)
and a message. Ends when the file JOURNAL.stop is there.
"""
import os
import sys
import time

import psycopg2


def read(connection, number, expected):
    with connection.cursor() as cursor:
        cursor.execute("SELECT email FROM orders WHERE id = %s", (number,))
        row = cursor.fetchone()
    return "ok" if row is not None and row[0] == expected else f"wrong {number}"


def main():
    conninfo, expected_path, mode, journal_path, pause = sys.argv[1:]
    with open(expected_path, encoding="utf-8") as file:
        orders = [line.rstrip("\n").split(" ", 1) for line in file]
    journal = open(journal_path, "w", buffering=1, encoding="utf-8")
    connection, turn = None, 0
    while not os.path.exists(journal_path + ".stop"):
        turn += 1
        number, email = orders[turn % len(orders)]
        began = time.time()
        try:
            if connection is None:
                connection = psycopg2.connect(conninfo)
                connection.autocommit = True
            result = read(connection, number, email)
        except psycopg2.Error as error:
            result = f"{error.pgcode or '-'} {' '.join(str(error).split())}"
        journal.write(f"{began:.3f} {time.time():.3f} {result}\n")
        if connection is not None and (mode == "fresh" or connection.closed):
            connection.close()
            connection = None
        time.sleep(float(pause))


main()
