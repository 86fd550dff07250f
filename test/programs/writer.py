#!/usr/bin/env python3
"""writer.py CONNINFO ORDERS JOURNAL ERRORS [BATCH [PAUSE]]

A client that keeps writing orders and a diary, while somebody kills parts of
the server. ORDERS is a file of orders in COPY's text format. They are inserted
as the application does it, by plain INSERT with literals, BATCH of them (1) in
a transaction, on a connection that is renewed every few transactions, since a
new session has to fetch its keys anew. After each it rests for PAUSE seconds (0).

A line of JOURNAL is "C" and the ids of a transaction whose COMMIT the server
confirmed, or "?" and those of one whose end is not known. A line of ERRORS is
an SQLSTATE ("-" without one) and the message of a statement that failed. Orders
whose transaction failed are not tried again. Ends by itself after the last
order, or when the file JOURNAL.stop is there.
"""
import os
import re
import sys
import time

import psycopg2

COLUMNS = ("id order_no placed_at status currency total items"
           " full_name email phone address card tax_id note").split()
INSERT = (f"INSERT INTO orders ({', '.join(COLUMNS)})"
          f" VALUES ({', '.join(['%s'] * len(COLUMNS))})")
ESCAPES = {"n": "\n", "t": "\t", "\\": "\\"}
TRANSACTIONS_PER_CONNECTION = 5


def decode(field):
    if field == r"\N":
        return None
    return re.sub(r"\\(.)", lambda match: ESCAPES[match[1]], field)


def read_orders(path):
    with open(path, encoding="utf-8", newline="\n") as file:
        for line in file:
            yield [decode(field) for field in line.rstrip("\n").split("\t")]


def connect(conninfo, note_error, stopped):
    while not stopped():
        try:
            return psycopg2.connect(conninfo)
        except psycopg2.OperationalError as error:
            note_error("connect", error)
            time.sleep(0.02)
    return None


def write_batch(connection, batch):
    """What became of it: C (committed), ? (not known), or None (failed)."""
    with connection.cursor() as cursor:
        for order in batch:
            cursor.execute(INSERT, order)
    try:
        connection.commit()
    except psycopg2.Error as error:
        error.sdes_fate = "?"
        raise
    return "C"


def main():
    conninfo, orders_path, journal_path, errors_path = sys.argv[1:5]
    size = int(sys.argv[5]) if len(sys.argv) > 5 else 1
    pause = float(sys.argv[6]) if len(sys.argv) > 6 else 0
    journal = open(journal_path, "w", buffering=1, encoding="utf-8")
    errors = open(errors_path, "w", buffering=1, encoding="utf-8")

    def note_error(state, error):
        text = " ".join(str(error).split())
        errors.write(f"{state or '-'} {text}\n")

    def stopped():
        return os.path.exists(journal_path + ".stop")

    connection, used, batch = None, 0, []
    for order in read_orders(orders_path):
        batch.append(order)
        if len(batch) < size:
            continue
        if connection is not None and used >= TRANSACTIONS_PER_CONNECTION:
            connection.close()
            connection = None
        if connection is None:
            connection, used = connect(conninfo, note_error, stopped), 0
        if connection is None or stopped():
            break
        fate = None
        try:
            fate = write_batch(connection, batch)
        except psycopg2.Error as error:
            fate = getattr(error, "sdes_fate", None)
            note_error(error.pgcode, error)
            connection.close()
            connection = None
        if fate is not None:
            journal.write(fate + " " + " ".join(order[0] for order in batch) + "\n")
        used += 1
        batch = []
        time.sleep(pause)


main()
