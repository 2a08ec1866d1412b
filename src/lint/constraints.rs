//! nameConstraints (RFC 5280 §4.2.1.10).

use super::{
    RuleKept,
    extensions::critical,
    general_name::{self, ADDRESS, DNS, MAIL, URI},
    read::{Element, SEQUENCE, context},
    rule::{LintRule, of_certificate},
    view::{CertificateView, ce},
    when,
};

pub(super) static RULES: &[LintRule] = &[
    of_certificate("rfc5280.4.2.1.10.critical", "nameConstraints is critical.", |view| {
        critical(view.either.extension(ce::NAME_CONSTRAINTS))
    }),
    of_certificate(
        "rfc5280.4.2.1.10.ca",
        "nameConstraints is only in the certificate of a CA.",
        |view| when(view.either.extension(ce::NAME_CONSTRAINTS).is_none() || view.is_ca(), FIELD),
    ),
    of_certificate(
        "rfc5280.4.2.1.10.form",
        "nameConstraints permits or excludes at least one name.",
        |view| {
            if view.either.extension(ce::NAME_CONSTRAINTS).is_none() {
                return Ok(());
            }
            when(subtrees(view).is_some_and(|all| !all.is_empty()), FIELD)
        },
    ),
    of_certificate(
        "rfc5280.4.2.1.10.distance",
        "A subtree of nameConstraints has no minimum and no maximum.",
        |view| each(view, |_, distances| !distances),
    ),
    of_certificate(
        "rfc5280.4.2.1.10.address",
        "An iPAddress in nameConstraints is an address and a mask of leading bits.",
        |view| {
            each(view, |base, _| {
                let half = base.content.len() / 2;
                let mask = base.content.get(half..).unwrap_or_default();
                let ones = mask.iter().take_while(|byte| **byte == 0xff).count();
                let rest = mask.get(ones..).unwrap_or_default();
                let leading = match rest {
                    [] => true,
                    [first, others @ ..] => {
                        first.leading_ones() + first.trailing_zeros() >= 8
                            && others.iter().all(|byte| *byte == 0)
                    }
                };
                base.tag != ADDRESS || matches!(base.content.len(), 8 | 32) && leading
            })
        },
    ),
    of_certificate(
        "rfc5280.4.2.1.10.host",
        "A host in nameConstraints is in preferred name syntax; one of a URI or mailbox may begin with a dot.",
        |view| {
            each(view, |base, _| {
                let text = base.content;
                let dotted = text.strip_prefix(b".").unwrap_or(text);
                match base.tag {
                    DNS => text.is_empty() || general_name::is_host(text),
                    URI => general_name::is_host(dotted),
                    MAIL => {
                        let host = text.iter().rposition(|byte| *byte == b'@');
                        let host = host.and_then(|at| text.get(at + 1..)).unwrap_or(dotted);
                        general_name::is_host(host)
                    }
                    _ => true,
                }
            })
        },
    ),
];

const FIELD: &str = "extensions.nameConstraints";

/// The base of each subtree, and whether it has a minimum or maximum.
fn subtrees<'a>(view: &CertificateView<'a>) -> Option<Vec<(Element<'a>, bool)>> {
    let mut fields = view.either.extension(ce::NAME_CONSTRAINTS)?.sequence()?.inner();
    let mut out = Vec::new();
    for tag in [context(0, true), context(1, true)] {
        let Some(list) = fields.take_if(tag) else { continue };
        let list = list.all().filter(|list| !list.is_empty())?;
        for subtree in list {
            let parts = (subtree.tag == SEQUENCE).then(|| subtree.all())??;
            let (base, distances) = parts.split_first()?;
            out.push((*base, !distances.is_empty()));
        }
    }
    let names_only = out.iter().all(|(base, _)| base.tag & 0xc0 == 0x80);
    (fields.is_empty() && names_only).then_some(out)
}

fn each(view: &CertificateView<'_>, keeps: impl Fn(Element<'_>, bool) -> bool) -> RuleKept {
    let all = subtrees(view).unwrap_or_default();
    when(all.iter().all(|(base, distances)| keeps(*base, *distances)), FIELD)
}
