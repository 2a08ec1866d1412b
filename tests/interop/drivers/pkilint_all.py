"""Lints every certificate (.cer) and CRL (.crl) of a folder with pkilint, in one process.

Prints a line for each file: its name, and the codes of the findings of severity ERROR or FATAL. A file that
pkilint cannot read has the code `unreadable`.
"""
import pathlib, sys

from pkilint import loader, pkix
from pkilint.pkix import certificate, crl, extension, name
from pkilint.validation import ValidationFindingSeverity

CERTIFICATE = certificate.create_pkix_certificate_validator_container(
    certificate.create_decoding_validators(name.ATTRIBUTE_TYPE_MAPPINGS, extension.EXTENSION_MAPPINGS),
    [
        certificate.create_issuer_validator_container([]),
        certificate.create_validity_validator_container(),
        certificate.create_subject_validator_container([]),
        certificate.create_extensions_validator_container([]),
        certificate.create_spki_validator_container([]),
    ],
)
CRL = crl.create_pkix_crl_validator_container(
    [
        pkix.create_attribute_decoder(name.ATTRIBUTE_TYPE_MAPPINGS),
        pkix.create_extension_decoder(extension.EXTENSION_MAPPINGS),
    ],
    [
        crl.create_issuer_validator_container([]),
        crl.create_validity_validator_container([]),
        crl.create_extensions_validator_container([]),
    ],
)


def codes(path):
    is_crl = path.suffix == ".crl"
    load = loader.RFC5280CertificateListDocumentLoader if is_crl else loader.RFC5280CertificateDocumentLoader
    try:
        document = load().load_der_document(path.read_bytes(), path.name)
    except ValueError:
        return ["unreadable"]
    found = []
    for result in (CRL if is_crl else CERTIFICATE).validate(document.root):
        for one in result.finding_descriptions:
            if one.finding.severity <= ValidationFindingSeverity.ERROR:
                found.append(one.finding.code)
    return found


for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    print(path.name, *codes(path))
