//! certificatePolicies (RFC 5280 §4.2.1.4, RFC 6818 §3), and the extensions about policies of CAs.

use super::{
    RuleKept,
    extensions::critical,
    general_name,
    read::{Element, IA5_STRING, OID, SEQUENCE, UTF8_STRING},
    rule::{LintRule, of_certificate},
    view::{CertificateView, ce},
    when,
};

pub(super) static RULES: &[LintRule] = &[
    of_certificate(
        "rfc5280.4.2.1.4.form",
        "certificatePolicies is a SEQUENCE of at least one policy, each with an OID and its qualifiers.",
        |view| {
            if view.either.extension(ce::CERTIFICATE_POLICIES).is_none() {
                return Ok(());
            }
            when(policies(view).is_some_and(|all| !all.is_empty()), FIELD)
        },
    ),
    of_certificate("rfc5280.4.2.1.4.unique", "No policy occurs twice.", |view| {
        let mut oids: Vec<&[u8]> =
            policies(view).unwrap_or_default().into_iter().map(|(oid, _)| oid).collect();
        let all = oids.len();
        oids.sort_unstable();
        oids.dedup();
        when(oids.len() == all, FIELD)
    }),
    of_certificate(
        "rfc5280.4.2.1.4.qualifier",
        "A qualifier of a policy is a CPS pointer or a user notice.",
        |view| each(view, |kind, _| matches!(kind, CPS | USER_NOTICE)),
    ),
    of_certificate("rfc5280.4.2.1.4.cps", "A CPS pointer is an IA5String with a URI.", |view| {
        each(view, |kind, value| {
            kind != CPS || value.tag == IA5_STRING && general_name::is_uri(value.content)
        })
    }),
    of_certificate(
        "rfc6818.3.explicit-text",
        "explicitText of a user notice is a UTF8String or IA5String of at most 200 characters.",
        |view| each(view, |kind, value| kind != USER_NOTICE || has_notice(value)),
    ),
    of_certificate(
        "rfc5280.4.2.1.11.policy-constraints",
        "policyConstraints is critical, and only in the certificate of a CA.",
        |view| of_ca(view, ce::POLICY_CONSTRAINTS),
    ),
    of_certificate(
        "rfc5280.4.2.1.14.inhibit-any-policy",
        "inhibitAnyPolicy is critical, and only in the certificate of a CA.",
        |view| of_ca(view, ce::INHIBIT_ANY_POLICY),
    ),
];

const FIELD: &str = "extensions.certificatePolicies";
const CPS: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 2, 1];
const USER_NOTICE: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 2, 2];

type Qualifier<'a> = (&'a [u8], Element<'a>);

/// Each policy, and the kind and value of its qualifiers.
fn policies<'a>(view: &CertificateView<'a>) -> Option<Vec<(&'a [u8], Vec<Qualifier<'a>>)>> {
    let list = view.either.extension(ce::CERTIFICATE_POLICIES)?.sequence()?.all()?;
    list.into_iter()
        .map(|policy| {
            let mut fields = (policy.tag == SEQUENCE).then(|| policy.inner())?;
            let oid = fields.take_if(OID)?.content;
            let found = match fields.take_if(SEQUENCE) {
                Some(list) => list.all().filter(|list| !list.is_empty())?,
                None => Vec::new(),
            };
            let found = found.into_iter().map(qualifier).collect::<Option<_>>()?;
            fields.is_empty().then_some((oid, found))
        })
        .collect()
}

fn qualifier(one: Element<'_>) -> Option<Qualifier<'_>> {
    let mut fields = (one.tag == SEQUENCE).then(|| one.inner())?;
    let found = (fields.take_if(OID)?.content, fields.take()?);
    fields.is_empty().then_some(found)
}

fn each(view: &CertificateView<'_>, keeps: impl Fn(&[u8], Element<'_>) -> bool) -> RuleKept {
    let all = policies(view).unwrap_or_default();
    let mut all = all.iter().flat_map(|(_, qualifiers)| qualifiers);
    when(all.all(|(kind, value)| keeps(kind, *value)), FIELD)
}

/// UserNotice: noticeRef and explicitText, both optional.
fn has_notice(value: Element<'_>) -> bool {
    if value.tag != SEQUENCE {
        return false;
    }
    let mut fields = value.inner();
    fields.take_if(SEQUENCE);
    if fields.is_empty() {
        return true;
    }
    let Some(text) = fields.take() else { return false };
    let characters =
        std::str::from_utf8(text.content).map_or(usize::MAX, |text| text.chars().count());
    matches!(text.tag, UTF8_STRING | IA5_STRING)
        && (1..=200).contains(&characters)
        && fields.is_empty()
}

fn of_ca(view: &CertificateView<'_>, last: u8) -> RuleKept {
    let found = view.either.extension(last);
    critical(found)?;
    match found {
        Some(one) if !view.is_ca() => Err(one.field()),
        _ => Ok(()),
    }
}
