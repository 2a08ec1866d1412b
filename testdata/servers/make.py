#!/usr/bin/env python3
"""Writes the answers of other EST servers, byte for byte, into folders beside this file.

The forms are those of the sources and documents that ../README.md names. Keys and certificates are
generated anew at each run, so commit all files together. Needs openssl.
"""
import base64, os, subprocess, tempfile

HERE = os.path.dirname(os.path.abspath(__file__))


def run(*words, text=b""):
    return subprocess.run(words, input=text, check=True, capture_output=True, cwd=WORK).stdout


def tlv(tag, *parts):
    body = b"".join(parts)
    n = len(body)
    size = bytes([n]) if n < 128 else (lambda b: bytes([128 + len(b)]) + b)(
        n.to_bytes((n.bit_length() + 7) // 8, "big"))
    return bytes([tag]) + size + body


def ber(tag, *parts):
    """The same with an indefinite length."""
    return bytes([tag, 0x80]) + b"".join(parts) + b"\0\0"


SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")
DATA = bytes.fromhex("06092a864886f70d010701")


def certs_only(certificates, crls=b"", t=tlv):
    """SignedData (RFC 5652 section 5.1) with these certificates and nothing else."""
    signed = t(0x30, b"\x02\x01\x01", b"\x31\0", t(0x30, DATA), t(0xA0, *certificates), crls, b"\x31\0")
    return t(0x30, SIGNED_DATA, t(0xA0, signed))


def lines(data, columns, end, last=True):
    text = base64.b64encode(data)
    if not columns:
        return text
    cut = [text[i:i + columns] for i in range(0, len(text), columns)]
    return end.join(cut) + (end if last else b"")


def http(status, fields, body, length=True, version="1.1"):
    head = [f"HTTP/{version} {status}"] + list(fields)
    if length:
        head.append(f"Content-Length: {len(body)}")
    return "\r\n".join(head + ["", ""]).encode() + body


def chunked(status, fields, body):
    parts = [body[i:i + 2048] for i in range(0, len(body), 2048)]
    coded = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in parts) + b"0\r\n\r\n"
    return http(status, list(fields) + ["Transfer-Encoding: chunked"], coded, length=False)


def write(server, name, data):
    os.makedirs(os.path.join(HERE, server), exist_ok=True)
    with open(os.path.join(HERE, server, name + ".http"), "wb") as file:
        file.write(data)


WORK = tempfile.mkdtemp()
for ca, issuer in (("root", None), ("issuing", "root")):
    under = ["-CA", f"{issuer}.pem", "-CAkey", f"{issuer}.key"] if issuer else []
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
        "-keyout", f"{ca}.key", "-out", f"{ca}.pem", "-subj", f"/O=Other server/CN={ca}", "-days", "36500",
        "-addext", "basicConstraints=critical,CA:TRUE", *under)
for name in ("device", "made"):
    run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", f"{name}.key")
    run("openssl", "req", "-new", "-key", f"{name}.key", "-subj", "/CN=device", "-out", f"{name}.csr")
    sign = ["openssl", "x509", "-req", "-in", f"{name}.csr", "-CA", "issuing.pem", "-CAkey", "issuing.key",
            "-days", "36500"]
    with open(os.path.join(WORK, "extensions"), "w") as file:
        file.write("extendedKeyUsage=clientAuth\n")
    run(*sign, "-extfile", "extensions", "-out", f"{name}.pem")
    # Without extensions it is an X.509 version 1 certificate.
    run(*sign, "-out", f"{name}-v1.pem")
der = {n: run("openssl", "x509", "-in", f"{n}.pem", "-outform", "DER")
       for n in ("root", "issuing", "device", "device-v1", "made")}
made_key = run("openssl", "pkcs8", "-topk8", "-nocrypt", "-in", "made.key", "-outform", "DER")
with open(os.path.join(WORK, "device.key"), "rb") as key, open(os.path.join(HERE, "device.key"), "wb") as out:
    out.write(key.read())
CAS = [der["root"], der["issuing"]]
EMPTY_CRLS = b"\xa1\0"
POP = base64.b64decode("MAsGCSqGSIb3DQEJBw==")
RSA_4096 = base64.b64decode("MCkGCSqGSIb3DQEJBzARBgkqhkiG9w0BAQExBAICEAAGCSqGSIb3DQEBCw==")
CERTS_ONLY = "Content-Type: application/pkcs7-mime; smime-type=certs-only"
BASE64 = "Content-Transfer-Encoding: base64"

# cisco/libest 3.2: OpenSSL's base64 BIO, a Status field, Digest by MD5, csrattrs with the NUL of a C string.
ok = ["Status: 200 OK"]
write("libest", "cacerts", http("200 OK", ok + ["Content-Type: application/pkcs7-mime", BASE64],
                                lines(certs_only(CAS), 64, b"\n")))
write("libest", "csrattrs", http("200 OK", ok + ["Content-Type: application/csrattrs", BASE64],
                                 base64.b64encode(POP) + b"\0"))
for operation in ("simpleenroll", "simplereenroll"):
    write("libest", operation, http("200 OK", ok + [CERTS_ONLY, BASE64],
                                    lines(certs_only([der["device"]]), 64, b"\n")))
write("libest", "401", http("401 Unauthorized", [
    'WWW-Authenticate: Digest qop="auth", realm="estrealm", nonce="3f2a9c0d"', "Content-Type: text/plain",
    "Connection: close"], b"Unauthorized\n"))
# No length and no end: the connection stays open.
write("libest", "202", http("202 Accepted", ["Status: 202 Accepted", "Retry-After: 3600"], b"", length=False))

# globalsign/est: Go's net/http (chunked from 2048 bytes on), lines of 76 ended by CRLF, crls present and empty.
write("globalsign", "cacerts", chunked("200 OK", ["Content-Transfer-Encoding: base64",
      "Content-Type: application/pkcs7-mime"], lines(certs_only(CAS, EMPTY_CRLS), 76, b"\r\n")))
write("globalsign", "csrattrs", http("200 OK", [BASE64, "Content-Type: application/csrattrs"],
                                     lines(RSA_4096, 76, b"\r\n")))
for operation in ("simpleenroll", "simplereenroll"):
    write("globalsign", operation, http("200 OK", [BASE64, CERTS_ONLY],
                                        lines(certs_only([der["device"]], EMPTY_CRLS), 76, b"\r\n")))
parts = b"".join(b"--estServerKeyGenBoundary\r\nContent-Transfer-Encoding: base64\r\nContent-Type: " + kind
                 + b"\r\n\r\n" + lines(data, 76, b"\r\n") + b"\r\n" for kind, data in (
                     (b"application/pkcs8", made_key),
                     (b"application/pkcs7-mime; smime-type=certs-only", certs_only([der["made"]], EMPTY_CRLS))))
write("globalsign", "serverkeygen", http("200 OK", [
    "Content-Type: multipart/mixed; boundary=estServerKeyGenBoundary"],
    parts + b"--estServerKeyGenBoundary--\r\n"))
write("globalsign", "401", http("401 Unauthorized", ['WWW-Authenticate: Basic realm="EST"',
      "Content-Type: text/plain; charset=utf-8"], b"401 authorization required\n"))
write("globalsign", "202", http("202 Accepted", ["Content-Type: text/plain; charset=utf-8",
      "Retry-After: 600"], b"202 accepted\n"))

# Java servers (EJBCA and others): Bouncy Castle's CMS in BER with indefinite lengths.
write("bouncycastle", "cacerts", http("200 OK", ["Content-Type: application/pkcs7-mime", BASE64],
                                      lines(certs_only(CAS, t=ber), 64, b"\n", last=False)))
write("bouncycastle", "csrattrs", http("204 No Content", [], b"", length=False))
for operation in ("simpleenroll", "simplereenroll"):
    write("bouncycastle", operation, http("200 OK", ["Content-Type: application/pkcs7-mime;smime-type=certs-only",
          BASE64], lines(certs_only([der["device"]], t=ber), 64, b"\n", last=False)))
write("bouncycastle", "401", http("401 Unauthorized", ['www-authenticate: Basic realm="est", charset="UTF-8"'], b""))
write("bouncycastle", "202", http("202 Accepted", ["Retry-After: Fri, 31 Dec 9999 23:59:59 GMT"], b""))

# One line without an end, no Content-Transfer-Encoding (RFC 8951), the chain in each answer, other parameters.
write("chain", "cacerts", http("200 OK", ["content-type: application/pkcs7-mime; charset=utf-8"],
                               base64.b64encode(certs_only(CAS))))
write("chain", "csrattrs", http("404 Not Found", ["content-type: text/html"], b"<html>404</html>"))
for operation in ("simpleenroll", "simplereenroll"):
    write("chain", operation, http("200 OK", ['Content-Type: application/pkcs7-mime; name="c.p7c"; smime-type="certs-only"'],
          base64.b64encode(certs_only([der["root"], der["device"], der["issuing"]]))))
write("chain", "serverkeygen", http("200 OK", ['Content-Type: Multipart/Mixed ; Boundary="a b"'],
      b"\r\n--a b\r\nContent-Type: application/pkcs7-mime\r\n\r\n"
      + base64.b64encode(certs_only([der["root"], der["issuing"], der["made"]]))
      + b"\r\n--a b\r\ncontent-type: application/pkcs8\r\n\r\n" + base64.b64encode(made_key) + b"\r\n--a b--"))
write("chain", "401", http("401 Unauthorized", ['WWW-Authenticate: Bearer realm="x", Basic realm="x"'], b""))
write("chain", "202", http("202 Accepted", ["Retry-After: 120"], b"accepted"))

# A version 1 certificate, HTTP/1.0 without a length, ended by the connection; PEM armor; DER as it is; no media type.
write("old", "cacerts", http("200 OK", ["Content-Type: application/x-pkcs7-mime"],
      b"-----BEGIN PKCS7-----\n" + lines(certs_only(CAS), 64, b"\n") + b"-----END PKCS7-----\n", length=False, version="1.0"))
write("old", "csrattrs", http("200 OK", [], base64.b64encode(POP).rstrip(b"="), length=False, version="1.0"))
for operation in ("simpleenroll", "simplereenroll"):
    write("old", operation, http("200 OK", ["Content-Type: application/pkcs7-mime"],
                                 certs_only([der["device-v1"]]), length=False, version="1.0"))
write("old", "401", http("401 Unauthorized", ['WWW-Authenticate: Basic realm="old"'], b"", length=False, version="1.0"))
write("old", "202", http("202 Accepted", [], b"", length=False, version="1.0"))
