//! CRLs (RFC 5280 §5).

use super::{
    CrlScope,
    certificate::is_positive,
    extensions::{critical, not_critical, unique},
    general_name::URI,
    read::{ENUMERATED, Element, GENERALIZED_TIME, INTEGER, context},
    rule::{LintRule, of_crl, of_entry},
    time,
    view::{CrlView, EntryView, ExtensionView, ce},
    when,
};

pub(super) static RULES: &[LintRule] = &[
    of_crl("rfc5280.5.1.2.1.version", "The version is 2.", |view| {
        when(view.version.is_some_and(|version| version.content == [1]), "version")
    }),
    of_crl(
        "rfc5280.5.1.2.4.form",
        "thisUpdate and nextUpdate have seconds, no fraction, and end with Z.",
        |view| {
            time::has_form(view.this_update, "thisUpdate")?;
            view.next_update.map_or(Ok(()), |next| time::has_form(next, "nextUpdate"))
        },
    ),
    of_crl(
        "rfc5280.5.1.2.4.type",
        "thisUpdate and nextUpdate are UTCTime through 2049, and GeneralizedTime from 2050 on.",
        |view| {
            time::has_type(view.this_update, "thisUpdate")?;
            view.next_update.map_or(Ok(()), |next| time::has_type(next, "nextUpdate"))
        },
    ),
    of_crl("rfc5280.5.1.2.5.present", "nextUpdate is present.", |view| {
        when(view.next_update.is_some(), "nextUpdate")
    }),
    of_crl("rfc5280.5.1.2.5.order", "nextUpdate is after thisUpdate.", |view| {
        let (this, next) = (time::parse(view.this_update), view.next_update.and_then(time::parse));
        let ordered = this.zip(next).is_none_or(|(this, next)| this < next);
        when(ordered, "nextUpdate")
    }),
    of_crl(
        "rfc5280.5.1.2.6.empty",
        "revokedCertificates is absent if nothing is revoked.",
        |view| when(view.entries.as_ref().is_none_or(|all| !all.is_empty()), "revokedCertificates"),
    ),
    of_crl("rfc5280.5.1.2.6.unique", "No certificate is listed twice.", |view| {
        let mut serials: Vec<&[u8]> =
            view.entries.iter().flatten().map(|entry| entry.serial.content).collect();
        serials.sort_unstable();
        when(serials.windows(2).all(|pair| pair.first() != pair.last()), "revokedCertificates")
    }),
    of_entry(
        "rfc5280.5.1.2.6.serial",
        "A serial number is positive, with at most 20 bytes.",
        |entry| {
            let serial = entry.serial.content;
            field(is_positive(serial) && serial.len() <= 20, "userCertificate")
        },
    ),
    of_entry(
        "rfc5280.5.1.2.6.date",
        "revocationDate has the type and form of thisUpdate.",
        |entry| {
            let good = time::has_form(entry.date, "").and_then(|()| time::has_type(entry.date, ""));
            field(good.is_ok(), "revocationDate")
        },
    ),
    // Extensions of the CRL.
    of_crl("rfc5280.5.2.3.present", "cRLNumber is present.", |view| {
        let present = view.either.extension(ce::CRL_NUMBER).is_some();
        when(present || view.either.all().is_empty(), NUMBER)
    }),
    of_crl("rfc5280.5.2.3.not-critical", "cRLNumber is not critical.", |view| {
        not_critical(view.either.extension(ce::CRL_NUMBER))
    }),
    of_crl(
        "rfc5280.5.2.3.form",
        "cRLNumber is an INTEGER that is not negative, with at most 20 bytes.",
        |view| {
            let Some(one) = view.either.extension(ce::CRL_NUMBER) else { return Ok(()) };
            let number = Element::tagged(one.value, INTEGER);
            let natural = |one: Element<'_>| one.content == [0] || is_positive(one.content);
            when(number.is_some_and(|one| natural(one) && one.content.len() <= 20), NUMBER)
        },
    ),
    of_crl("rfc5280.5.2.4.critical", "deltaCRLIndicator is critical.", |view| {
        critical(view.either.extension(ce::DELTA_CRL_INDICATOR))
    }),
    of_crl("rfc5280.5.2.5.critical", "issuingDistributionPoint is critical.", |view| {
        critical(view.either.extension(ce::ISSUING_DISTRIBUTION_POINT))
    }),
    of_crl(
        "rfc5280.5.2.5.form",
        "issuingDistributionPoint is a SEQUENCE of its optional fields, not empty.",
        |view| {
            let Some(one) = view.either.extension(ce::ISSUING_DISTRIBUTION_POINT) else {
                return Ok(());
            };
            when(scope(one).is_some(), POINT)
        },
    ),
    of_crl(
        "rfc5280.5.2.5.one-scope",
        "issuingDistributionPoint is about users, CAs or attributes, or all of them.",
        |view| {
            let Some(one) = view.either.extension(ce::ISSUING_DISTRIBUTION_POINT) else {
                return Ok(());
            };
            let Some(fields) = scope(one) else { return Ok(()) };
            let only = fields.iter().filter(|one| matches!(one.tag, 0x81 | 0x82 | 0x85)).count();
            when(only <= 1, POINT)
        },
    ),
    // Extensions of an entry.
    of_entry(
        "rfc5280.5.3.present",
        "Extensions of an entry are absent if there are none.",
        |entry| field(entry.extensions.as_ref().is_none_or(|all| !all.is_empty()), "extensions"),
    ),
    of_entry("rfc5280.5.3.unique", "No extension of an entry occurs twice.", |entry| {
        field(unique(entry.all()).is_ok(), "extensions")
    }),
    of_entry(
        "rfc5280.5.3.critical",
        "Of an entry, certificateIssuer is critical and no other extension is.",
        |entry| {
            let should = |one: &ExtensionView<'_>| one.ce() == Some(ce::CERTIFICATE_ISSUER);
            field(entry.all().iter().all(|one| one.is_critical() == should(one)), "extensions")
        },
    ),
    of_entry("rfc5280.5.3.1.form", "reasonCode is one of the reasons of RFC 5280.", |entry| {
        let reason = entry.extension(ce::REASON_CODE).map(|one| reason(one).is_some());
        field(reason != Some(false), REASON)
    }),
    of_entry(
        "rfc5280.5.3.1.unspecified",
        "reasonCode is absent instead of unspecified.",
        |entry| field(entry.extension(ce::REASON_CODE).and_then(reason) != Some(0), REASON),
    ),
    of_crl("rfc5280.5.3.1.remove", "removeFromCRL is only in delta CRLs.", |view| {
        let full = view.either.extension(ce::DELTA_CRL_INDICATOR).is_none();
        let removes =
            |entry: &&EntryView<'_>| entry.extension(ce::REASON_CODE).and_then(reason) == Some(8);
        let found = view.entries.iter().flatten().find(|entry| full && removes(entry));
        found.map_or(Ok(()), |entry| Err(entry.field(REASON)))
    }),
    of_entry(
        "rfc5280.5.3.2.form",
        "invalidityDate is a GeneralizedTime with seconds and Z.",
        |entry| {
            let Some(one) = entry.extension(ce::INVALIDITY_DATE) else { return Ok(()) };
            let time = Element::tagged(one.value, GENERALIZED_TIME).and_then(time::parse);
            field(time.is_some(), "invalidityDate")
        },
    ),
    of_crl("rfc5280.5.3.3.indirect", "certificateIssuer is only in indirect CRLs.", |view| {
        let point = view.either.extension(ce::ISSUING_DISTRIBUTION_POINT).and_then(scope);
        let indirect = point.is_some_and(|all| all.iter().any(|one| one.tag == context(4, false)));
        let other = |entry: &&EntryView<'_>| entry.extension(ce::CERTIFICATE_ISSUER).is_some();
        let found = view.entries.iter().flatten().find(|entry| !indirect && other(entry));
        found.map_or(Ok(()), |entry| Err(entry.field("certificateIssuer")))
    }),
    of_crl("profile.crl-number", "cRLNumber is above that of the last CRL.", |view| {
        let number = view.either.extension(ce::CRL_NUMBER);
        let number = number.and_then(|one| Element::tagged(one.value, INTEGER));
        let (Some(number), Some(last)) = (number, view.expected.last_number) else {
            return Ok(());
        };
        let size = |one: &'_ [u8]| one.iter().skip_while(|byte| **byte == 0).count();
        let (new, old) = (number.content, last);
        let bytes = |one: &[u8]| one.get(one.len() - size(one)..).unwrap_or_default().to_vec();
        when((size(new), bytes(new)) > (size(old), bytes(old)), NUMBER)
    }),
    of_crl(
        "profile.crl-scope",
        "A full CRL has no issuingDistributionPoint; that of a partition names its URI and nothing else (D-37).",
        |view| when(fits(view), POINT),
    ),
];

const NUMBER: &str = "extensions.cRLNumber";
const POINT: &str = "extensions.issuingDistributionPoint";
const REASON: &str = "reasonCode";

const fn field(kept: bool, field: &'static str) -> Result<(), &'static str> {
    if kept { Ok(()) } else { Err(field) }
}

/// The number of a reason that RFC 5280 names.
fn reason(one: &ExtensionView<'_>) -> Option<u8> {
    match Element::tagged(one.value, ENUMERATED)?.content {
        [number @ (0..=6 | 8..=10)] => Some(*number),
        _ => None,
    }
}

/// The fields of issuingDistributionPoint: at least one, in ascending order of their tags.
fn scope<'a>(one: &ExtensionView<'a>) -> Option<Vec<Element<'a>>> {
    let fields = one.sequence()?.all()?;
    let known = |one: &Element<'_>| matches!(one.tag, 0xa0 | 0x81..=0x85);
    let number = |one: &Element<'_>| one.tag & 0x1f;
    let ordered = fields.is_sorted_by(|one, other| number(one) < number(other));
    (ordered && !fields.is_empty() && fields.iter().all(known)).then_some(fields)
}

/// Whether issuingDistributionPoint is that of the expected scope.
fn fits(view: &CrlView<'_>) -> bool {
    let found = view.either.extension(ce::ISSUING_DISTRIBUTION_POINT);
    match (view.expected.scope, found) {
        (CrlScope::Full, found) => found.is_none(),
        (CrlScope::Partition(_), None) => false,
        (CrlScope::Partition(uri), Some(one)) => {
            let fields = scope(one).unwrap_or_default();
            let [name] = fields.as_slice() else { return false };
            let name = Element::tagged(name.content, context(0, true));
            name.and_then(|full| Element::only(full.content))
                .is_some_and(|one| one.tag == URI && one.content == uri.as_bytes())
        }
    }
}
