//! Extensions of keys and of CAs (RFC 5280 §4.2.1.1 to §4.2.1.3, §4.2.1.9, §4.2.1.12).

use super::{
    RuleKept,
    certificate::is_positive,
    key::{CRL_SIGN, KEY_CERT_SIGN},
    read::{BIT_STRING, BOOLEAN, Element, INTEGER, OCTET_STRING, OID, context, is_integer},
    rule::{LintRule, either, of_certificate},
    view::{EitherView, ExtensionView, ce},
    when,
};

pub(super) static RULES: &[LintRule] = &[
    either("rfc5280.4.1.2.9.present", "Extensions are present, at least one.", |view| {
        when(view.extensions.as_ref().is_some_and(|all| !all.is_empty()), "extensions")
    }),
    either("rfc5280.4.2.unique", "No extension occurs twice.", |view| unique(view.all())),
    either(
        "rfc5280.4.2.known-critical",
        "A critical extension is one that this linter reads.",
        |view| {
            let known = |one: &&ExtensionView<'_>| !one.is_critical() || one.is_read();
            view.all().iter().find(|one| !known(one)).map_or(Ok(()), |one| Err(one.field()))
        },
    ),
    either("x690.11.5.default", "A value that is the default is not written.", defaults),
    // authorityKeyIdentifier.
    either(
        "rfc5280.4.2.1.1.present",
        "authorityKeyIdentifier is present, unless the certificate is self-signed.",
        |view| {
            let present = view.extension(ce::AUTHORITY_KEY_IDENTIFIER).is_some();
            when(
                present || view.self_signed || view.all().is_empty(),
                "extensions.authorityKeyIdentifier",
            )
        },
    ),
    either("rfc5280.4.2.1.1.not-critical", "authorityKeyIdentifier is not critical.", |view| {
        not_critical(view.extension(ce::AUTHORITY_KEY_IDENTIFIER))
    }),
    either(
        "rfc5280.4.2.1.1.form",
        "authorityKeyIdentifier is a SEQUENCE of its optional fields.",
        |view| {
            let Some(one) = view.extension(ce::AUTHORITY_KEY_IDENTIFIER) else { return Ok(()) };
            authority(one).map_or_else(|| Err(one.field()), |_| Ok(()))
        },
    ),
    either(
        "rfc5280.4.2.1.1.key-identifier",
        "authorityKeyIdentifier has a keyIdentifier that is not empty.",
        |view| {
            let Some(one) = view.extension(ce::AUTHORITY_KEY_IDENTIFIER) else { return Ok(()) };
            match authority(one) {
                Some([key, ..]) if key.is_none_or(|key| key.content.is_empty()) => Err(one.field()),
                _ => Ok(()),
            }
        },
    ),
    either(
        "rfc5280.4.2.1.1.issuer-and-serial",
        "authorityKeyIdentifier has authorityCertIssuer and authorityCertSerialNumber, or neither.",
        |view| {
            let Some(one) = view.extension(ce::AUTHORITY_KEY_IDENTIFIER) else { return Ok(()) };
            match authority(one) {
                Some([_, issuer, serial]) if issuer.is_some() != serial.is_some() => {
                    Err(one.field())
                }
                _ => Ok(()),
            }
        },
    ),
    // subjectKeyIdentifier.
    of_certificate("rfc5280.4.2.1.2.present", "subjectKeyIdentifier is present.", |view| {
        let present = view.either.extension(ce::SUBJECT_KEY_IDENTIFIER).is_some();
        when(present || view.either.all().is_empty(), "extensions.subjectKeyIdentifier")
    }),
    of_certificate(
        "rfc5280.4.2.1.2.not-critical",
        "subjectKeyIdentifier is not critical.",
        |view| not_critical(view.either.extension(ce::SUBJECT_KEY_IDENTIFIER)),
    ),
    of_certificate(
        "rfc5280.4.2.1.2.form",
        "subjectKeyIdentifier is an OCTET STRING that is not empty.",
        |view| {
            let Some(one) = view.either.extension(ce::SUBJECT_KEY_IDENTIFIER) else {
                return Ok(());
            };
            let value = Element::tagged(one.value, OCTET_STRING);
            when(
                value.is_some_and(|key| !key.content.is_empty()),
                "extensions.subjectKeyIdentifier",
            )
        },
    ),
    // keyUsage.
    of_certificate("rfc5280.4.2.1.3.present", "keyUsage is present.", |view| {
        let present = view.either.extension(ce::KEY_USAGE).is_some();
        when(present || view.either.all().is_empty(), "extensions.keyUsage")
    }),
    of_certificate("rfc5280.4.2.1.3.critical", "keyUsage is critical.", |view| {
        critical(view.either.extension(ce::KEY_USAGE))
    }),
    of_certificate("rfc5280.4.2.1.3.form", "keyUsage is a BIT STRING.", |view| {
        let Some(one) = view.either.extension(ce::KEY_USAGE) else { return Ok(()) };
        when(Element::tagged(one.value, BIT_STRING).is_some(), "extensions.keyUsage")
    }),
    of_certificate("rfc5280.4.2.1.3.some-bit", "keyUsage has at least one bit.", |view| {
        when(view.key_usage() != Some(0), "extensions.keyUsage")
    }),
    of_certificate(
        "rfc5280.4.2.1.3.known-bits",
        "keyUsage has only the 9 bits of RFC 5280.",
        |view| when(view.key_usage().unwrap_or(0) < 1 << 9, "extensions.keyUsage"),
    ),
    of_certificate("x690.11.2.2.named-bits", "keyUsage ends with a bit that is set.", |view| {
        let last = view.named_bits().and_then(|mut bits| bits.next_back());
        // No bits at all breaks another rule.
        when(last != Some(false) || view.key_usage() == Some(0), "extensions.keyUsage")
    }),
    of_certificate("rfc5280.4.2.1.3.ca", "keyUsage of a CA has keyCertSign and cRLSign.", |view| {
        let all = view
            .key_usage()
            .is_none_or(|usage| usage & (KEY_CERT_SIGN | CRL_SIGN) == KEY_CERT_SIGN | CRL_SIGN);
        when(all || !view.is_ca(), "extensions.keyUsage")
    }),
    of_certificate(
        "rfc5280.4.2.1.3.end-entity",
        "keyUsage has keyCertSign only in the certificate of a CA.",
        |view| {
            let signs = view.key_usage().unwrap_or(0) & KEY_CERT_SIGN != 0;
            when(!signs || view.is_ca(), "extensions.keyUsage")
        },
    ),
    // extKeyUsage.
    of_certificate(
        "rfc5280.4.2.1.12.form",
        "extKeyUsage is a SEQUENCE of at least one OID.",
        |view| {
            let Some(one) = view.either.extension(ce::EXTENDED_KEY_USAGE) else { return Ok(()) };
            when(purposes(one).is_some(), "extensions.extKeyUsage")
        },
    ),
    of_certificate(
        "rfc5280.4.2.1.12.any-critical",
        "extKeyUsage with anyExtendedKeyUsage is not critical.",
        |view| {
            let Some(one) = view.either.extension(ce::EXTENDED_KEY_USAGE) else { return Ok(()) };
            let any = purposes(one).is_some_and(|all| all.contains(&&[0x55, 0x1d, 37, 0][..]));
            when(!(any && one.is_critical()), "extensions.extKeyUsage")
        },
    ),
    // basicConstraints.
    of_certificate(
        "rfc5280.4.2.1.9.form",
        "basicConstraints is a SEQUENCE of cA and pathLenConstraint.",
        |view| {
            let Some(one) = view.either.extension(ce::BASIC_CONSTRAINTS) else { return Ok(()) };
            when(constraints(one).is_some(), "extensions.basicConstraints")
        },
    ),
    of_certificate("rfc5280.4.2.1.9.critical", "basicConstraints of a CA is critical.", |view| {
        if view.is_ca() { critical(view.either.extension(ce::BASIC_CONSTRAINTS)) } else { Ok(()) }
    }),
    of_certificate(
        "rfc5280.4.2.1.9.path-len",
        "pathLenConstraint is not negative, and only in the certificate of a CA.",
        |view| {
            let Some(one) = view.either.extension(ce::BASIC_CONSTRAINTS) else { return Ok(()) };
            let Some((_, Some(length))) = constraints(one) else { return Ok(()) };
            let natural = length.content == [0] || is_positive(length.content);
            when(natural && view.is_ca(), "extensions.basicConstraints.pathLenConstraint")
        },
    ),
];

pub(super) fn critical(one: Option<&ExtensionView<'_>>) -> RuleKept {
    one.filter(|one| !one.is_critical()).map_or(Ok(()), |one| Err(one.field()))
}

pub(super) fn not_critical(one: Option<&ExtensionView<'_>>) -> RuleKept {
    one.filter(|one| one.is_critical()).map_or(Ok(()), |one| Err(one.field()))
}

/// The extension that occurs twice, if any.
pub(super) fn unique(all: &[ExtensionView<'_>]) -> RuleKept {
    let mut rest = all;
    while let [first, others @ ..] = rest {
        if others.iter().any(|other| other.oid == first.oid) {
            return Err(first.field());
        }
        rest = others;
    }
    Ok(())
}

/// critical FALSE, cA FALSE, a minimum of 0, and FALSE in issuingDistributionPoint are defaults (X.690
/// §11.5).
fn defaults(view: &EitherView<'_>) -> RuleKept {
    let is_false = |one: &Element<'_>| one.content == [0];
    for one in view.all() {
        if one.critical == Some(&[0]) {
            return Err(one.field());
        }
        let mut inner = one.sequence().map(|one| one.inner()).into_iter();
        let written = match one.ce() {
            Some(ce::BASIC_CONSTRAINTS) => {
                inner.any(|mut inner| inner.take_if(BOOLEAN).is_some_and(|ca| is_false(&ca)))
            }
            Some(ce::ISSUING_DISTRIBUTION_POINT) => {
                let flag = |one: &Element<'_>| matches!(one.tag, 0x81 | 0x82 | 0x84 | 0x85);
                let all = one.sequence().and_then(|one| one.all()).unwrap_or_default();
                all.iter().any(|one| flag(one) && is_false(one))
            }
            _ => false,
        };
        if written {
            return Err(one.field());
        }
    }
    Ok(())
}

/// keyIdentifier, authorityCertIssuer and authorityCertSerialNumber.
pub(super) fn authority<'a>(one: &ExtensionView<'a>) -> Option<[Option<Element<'a>>; 3]> {
    let mut inner = one.sequence()?.inner();
    let fields =
        [context(0, false), context(1, true), context(2, false)].map(|tag| inner.take_if(tag));
    let serial = fields.last().copied().flatten();
    let whole = inner.is_empty() && serial.is_none_or(|serial| is_integer(serial.content));
    whole.then_some(fields)
}

/// The OIDs of extKeyUsage.
pub(super) fn purposes<'a>(one: &ExtensionView<'a>) -> Option<Vec<&'a [u8]>> {
    let all = one.sequence()?.all()?;
    let oids: Option<Vec<_>> =
        all.iter().map(|one| (one.tag == OID).then_some(one.content)).collect();
    oids.filter(|oids| !oids.is_empty())
}

/// cA and pathLenConstraint.
pub(super) fn constraints<'a>(one: &ExtensionView<'a>) -> Option<(bool, Option<Element<'a>>)> {
    let mut inner = one.sequence()?.inner();
    let ca = inner.take_if(BOOLEAN).is_some_and(|ca| ca.content != [0]);
    let length = inner.take_if(INTEGER);
    inner.is_empty().then_some((ca, length))
}
