#!/usr/bin/env python3
"""crowd.py CONNINFO N SQL

N clients at once: each connects, runs SQL as soon as it may and stays until all
have their answer. Prints for each answer, which is the first column of the
first row or "SQLSTATE message", how many clients had it; then "connected" and
"answered" with the seconds until the last client was.
"""
import collections
import select
import sys
import time

import psycopg2
from psycopg2 import extensions

TIMEOUT = 60


class Client:
    def __init__(self, conninfo, sql):
        self.sql, self.cursor, self.answer = sql, None, None
        self.connected_at = 0
        self.connection = psycopg2.connect(conninfo, async_=1)

    def step(self):
        """Moves on; returns what to wait for, or None at the end."""
        try:
            wanted = self.connection.poll()
            if wanted == extensions.POLL_OK and self.cursor is None:
                self.connected_at = time.monotonic()
                self.cursor = self.connection.cursor()
                self.cursor.execute(self.sql)
                wanted = self.connection.poll()
            if wanted != extensions.POLL_OK:
                return select.POLLIN if wanted == extensions.POLL_READ else select.POLLOUT
            row = self.cursor.fetchone()
            self.answer = "nothing" if row is None else str(row[0])
        except psycopg2.Error as error:
            self.answer = f"{error.pgcode or '-'} {' '.join(str(error).split())}"
        return None


def main():
    conninfo, count, sql = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    began = time.monotonic()
    clients = [Client(conninfo, sql) for _ in range(count)]
    waiting, poll = {}, select.poll()

    def advance(client):
        wanted = client.step()
        if wanted is None:
            return
        fd = client.connection.fileno()
        waiting[fd] = client
        poll.register(fd, wanted)

    for client in clients:
        advance(client)
    while waiting and time.monotonic() - began < TIMEOUT:
        for fd, _ in poll.poll(1000):
            poll.unregister(fd)
            advance(waiting.pop(fd))
    answered = time.monotonic() - began
    answers = collections.Counter(client.answer or "no answer" for client in clients)
    for answer, times in answers.most_common():
        print(times, answer)
    print("connected", f"{max(client.connected_at for client in clients) - began:.2f}")
    print("answered", f"{answered:.2f}")


main()
