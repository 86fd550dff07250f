"""What is measured side by side: one table each, with the same rows.

A row is a number, a note and an e-mail address, both of 25 characters; the address can be
looked up, so it has an index. Peers have no searchable type: they look up by a MAC of the
address in a column of its own, or by a ciphertext that is always the same.
"""
from dataclasses import dataclass

PASSPHRASE = "'correct horse battery staple, 2 x'"
KEY = "'\\x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f'::bytea"

IVS = "gen_random_bytes(16) AS iv1, gen_random_bytes(16) AS iv2"

# The n-th address; the rows are not in the order of the addresses.
EMAIL = "'user' || lpad(({})::text, 9, '0') || '@example.org'"
NOTE = "'note of row ' || lpad(({})::text, 13, '0')"
LENGTH = 25  # of both


@dataclass(frozen=True)
class Kind:
    name: str  # of the table, and in results.csv
    title: str
    options: str
    columns: str
    seal_note: str = "s.note"
    seal_email: str = "s.email"
    open: str = "{}"  # the text of a column
    token: str = ""  # the expression that goes into the index, if it is no column of its own
    fraction: int = 1  # of the rows that the others have; figures are per row or value
    extension: str = ""
    same: bool = False  # the same text has the same value
    with_iv: bool = False
    bucket: str = ""
    searchable: bool = True
    mode: str = "cached"
    audit: str = "async"

    def sealed(self, note="s.note", email="s.email"):
        """What goes into the columns, made of these expressions."""
        columns = {"note": self.seal_note.replace("s.note", note), "email": self.seal_email.replace("s.email", email)}
        if self.token:
            columns["email_mac"] = self.token.format(email)
        return columns

    def insert(self, table, source):
        """INSERT...SELECT of all rows of a source with the columns id, note and email."""
        columns = {"id": "s.id", **self.sealed()}
        if self.with_iv:
            source = f"(SELECT *, {IVS} FROM {source} rows OFFSET 0)"
        return f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(columns.values())} FROM {source} s"

    def insert_one(self, table, note, email):
        """One row, which gets the next number."""
        columns = self.sealed(note, email)
        return f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(columns.values())}{self.from_ivs}"

    def update_one(self, table, note, number):
        return f"UPDATE {table} SET note = {self.sealed(note)['note']}{self.from_ivs} WHERE id = {number}"

    @property
    def from_ivs(self):
        return f" FROM (SELECT {IVS} OFFSET 0) s" if self.with_iv else ""

    def select(self, columns):
        return ", ".join(self.open.format(c) + f" AS {c}" for c in columns)

    @property
    def indexed(self):
        return "email_mac" if self.token else "email"

    def equals(self, text):
        """The condition that the index answers."""
        if self.token:
            return f"email_mac = {self.token.format(text)}"
        if self.same:
            return f"email = {self.seal_email.replace('s.email', text)}"
        return f"email = {text}"

    @property
    def is_sdes(self):
        return self.bucket != ""


def _sdes(name, title, options, searchable=True, **more):
    email = f"sdes.enc_text('{name}', 'searchable')" if searchable else f"sdes.enc_text('{name}')"
    return Kind(name, title, options, f"note sdes.enc_text('{name}') NOT NULL, email {email} NOT NULL",
                bucket=name, searchable=searchable, **more)


_BYTES = "note bytea NOT NULL, email bytea NOT NULL"
_BYTES_MAC = _BYTES + ", email_mac bytea NOT NULL"
_MAC = f"hmac({{}}, {PASSPHRASE}, 'sha256')"
_PGP_OPEN = f"pgp_sym_decrypt({{}}, {PASSPHRASE})"


def _pgp(name, title, options, arguments, fraction):
    seal = f"pgp_sym_encrypt({{}}, {PASSPHRASE}{arguments})"
    return Kind(name, title, options, _BYTES_MAC, seal.format("s.note"), seal.format("s.email"), _PGP_OPEN,
                _MAC, fraction, "pgcrypto")


def _raw(column, iv):
    return f"{iv} || encrypt_iv(convert_to({column}, 'UTF8'), {KEY}, {iv}, 'aes')"


def _det(direction, value):
    return f"pgsodium.crypto_aead_det_{direction}({value}, ''::bytea, {KEY})"


KINDS = [
    Kind("plain", "plain text", "`text`", "note text NOT NULL, email text NOT NULL"),
    Kind("copy", "copied, the floor", "`bytea` as large as sdes' values, by functions that only copy",
         _BYTES, "copy_in(s.note, 39)", "copy_in(s.email, 57)", "copy_out({})", same=True),
    _sdes("sdes", "sdes", "mode cached, e-mail searchable, audit async"),
    _sdes("strict", "sdes, audit strict", "mode cached, e-mail searchable, audit strict (the default)", audit="strict"),
    _sdes("cached", "sdes, not searchable", "mode cached, no token, audit async", searchable=False),
    _sdes("hsm", "sdes, mode hsm", "mode hsm (SoftHSM2), e-mail searchable, audit async", mode="hsm", fraction=100),
    Kind("raw", "pgcrypto raw",
         "`encrypt_iv(…, 'aes')` (CBC, PKCS padding), 256-bit key, random IV before the value, no authentication;"
         " `hmac(…, 'sha256')` to look up", _BYTES_MAC, _raw("s.note", "s.iv1"), _raw("s.email", "s.iv2"),
         f"convert_from(decrypt_iv(substr({{0}}, 17), {KEY}, substr({{0}}, 1, 16), 'aes'), 'UTF8')",
         _MAC, 10, "pgcrypto", with_iv=True),
    _pgp("pgp_s2k0", "pgcrypto pgp, s2k-mode 0",
         "`pgp_sym_encrypt(…, 's2k-mode=0')`: no salt, the passphrase hashed once, AES-128; `hmac()` to look up",
         ", 's2k-mode=0'", 20),
    _pgp("pgp", "pgcrypto pgp, defaults", "`pgp_sym_encrypt(…)`: s2k-mode 3, AES-128; `hmac()` to look up", "", 500),
    Kind("pgsodium", "pgsodium", "`crypto_aead_det_encrypt()` (XChaCha20-SIV), key given; looked up by ciphertext",
         _BYTES, _det("encrypt", "convert_to(s.note, 'UTF8')"), _det("encrypt", "convert_to(s.email, 'UTF8')"),
         f"convert_from({_det('decrypt', '{}')}, 'UTF8')", "", 10, "pgsodium", same=True),
]
