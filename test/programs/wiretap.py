#!/usr/bin/env python3
"""wiretap.py SERVER_SOCKET LISTEN_SOCKET DIRECTORY

Stands between clients and a server, passes all bytes on, and keeps them: of each
connection a file for what the client sent and one for what the server did. Two
files, so that no value is torn apart by what went the other way meanwhile.
"""
import asyncio
import sys


async def copy(reader, writer, path):
    with open(path, "ab", buffering=0) as record:
        try:
            while data := await reader.read(65536):
                record.write(data)
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        writer.close()


async def main(server, listen, directory):
    count = 0

    async def serve(reader, writer):
        nonlocal count
        count += 1
        base = f"{directory}/{count}"
        up_reader, up_writer = await asyncio.open_unix_connection(server)
        await asyncio.gather(copy(reader, up_writer, f"{base}.sent"),
                             copy(up_reader, writer, f"{base}.received"))

    async with await asyncio.start_unix_server(serve, listen) as listener:
        await listener.serve_forever()


asyncio.run(main(*sys.argv[1:]))
