#!/usr/bin/python3
"""Builds CSRs from nothing but an answer of /csrattrs and a base name; shares no code with estd.

usage: csr_from_attrs.py ANSWER list|template [NAME OTHER_KEY OTHER_DIGEST]

ANSWER is DER. "list" is a client of RFC 7030 and 8951, which passes over the template; "template" one
of RFC 9908, which takes nothing beside the template but the signature's algorithm and the attributes
that bind a CSR to its connection. Prints JSON: `demands`, what was understood; `good`, a CSR that keeps
all of it; `broken`, for each demand one or two CSRs that break it and keep the others: a key of kind
OTHER_KEY, a signature with OTHER_DIGEST, what is left out, what has another value. Without NAME no
CSR is made.
DER by asn1crypto, keys and signatures by openssl.
"""
import base64
import json
import subprocess
import sys
import tempfile

from asn1crypto import core, parser

ANSWER, UNDERSTANDS = sys.argv[1:3]
NAME, OTHER_KEY, OTHER_DIGEST = sys.argv[3:] or [None] * 3

CURVES = {"1.2.840.10045.3.1.7": "P-256", "1.3.132.0.34": "P-384", "1.3.132.0.35": "P-521"}
SIGNATURES = {
    "1.2.840.10045.4.3.2": ("ec", "sha256"), "1.2.840.10045.4.3.3": ("ec", "sha384"),
    "1.2.840.10045.4.3.4": ("ec", "sha512"), "1.2.840.113549.1.1.11": ("rsa", "sha256"),
    "1.2.840.113549.1.1.12": ("rsa", "sha384"), "1.2.840.113549.1.1.13": ("rsa", "sha512"),
    "1.3.101.112": ("ed25519", None),
}
CHALLENGES = {"1.2.840.113549.1.9.7"} | {f"1.2.840.113549.1.9.16.2.{n}" for n in (56, 57, 58)}
EXTENSION_REQUEST = "1.2.840.113549.1.9.14"
TEMPLATE, EXTENSION_TEMPLATE = (f"1.2.840.113549.1.9.16.2.{n}" for n in (61, 62))
SAN = "2.5.29.17"
SAN_KINDS = {0x81: "email", 0x82: "dns", 0x86: "uri", 0x87: "ip"}


def tlv(tag, content):
    length = len(content)
    if length < 128:
        return bytes([tag, length]) + content
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(size)]) + size + content


def elements(content):
    """The (tag, content, whole) of each element in a content, read by asn1crypto, strictly."""
    out = []
    while content:
        length = parser.peek(content)
        whole, content = content[:length], content[length:]
        out.append((whole[0], parser.parse(whole, strict=True)[4], whole))
    return out


def oid(content):
    return core.ObjectIdentifier(contents=content).dotted


def oid_der(dotted):
    return core.ObjectIdentifier(dotted).dump()


def of_subject(dotted):
    return dotted.startswith("2.5.4.") or dotted in (
        "0.9.2342.19200300.100.1.1", "0.9.2342.19200300.100.1.25", "1.2.840.113549.1.9.1")


class Asked:
    """What an answer asks for."""

    def __init__(self):
        self.subject = []      # (OID, value DER or None)
        self.key = None        # "P-256", "rsa:2048", "ed25519"
        self.signatures = []   # OIDs
        self.extensions = []   # (OID, value or None)
        self.attributes = []   # (OID, value DER or None)

    def bare(self, dotted):
        if of_subject(dotted):
            self.subject.append((dotted, None))
        elif dotted in SIGNATURES:
            self.signatures.append(dotted)
        elif dotted.startswith("2.5.29."):
            self.extensions.append((dotted, None))
        else:
            self.attributes.append((dotted, None))

    def attribute(self, dotted, values):
        if dotted == "1.2.840.10045.2.1":
            self.key = CURVES[oid(values[0][1])]
        elif dotted == "1.2.840.113549.1.1.1":
            self.key = f"rsa:{int.from_bytes(values[0][1], 'big')}"
        elif dotted == "1.3.101.112":
            self.key = "ed25519"
        elif dotted in (EXTENSION_REQUEST, EXTENSION_TEMPLATE):
            assert len(values) == 1, "one Extensions"
            for _, extension, _ in elements(values[0][1]):
                parts = elements(extension)
                value = [content for tag, content, _ in parts if tag == 0x04]
                assert value or dotted == EXTENSION_TEMPLATE, "a value in an extensionRequest"
                self.extensions.append((oid(parts[0][1]), value[0] if value else None))
        elif not values:
            self.bare(dotted)
        elif of_subject(dotted):
            self.subject += [(dotted, whole) for _, _, whole in values]
        else:
            self.attributes += [(dotted, whole) for _, _, whole in values]

    def template(self, content):
        parts = elements(content)
        assert parts[0][2] == b"\x02\x01\x00", "version 0"
        for tag, inner, _ in parts[1:]:
            if tag == 0x30:
                for _, rdn, _ in elements(inner):
                    for _, pair, _ in elements(rdn):
                        both = elements(pair)
                        self.subject.append((oid(both[0][1]), both[1][2] if both[1:] else None))
            elif tag == 0xA0:
                fields = elements(inner)
                algorithm = elements(fields[0][1])
                dotted = oid(algorithm[0][1])
                if dotted == "1.2.840.113549.1.1.1":
                    numbers = elements(elements(fields[1][1][1:])[0][1])
                    size = int.from_bytes(numbers[0][1], "big").bit_length()
                    self.key = f"rsa:{size}"
                else:
                    assert len(fields) == 1, "no key but for RSA"
                    self.key = CURVES[oid(algorithm[1][1])] if algorithm[1:] else "ed25519"
            elif tag == 0xA1:
                for _, attribute, _ in elements(inner):
                    kind, values = elements(attribute)
                    self.attribute(oid(kind[1]), elements(values[1]))
        assert parts[-1][0] == 0xA1, "attributes are always there"


def understand(answer):
    asked = Asked()
    (tag, content, whole), = elements(answer)
    assert tag == 0x30 and whole == answer
    found = elements(content)
    templates = [a for tag, a, _ in found if tag == 0x30 and oid(elements(a)[0][1]) == TEMPLATE]
    by_template = UNDERSTANDS == "template" and templates
    if by_template:
        kind, values = elements(templates[0])
        (_, template, _), = elements(values[1])
        asked.template(template)
    for tag, inner, _ in found:
        if tag == 0x06:
            dotted = oid(inner)
            if not by_template or dotted in SIGNATURES:
                asked.bare(dotted)
            elif dotted in CHALLENGES and dotted not in [kind for kind, _ in asked.attributes]:
                asked.bare(dotted)
        elif not by_template and inner not in templates:
            kind, values = elements(inner)
            asked.attribute(oid(kind[1]), elements(values[1]))
    return asked


def openssl(*arguments, data=None):
    return subprocess.run(["openssl", *arguments], input=data, capture_output=True, check=True).stdout


KEYS = {}


def key_file(kind):
    if kind not in KEYS:
        if kind.startswith("rsa:"):
            how = ["RSA", "-pkeyopt", f"rsa_keygen_bits:{kind[4:]}"]
        elif kind == "ed25519":
            how = ["ED25519"]
        else:
            how = ["EC", "-pkeyopt", f"ec_paramgen_curve:{kind}"]
        KEYS[kind] = f"{FOLDER}/{kind}.pem"
        openssl("genpkey", "-algorithm", *how, "-out", KEYS[kind])
    return KEYS[kind]


def family(key):
    return "rsa" if key.startswith("rsa:") else "ed25519" if key == "ed25519" else "ec"


def default_value(dotted):
    printable = {"2.5.4.6": "DE", "2.5.4.5": NAME, "2.5.4.46": NAME}
    ia5 = {"0.9.2342.19200300.100.1.25": NAME, "1.2.840.113549.1.9.1": f"{NAME}@example.com"}
    if dotted in printable:
        return tlv(0x13, printable[dotted].encode())
    if dotted in ia5:
        return tlv(0x16, ia5[dotted].encode())
    return tlv(0x0C, NAME.encode())


def fill(tag):
    return {
        0x81: f"{NAME}@example.com".encode(), 0x82: f"{NAME}.example.com".encode(),
        0x86: f"urn:example:{NAME}".encode(), 0x87: bytes([192, 0, 2, 1]),
    }[tag]


def build(asked, broken=None):
    """A CSR that keeps all demands but the broken one: (demand, how, index)."""
    demand, how, index = broken or (None, None, None)
    key = asked.key or "P-256"
    if demand == "key":
        key = OTHER_KEY
    digest = {"P-384": "sha384", "P-521": "sha512"}.get(key, "sha256")
    for signature in asked.signatures:
        if SIGNATURES[signature][0] == family(key) or demand == "key":
            digest = SIGNATURES[signature][1]
    if demand == "signature":
        digest = OTHER_DIGEST

    rdns = []
    for number, (dotted, value) in enumerate(asked.subject):
        if (demand, index) == ("subject", number):
            if how == "missing":
                continue
            value = tlv(value[0], b"XX")
        pair = tlv(0x30, oid_der(dotted) + (value or default_value(dotted)))
        rdns.append(tlv(0x31, pair))
    sans = [kind for kind, _ in asked.extensions if kind == SAN]
    if not asked.subject and not sans:
        rdns.append(tlv(0x31, tlv(0x30, oid_der("2.5.4.3") + tlv(0x0C, NAME.encode()))))

    extensions = []
    for number, (dotted, value) in enumerate(asked.extensions):
        if (demand, index) == ("extension", number):
            if how == "missing":
                continue
            # nonRepudiation alone; serverAuth alone.
            value = {"2.5.29.15": bytes.fromhex("03020640"),
                     "2.5.29.37": bytes.fromhex("300a06082b06010505070301")}[dotted]
        if dotted == SAN:
            names = []
            for place, (tag, content, whole) in enumerate(elements(elements(value)[0][1])):
                if (demand, index) == ("san", place):
                    continue
                names.append(whole if content else tlv(tag, fill(tag)))
            if not names:
                continue
            value = tlv(0x30, b"".join(names))
        if value is None and dotted == "2.5.29.37":
            value = bytes.fromhex("300a06082b06010505070302")  # clientAuth
        extensions.append(tlv(0x30, oid_der(dotted) + tlv(0x04, value)))

    attributes = []
    if extensions:
        attributes.append((EXTENSION_REQUEST, tlv(0x30, b"".join(extensions))))
    for number, (dotted, value) in enumerate(asked.attributes):
        if (demand, index) == ("attribute", number):
            if how == "missing":
                continue
            value = tlv(0x0C, b"XX")
        attributes.append((dotted, value or tlv(0x0C, NAME.encode())))
    encoded = sorted(tlv(0x30, oid_der(kind) + tlv(0x31, value)) for kind, value in attributes)

    file = key_file(key)
    spki = openssl("pkey", "-in", file, "-pubout", "-outform", "DER")
    info = tlv(0x30, b"\x02\x01\x00" + tlv(0x30, b"".join(rdns)) + spki + tlv(0xA0, b"".join(encoded)))
    if key == "ed25519":
        path = f"{FOLDER}/info"
        open(path, "wb").write(info)
        signature = openssl("pkeyutl", "-sign", "-inkey", file, "-rawin", "-in", path)
        algorithm = tlv(0x30, oid_der("1.3.101.112"))
    else:
        signature = openssl("dgst", f"-{digest}", "-sign", file, data=info)
        dotted = next(o for o, pair in SIGNATURES.items() if pair == (family(key), digest))
        null = b"\x05\x00" if family(key) == "rsa" else b""
        algorithm = tlv(0x30, oid_der(dotted) + null)
    return tlv(0x30, info + algorithm + tlv(0x03, b"\x00" + signature))


def demands(asked):
    out = []
    if asked.key:
        out.append(("key", "other", None, asked.key))
    if asked.signatures:
        out.append(("signature", "other", None, " ".join(asked.signatures)))
    for number, (dotted, value) in enumerate(asked.subject):
        out.append(("subject", "missing", number, dotted))
        if value:
            out.append(("subject", "value", number, dotted))
    for number, (dotted, value) in enumerate(asked.extensions):
        if dotted == SAN:
            for place, (tag, _, _) in enumerate(elements(elements(value)[0][1])):
                out.append(("san", "missing", place, SAN_KINDS[tag]))
            continue
        out.append(("extension", "missing", number, dotted))
        if value:
            out.append(("extension", "value", number, dotted))
    for number, (dotted, value) in enumerate(asked.attributes):
        out.append(("attribute", "missing", number, dotted))
        if value:
            out.append(("attribute", "value", number, dotted))
    return out


with tempfile.TemporaryDirectory() as FOLDER:
    answer = open(ANSWER, "rb").read()
    asked = understand(answer)
    text = lambda der: base64.b64encode(der).decode()
    shown = [[kind, None if value is None else value.hex()] for kind, value in asked.attributes]
    said = {"demands": {
        "subject": [[kind, value and value.hex()] for kind, value in asked.subject],
        "key": asked.key, "signatures": sorted(asked.signatures),
        "extensions": [[kind, value and value.hex()] for kind, value in asked.extensions],
        "attributes": sorted(shown, key=str),
    }, "good": "", "broken": []}
    if NAME:
        said["good"] = text(build(asked))
        for demand, how, index, what in demands(asked):
            csr = text(build(asked, (demand, how, index)))
            said["broken"].append({"demand": demand, "how": how, "what": what, "csr": csr})
    print(json.dumps(said))
