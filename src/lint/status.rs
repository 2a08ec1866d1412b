//! Where the status of a certificate is found: cRLDistributionPoints (RFC 5280 §4.2.1.13), authority
//! information access (§4.2.2.1), and noRevAvail (RFC 9608).

use super::{
    RuleKept,
    extensions::not_critical,
    general_name::{self, URI, is_fetchable},
    read::{Element, NULL, OID, SEQUENCE, context},
    rule::{LintRule, of_certificate},
    view::{CertificateView, ExtensionView, ce},
    when,
};

pub(super) static RULES: &[LintRule] = &[
    of_certificate(
        "rfc5280.4.2.1.13.not-critical",
        "cRLDistributionPoints and freshestCRL are not critical.",
        |view| {
            not_critical(view.either.extension(ce::CRL_DISTRIBUTION_POINTS))?;
            not_critical(view.either.extension(ce::FRESHEST_CRL))
        },
    ),
    of_certificate(
        "rfc5280.4.2.1.13.form",
        "cRLDistributionPoints is a SEQUENCE of at least one DistributionPoint.",
        |view| {
            let Some(one) = view.either.extension(ce::CRL_DISTRIBUTION_POINTS) else {
                return Ok(());
            };
            when(points(one).is_some_and(|all| !all.is_empty()), POINTS)
        },
    ),
    of_certificate(
        "rfc5280.4.2.1.13.name-or-issuer",
        "A DistributionPoint has more than reasons.",
        |view| each(view, |[name, _, issuer]| name.is_some() || issuer.is_some()),
    ),
    of_certificate(
        "rfc5280.4.2.1.13.all-reasons",
        "One DistributionPoint is for all reasons.",
        |view| {
            let all = view.either.extension(ce::CRL_DISTRIBUTION_POINTS).and_then(points);
            let all = all.unwrap_or_default();
            when(all.is_empty() || all.iter().any(|[_, reasons, _]| reasons.is_none()), POINTS)
        },
    ),
    of_certificate(
        "rfc5280.4.2.1.13.uri",
        "A URI of a DistributionPoint is one of http or ldap, with a host.",
        |view| {
            each(view, |[name, _, _]| {
                let names = name.and_then(|name| Element::tagged(name.content, context(0, true)));
                let names = names.and_then(general_name::general_names).unwrap_or_default();
                names.iter().all(|one| one.tag != URI || is_fetchable(one.content))
            })
        },
    ),
    of_certificate(
        "rfc5280.4.2.2.1.not-critical",
        "authorityInfoAccess is not critical.",
        |view| not_critical(access(view)),
    ),
    of_certificate(
        "rfc5280.4.2.2.1.form",
        "authorityInfoAccess is a SEQUENCE of at least one method and its location.",
        |view| {
            let Some(one) = access(view) else { return Ok(()) };
            when(methods(one).is_some_and(|all| !all.is_empty()), ACCESS)
        },
    ),
    of_certificate(
        "rfc5280.4.2.2.1.uri",
        "A URI of authorityInfoAccess is one of http or ldap, with a host.",
        |view| {
            let all = access(view).and_then(methods).unwrap_or_default();
            let good = |one: &Element<'_>| one.tag != URI || is_fetchable(one.content);
            when(all.iter().all(|(_, location)| good(location)), ACCESS)
        },
    ),
    of_certificate("rfc9608.2.form", "noRevAvail is NULL.", |view| {
        let Some(one) = view.either.extension(ce::NO_REV_AVAIL) else { return Ok(()) };
        when(Element::tagged(one.value, NULL).is_some(), "extensions.noRevAvail")
    }),
    of_certificate("rfc9608.2.not-critical", "noRevAvail is not critical.", |view| {
        not_critical(view.either.extension(ce::NO_REV_AVAIL))
    }),
    of_certificate(
        "rfc9608.3.alone",
        "noRevAvail excludes a CA, cRLDistributionPoints, freshestCRL and the address of an OCSP responder.",
        |view| {
            const OCSP: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 0x30, 1];
            let all = access(view).and_then(methods).unwrap_or_default();
            let has = |last| view.either.extension(last).is_some();
            let status = has(ce::CRL_DISTRIBUTION_POINTS)
                || has(ce::FRESHEST_CRL)
                || view.is_ca()
                || all.iter().any(|(method, _)| *method == OCSP);
            when(!(status && has(ce::NO_REV_AVAIL)), "extensions.noRevAvail")
        },
    ),
];

const POINTS: &str = "extensions.cRLDistributionPoints";
const ACCESS: &str = "extensions.authorityInfoAccess";

/// distributionPoint, reasons and cRLIssuer.
pub(super) type Point<'a> = [Option<Element<'a>>; 3];

/// A DistributionPoint; none if it is not one.
fn point(one: Element<'_>) -> Option<Point<'_>> {
    let mut fields = (one.tag == SEQUENCE).then(|| one.inner())?;
    let found =
        [context(0, true), context(1, false), context(2, true)].map(|tag| fields.take_if(tag));
    fields.is_empty().then_some(found)
}

fn points<'a>(one: &ExtensionView<'a>) -> Option<Vec<Point<'a>>> {
    one.sequence()?.all()?.into_iter().map(point).collect()
}

fn each(view: &CertificateView<'_>, keeps: impl Fn(&Point<'_>) -> bool) -> RuleKept {
    let all = view.either.extension(ce::CRL_DISTRIBUTION_POINTS).and_then(points);
    when(all.unwrap_or_default().iter().all(keeps), POINTS)
}

fn access<'v, 'a>(view: &'v CertificateView<'a>) -> Option<&'v ExtensionView<'a>> {
    view.either.all().iter().find(|one| one.is_authority_info_access())
}

/// accessMethod and accessLocation.
fn methods<'a>(one: &ExtensionView<'a>) -> Option<Vec<(&'a [u8], Element<'a>)>> {
    let read = |one: Element<'a>| {
        let mut fields = (one.tag == SEQUENCE).then(|| one.inner())?;
        let found = (fields.take_if(OID)?.content, fields.take()?);
        (fields.is_empty() && found.1.tag & 0xc0 == 0x80).then_some(found)
    };
    one.sequence()?.all()?.into_iter().map(read).collect()
}
