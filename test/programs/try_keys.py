#!/usr/bin/python3
"""Tries to open a value with every key that was seen.

    try_keys.py SDES1:ARMOR BUCKET-UUID TYPE <keys in hexadecimal, one per line

Each is tried as it is and as the root of a sealing key (src/envelope/dek.c). For each
that opens the value it prints what it opens to. An implementation of the format of
its own: see src/envelope/envelope.h.
"""

import base64
import sys
import uuid

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

HEADER, NONCE = 23, slice(11, 23)


def main(armor, bucket, type_tag):
    text = armor.removeprefix("sdes1:")
    envelope = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    header, nonce = envelope[:HEADER], envelope[NONCE]
    tail = type_tag.encode() + uuid.UUID(bucket).bytes
    aads = [header + tail, header[:11] + bytes(12) + tail]
    for line in sys.stdin:
        seen = bytes.fromhex(line)
        if len(seen) not in (16, 24, 32):
            continue
        derived = HKDF(SHA256(), 32, None, b"sdes/v1/seal").derive(seen)
        for key in (seen, derived):
            for aad in aads:
                try:
                    print(AESGCM(key).decrypt(nonce, envelope[HEADER:], aad).decode("latin-1"))
                except InvalidTag:
                    pass


if __name__ == "__main__":
    main(*sys.argv[1:])
