#!/usr/bin/env python3
"""Judges certificates: OpenSSL parses each, and two DER writers write it anew as it was.

Standard input: length (4 bytes, big-endian) and certificate, length and CSR, and so on. Prints how
many certificates were right, or what is wrong with the first that is not, and ends with 1.

1. asn1crypto (Debian: python3-asn1crypto) walks every value, inside extensions and otherNames too, and
   writes each from its Python value; it also parses fields and extensions with the types of RFC 5280
   and writes them from what it read.
2. OpenSSL, by ctypes on libcrypto, parses the certificate, its key and each of its extensions, and
   writes the TBSCertificate anew (i2d_re_X509_tbs) and each extension.
"""
import ctypes
import ctypes.util
import sys

from asn1crypto import core, parser, x509

crypto = ctypes.CDLL(ctypes.util.find_library("crypto"))
POINTER = ctypes.c_void_p
for name, result, arguments in [
    ("d2i_X509", POINTER, [POINTER, POINTER, ctypes.c_long]),
    ("i2d_X509", ctypes.c_int, [POINTER, POINTER]),
    ("i2d_re_X509_tbs", ctypes.c_int, [POINTER, POINTER]),
    ("X509_free", None, [POINTER]),
    ("X509_get0_pubkey", POINTER, [POINTER]),
    ("X509_get_ext_count", ctypes.c_int, [POINTER]),
    ("X509_get_ext", POINTER, [POINTER, ctypes.c_int]),
    ("X509V3_EXT_get", POINTER, [POINTER]),
    ("X509V3_EXT_d2i", POINTER, [POINTER]),
    ("X509_EXTENSION_get_data", POINTER, [POINTER]),
    ("X509_EXTENSION_get_object", POINTER, [POINTER]),
    ("OBJ_obj2nid", ctypes.c_int, [POINTER]),
    ("X509V3_EXT_i2d", POINTER, [ctypes.c_int, ctypes.c_int, POINTER]),
    ("X509_EXTENSION_free", None, [POINTER]),
    ("ASN1_STRING_get0_data", POINTER, [POINTER]),
    ("ASN1_STRING_length", ctypes.c_int, [POINTER]),
    ("CRYPTO_free", None, [POINTER, ctypes.c_char_p, ctypes.c_int]),
    ("ERR_clear_error", None, []),
]:
    function = getattr(crypto, name)
    function.restype, function.argtypes = result, arguments


class Wrong(Exception):
    pass


def written(function, value):
    out = POINTER()
    length = function(value, ctypes.byref(out))
    if length <= 0:
        raise Wrong(f"OpenSSL cannot write it: {function.__name__}")
    der = ctypes.string_at(out, length)
    crypto.CRYPTO_free(out, b"", 0)
    return der


def string(value):
    return ctypes.string_at(crypto.ASN1_STRING_get0_data(value), crypto.ASN1_STRING_length(value))


def by_openssl(der):
    buffer = ctypes.create_string_buffer(der, len(der))
    start = POINTER(ctypes.addressof(buffer))
    certificate = crypto.d2i_X509(None, ctypes.byref(start), len(der))
    if not certificate:
        raise Wrong("OpenSSL cannot parse it")
    try:
        if start.value != ctypes.addressof(buffer) + len(der):
            raise Wrong("OpenSSL leaves something over")
        if not crypto.X509_get0_pubkey(certificate):
            raise Wrong("OpenSSL cannot read the key")
        for number in range(crypto.X509_get_ext_count(certificate)):
            extension = crypto.X509_get_ext(certificate, number)
            nid = crypto.OBJ_obj2nid(crypto.X509_EXTENSION_get_object(extension))
            value = crypto.X509V3_EXT_d2i(extension)
            if not value:
                raise Wrong(f"OpenSSL cannot parse extension {number}")
            again = crypto.X509V3_EXT_i2d(nid, 0, value)
            one = string(crypto.X509_EXTENSION_get_data(extension))
            other = string(crypto.X509_EXTENSION_get_data(again))
            crypto.X509_EXTENSION_free(again)
            if one != other:
                raise Wrong(f"OpenSSL writes extension {number} as {other.hex()}, not {one.hex()}")
        tbs = written(crypto.i2d_re_X509_tbs, certificate)
        if tbs not in der or written(crypto.i2d_X509, certificate) != der:
            raise Wrong("OpenSSL writes the certificate in another way")
    finally:
        crypto.X509_free(certificate)
        crypto.ERR_clear_error()


# The types whose value asn1crypto writes from Python's.
PRIMITIVE = {
    1: core.Boolean, 2: core.Integer, 5: core.Null, 6: core.ObjectIdentifier, 10: core.Integer,
    12: core.UTF8String, 18: core.NumericString, 19: core.PrintableString, 20: core.TeletexString,
    22: core.IA5String, 23: core.UTCTime, 24: core.GeneralizedTime, 26: core.VisibleString,
    27: core.GeneralString, 30: core.BMPString,
}


def anew(der):
    """One value, written from what was read, as deep as it goes."""
    class_, method, tag, header, content, trailer = parser.parse(der, strict=True)
    if trailer:
        raise Wrong("indefinite length")
    if method == 1:
        parts = []
        rest = content
        while rest:
            _, _, _, inner_header, inner, _ = parser.parse(rest)
            length = len(inner_header) + len(inner)
            parts.append(anew(rest[:length]))
            rest = rest[length:]
        if class_ == 0 and tag == 17:
            parts.sort()
        content = b"".join(parts)
    elif class_ == 0 and tag in PRIMITIVE:
        kind = PRIMITIVE[tag]
        native = kind.load(parser.emit(0, 0, kind.tag, content), strict=True).native
        content = kind(native).contents if tag != 5 else b""
    elif class_ == 0 and tag == 3:
        unused = content[0]
        if unused > 7 or (len(content) == 1 and unused) or content[-1] & ((1 << unused) - 1):
            raise Wrong("a BIT STRING with wrong padding")
    elif class_ == 0 and tag != 4:
        raise Wrong(f"a value of universal type {tag}")
    return parser.emit(class_, method, tag, content)


def same(value, what):
    """Whether asn1crypto writes a value as it was, from Python's values."""
    before = value.dump()
    value.native
    if value.dump(force=True) != before:
        raise Wrong(f"asn1crypto writes {what} in another way")


def by_asn1crypto(der):
    if anew(der) != der:
        raise Wrong("the certificate is not written anew as it was")
    certificate = x509.Certificate.load(der, strict=True)
    tbs = certificate["tbs_certificate"]
    # Names are written by `anew`: asn1crypto has rules of its own for what is in some attributes.
    for field in ["version", "serial_number", "signature", "validity", "subject_public_key_info"]:
        same(tbs[field], field)
    for extension in tbs["extensions"]:
        value = extension["extn_value"].contents
        if anew(value) != value:
            raise Wrong("an extension is not written anew as it was")
        if extension["extn_id"].native != "subject_alt_name":
            same(extension["extn_value"].parsed, "an extension")
            continue
        for name in extension["extn_value"].parsed:
            # asn1crypto has no Python value for what an otherName may hold: `anew` has written it. It
            # normalizes mail addresses, host names and URIs: here they are what they are in DER.
            if name.name in ["rfc822_name", "dns_name", "uniform_resource_identifier"]:
                name.native
                if anew(parser.emit(0, 0, 22, name.chosen.contents))[2:] != name.dump()[2:]:
                    raise Wrong("a name is no IA5String")
            elif name.name != "other_name":
                same(name, "a GeneralName")


def main():
    right = 0
    read = sys.stdin.buffer.read
    while length := read(4):
        certificate = read(int.from_bytes(length, "big"))
        csr = read(int.from_bytes(read(4), "big"))
        try:
            by_openssl(certificate)
            by_asn1crypto(certificate)
        except Exception as wrong:  # Whatever it is, it is wrong.
            print(f"{type(wrong).__name__}: {wrong}\ncertificate {certificate.hex()}\nCSR {csr.hex()}")
            sys.exit(1)
        right += 1
    print(right)


main()
