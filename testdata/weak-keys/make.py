#!/usr/bin/env python3
"""Writes CSRs whose keys belong to everybody: python3 make.py FOLDER.

The proof of possession of each verifies. Needs openssl and asn1crypto (Debian: python3-asn1crypto).
"""
import hashlib
import math
import random
import subprocess
import sys
from pathlib import Path

from asn1crypto import algos, core, csr, keys, pem, x509

CHOICE = random.Random(7030)
E = 65537


SMALL = math.prod(p for p in range(3, 8192, 2) if all(p % q for q in range(3, int(p**0.5) + 1, 2)))


def is_prime(n):
    return n % 2 == 1 and math.gcd(n, SMALL) == 1 and pow(2, n - 1, n) == 1


def usable(p):
    return is_prime(p) and (p - 1) % E != 0


def prime(bits):
    while True:
        p = int(subprocess.check_output(["openssl", "prime", "-generate", "-bits", str(bits)]))
        if (p - 1) % E != 0:
            return p


def after(n):
    n += 2
    while not usable(n):
        n += 2
    return n


def roca(bits, product):
    """A prime k * M + (65537^a mod M)."""
    while True:
        p = pow(E, CHOICE.getrandbits(200), product)
        p += product * CHOICE.getrandbits(bits - product.bit_length() + 1)
        if p >> (bits - 2) == 3 and usable(p):
            return p


def rsa_csr(name, n, phi):
    info = csr.CertificationRequestInfo({
        "version": "v1",
        "subject": x509.Name.build({"common_name": name}),
        "subject_pk_info": keys.PublicKeyInfo({
            "algorithm": {"algorithm": "rsa", "parameters": core.Null()},
            "public_key": keys.RSAPublicKey({"modulus": n, "public_exponent": E}),
        }),
        "attributes": csr.CRIAttributes([]),
    })
    digest = algos.DigestInfo({
        "digest_algorithm": {"algorithm": "sha256", "parameters": core.Null()},
        "digest": hashlib.sha256(info.dump()).digest(),
    }).dump()
    length = (n.bit_length() + 7) // 8
    padded = b"\0\1" + b"\xff" * (length - 3 - len(digest)) + b"\0" + digest
    signature = pow(int.from_bytes(padded, "big"), pow(E, -1, phi), n).to_bytes(length, "big")
    return csr.CertificationRequest({
        "certification_request_info": info,
        "signature_algorithm": {"algorithm": "sha256_rsa", "parameters": core.Null()},
        "signature": signature,
    }).dump()


def tlv(tag, content):
    length = bytes([len(content)]) if len(content) < 128 else bytes([0x81, len(content)])
    return bytes([tag]) + length + content


def ed25519_csr(name, key):
    subject = x509.Name.build({"common_name": name}).dump()
    algorithm = tlv(0x30, bytes.fromhex("06032b6570"))
    info = tlv(0x30, b"\2\1\0" + subject + tlv(0x30, algorithm + tlv(3, b"\0" + key)) + b"\xa0\0")
    # R is the identity and S is 0: this holds for every message if the key is the identity.
    signature = (1).to_bytes(32, "little") + bytes(32)
    return tlv(0x30, info + algorithm + tlv(3, b"\0" + signature))


def main():
    folder = Path(sys.argv[1])
    product = 1
    for p in range(2, 168):
        if all(p % q for q in range(2, p)):
            product *= p
    p, q = prime(1024), prime(1024)
    near = after(p)
    short, long = 8179, prime(2035)
    while (short * long).bit_length() != 2048:
        long = prime(2035)
    one, two = roca(1024, product), roca(1024, product)
    whole = prime(2048)
    all_of_them = {
        "prime": rsa_csr("prime", whole, whole - 1),
        "small-factor": rsa_csr("small-factor", short * long, (short - 1) * (long - 1)),
        "neighbors": rsa_csr("neighbors", p * near, (p - 1) * (near - 1)),
        "roca": rsa_csr("roca", one * two, (one - 1) * (two - 1)),
        "small-order": ed25519_csr("small-order", (1).to_bytes(32, "little")),
        "not-canonical": ed25519_csr("not-canonical", (2**255 - 19 + 1).to_bytes(32, "little")),
        "strong": rsa_csr("strong", p * q, (p - 1) * (q - 1)),
    }
    for name, der in all_of_them.items():
        (folder / f"{name}.pem").write_bytes(pem.armor("CERTIFICATE REQUEST", der))


main()
