#!/usr/bin/python3
"""Turns published test vectors into plain lines: those of the ciphers for
test_vectors.c, those of what the token does for test/agent/vector_tests.c.

    vectors.py {host | token} DIRECTORY

Each line is one vector: the operation, the file it came from, its number, its
fields in hexadecimal ("-" for none), and "valid" or "invalid". The vectors of
NIST and the RFCs are those of Debian's package python3-cryptography-vectors,
and have to be there. Those of project Wycheproof are read from the directory
given, which may be absent.
"""

import importlib.util
import json
import os
import sys

# Of an RSA key, in the order of PKCS #1.
RSA_PARTS = ("modulus", "publicExponent", "privateExponent", "prime1", "prime2",
             "exponent1", "exponent2", "coefficient")

WYCHEPROOF = ("aes_gcm_test.json", "hmac_sha256_test.json", "hkdf_sha256_test.json")


def emit(operation, source, number, fields, result):
    assert result in ("valid", "invalid"), result
    fields = [field or "-" for field in fields]
    print(operation, os.path.basename(source), number, *fields, result)


def records(path):
    """Yields the records of a NIST or RFC file: fields, and those of [sections]."""
    section, record = {}, {}
    with open(path, encoding="ascii") as lines:
        for line in lines:
            line = line.strip()
            if line.startswith("#"):
                continue
            if not line:
                if record:
                    yield {**section, **record}
                record = {}
            elif line.startswith("["):
                name, value = line.strip("[]").split("=")
                section[name.strip()] = value.strip()
            elif "=" in line:
                name, value = line.split("=", 1)
                record[name.strip().lower()] = value.strip()
            else:
                record[line] = ""
    if record:
        yield {**section, **record}


def nist_gcm(path):
    for number, r in enumerate(records(path)):
        if r["IVlen"] != "96" or r["Taglen"] != "128":
            continue
        result = "invalid" if "FAIL" in r else "valid"
        emit("gcm", path, number,
             (r["key"], r["iv"], r["aad"], r.get("pt", ""), r["ct"], r["tag"]), result)


def nist_sha256(path):
    for number, r in enumerate(r for r in records(path) if "md" in r):
        message = r["msg"][: int(r["len"]) // 4]
        emit("sha256", path, number, (message, r["md"]), "valid")


def nist_sha256_monte(path):
    seed = None
    for r in records(path):
        if "seed" in r:
            seed = r["seed"]
        else:
            emit("sha256monte", path, r["count"], (seed, r["md"]), "valid")
            seed = r["md"]


def rfc_hmac(path):
    for number, r in enumerate(records(path)):
        if "md" in r:
            emit("hmac", path, number, (r["key"], r["msg"][: int(r["len"]) // 4], r["md"]),
                 "valid")


def rfc_hkdf(path):
    merged = {}  # empty lines stand within a case, too
    for r in records(path):
        merged.update(r)
        if "okm" in r and merged["hash"] == "SHA-256":
            fields = [merged[name] for name in ("ikm", "salt", "info", "okm")]
            emit("hkdf", path, merged["count"], fields, "valid")


def wycheproof_tests(path):
    with open(path, encoding="utf-8") as text:
        for group in json.load(text)["testGroups"]:
            for test in group["tests"]:
                yield group, test


def wycheproof_gcm(path):
    for group, t in wycheproof_tests(path):
        if (group["keySize"], group["ivSize"], group["tagSize"]) == (256, 96, 128):
            emit("gcm", path, t["tcId"],
                 (t["key"], t["iv"], t["aad"], t["msg"], t["ct"], t["tag"]), t["result"])


def wycheproof_hmac(path):
    for group, t in wycheproof_tests(path):
        emit("hmac", path, t["tcId"], (t["key"], t["msg"], t["tag"]), t["result"])


def wycheproof_hkdf(path):
    for group, t in wycheproof_tests(path):
        # What is invalid is a size past the limit; it stands in for the output.
        output = t["okm"] or "00" * t["size"]
        emit("hkdf", path, t["tcId"], (t["ikm"], t["salt"], t["info"], output), t["result"])


def nist_keywrap(operation, path):
    for number, r in enumerate(r for r in records(path) if "k" in r):
        result = "invalid" if "FAIL" in r else "valid"
        emit(operation, path, number, (r["k"], r.get("p", ""), r["c"]), result)


def wycheproof_keywrap(operation, path):
    for group, t in wycheproof_tests(path):
        # "acceptable" is a key shorter than the standard wraps: a token may do either.
        if group["keySize"] == 256 and t["result"] != "acceptable":
            emit(operation, path, t["tcId"], (t["key"], t["msg"], t["ct"]), t["result"])


def wycheproof_oaep(path):
    for group, t in wycheproof_tests(path):
        key = group["privateKey"]
        # Without the zero that stands before a number whose first bit is set.
        parts = [key[name][2:] if key[name].startswith("00") else key[name]
                 for name in RSA_PARTS]
        operation = "oaep-label" if t["label"] else "oaep"
        emit(operation, path, t["tcId"], (*parts, t["msg"], t["ct"]), t["result"])


def package_directory():
    package = importlib.util.find_spec("cryptography_vectors")
    if package is None:
        sys.exit("vectors.py: the package python3-cryptography-vectors is not installed")
    return package.submodule_search_locations[0]


def there(wycheproof):
    if os.path.isdir(wycheproof):
        return True
    print("# the Wycheproof vectors are not there:", wycheproof)
    return False


def host(top, wycheproof):
    gcm = os.path.join(top, "ciphers", "AES", "GCM")
    sha2 = os.path.join(top, "hashes", "SHA2")
    nist_gcm(os.path.join(gcm, "gcmDecrypt256.rsp"))
    nist_gcm(os.path.join(gcm, "gcmEncryptExtIV256.rsp"))
    nist_sha256(os.path.join(sha2, "SHA256ShortMsg.rsp"))
    nist_sha256(os.path.join(sha2, "SHA256LongMsg.rsp"))
    nist_sha256_monte(os.path.join(sha2, "SHA256Monte.rsp"))
    rfc_hmac(os.path.join(top, "HMAC", "rfc-4231-sha256.txt"))
    rfc_hkdf(os.path.join(top, "KDF", "rfc-5869-HKDF-SHA256.txt"))
    rfc_hkdf(os.path.join(top, "KDF", "hkdf-generated.txt"))
    if there(wycheproof):
        for name, convert in zip(WYCHEPROOF, (wycheproof_gcm, wycheproof_hmac, wycheproof_hkdf)):
            convert(os.path.join(wycheproof, name))


def token(top, wycheproof):
    keywrap = os.path.join(top, "keywrap", "kwtestvectors")
    nist_gcm(os.path.join(top, "ciphers", "AES", "GCM", "gcmDecrypt256.rsp"))
    nist_keywrap("kw", os.path.join(keywrap, "KW_AD_256.txt"))
    nist_keywrap("kwp", os.path.join(keywrap, "KWP_AD_256.txt"))
    if there(wycheproof):
        wycheproof_gcm(os.path.join(wycheproof, "aes_gcm_test.json"))
        wycheproof_keywrap("kw", os.path.join(wycheproof, "aes_wrap_test.json"))
        wycheproof_keywrap("kwp", os.path.join(wycheproof, "aes_kwp_test.json"))
        wycheproof_oaep(
            os.path.join(wycheproof, "rsa_oaep_4096_sha256_mgf1sha256_test.json"))


if __name__ == "__main__":
    {"host": host, "token": token}[sys.argv[1]](package_directory(), sys.argv[2])
