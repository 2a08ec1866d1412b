//! subjectAltName, and the names in it and in other extensions (RFC 5280 §4.2.1.6).

use super::{
    FieldName, RuleKept,
    extensions::{critical, not_critical},
    read::{Element, Elements, OID, SEQUENCE, context, is_oid},
    rule::{LintRule, of_certificate},
    view::{CertificateView, attributes, ce},
    when,
};

pub(super) static RULES: &[LintRule] = &[
    of_certificate(
        "rfc5280.4.2.1.6.form",
        "subjectAltName is a SEQUENCE of at least one GeneralName.",
        |view| {
            let Some(one) = view.either.extension(ce::SUBJECT_ALT_NAME) else { return Ok(()) };
            let names = one.sequence().and_then(general_names);
            when(names.is_some_and(|all| !all.is_empty()), "extensions.subjectAltName")
        },
    ),
    of_certificate(
        "rfc5280.4.2.1.6.critical",
        "subjectAltName is critical if the subject is empty, and only then.",
        |view| {
            let san = view.either.extension(ce::SUBJECT_ALT_NAME);
            if view.subject_is_empty() { critical(san) } else { not_critical(san) }
        },
    ),
    of_certificate(
        "rfc5280.4.2.1.6.other-name",
        "An otherName is a type-id and one value.",
        |view| each(view, OTHER, |one| other_name(one).is_some()),
    ),
    of_certificate(
        "rfc5280.4.2.1.6.rfc822-name",
        "An rfc822Name is a mailbox: a local part, @, and the name of a host, in ASCII.",
        |view| each(view, MAIL, |one| is_mailbox(one.content)),
    ),
    of_certificate(
        "rfc5280.4.2.1.6.dns-name",
        "A dNSName is in preferred name syntax; its first label may be an asterisk.",
        |view| {
            each(view, DNS, |one| is_host(one.content.strip_prefix(b"*.").unwrap_or(one.content)))
        },
    ),
    of_certificate(
        "rfc5280.4.2.1.6.directory-name",
        "A directoryName is a Name with attributes.",
        |view| {
            each(view, DIRECTORY, |one| {
                let inner = Element::tagged(one.content, SEQUENCE);
                inner.and_then(attributes).is_some_and(|all| !all.is_empty())
            })
        },
    ),
    of_certificate(
        "rfc5280.4.2.1.6.uri",
        "A uniformResourceIdentifier has a scheme, a part after it, and only characters of a URI.",
        |view| each(view, URI, |one| is_uri(one.content)),
    ),
    of_certificate("rfc5280.4.2.1.6.ip-address", "An iPAddress has 4 or 16 bytes.", |view| {
        each(view, ADDRESS, |one| matches!(one.content.len(), 4 | 16))
    }),
    of_certificate("rfc5280.4.2.1.6.registered-id", "A registeredID is an OID.", |view| {
        each(view, REGISTERED, |one| is_oid(one.content))
    }),
];

pub(super) const OTHER: u8 = context(0, true);
pub(super) const MAIL: u8 = context(1, false);
pub(super) const DNS: u8 = context(2, false);
pub(super) const DIRECTORY: u8 = context(4, true);
pub(super) const URI: u8 = context(6, false);
pub(super) const ADDRESS: u8 = context(7, false);
const REGISTERED: u8 = context(8, false);
/// x400Address and ediPartyName, which nobody reads.
const UNREAD: [u8; 2] = [context(3, true), context(5, true)];

/// GeneralNames; none if one of them has no tag of a GeneralName.
pub(super) fn general_names(names: Element<'_>) -> Option<Vec<Element<'_>>> {
    let known = |one: &Element<'_>| {
        matches!(one.tag, OTHER | MAIL | DNS | DIRECTORY | URI | ADDRESS | REGISTERED)
            || UNREAD.contains(&one.tag)
    };
    names.all().filter(|all| all.iter().all(known))
}

fn each(view: &CertificateView<'_>, tag: u8, keeps: fn(Element<'_>) -> bool) -> RuleKept {
    let names = view.either.extension(ce::SUBJECT_ALT_NAME).and_then(|one| one.sequence());
    let mut names = names.map_or(Elements(&[]), |names| names.inner());
    let mut position = 0_usize;
    while let Some(one) = names.take() {
        position += 1;
        if one.tag == tag && !keeps(one) {
            return Err(FieldName::Owned(format!("extensions.subjectAltName.{position}")));
        }
    }
    Ok(())
}

/// type-id and value.
fn other_name(one: Element<'_>) -> Option<(&[u8], Element<'_>)> {
    let mut inner = one.inner();
    let type_id = inner.take_if(OID)?.content;
    let value = Element::only(inner.take_if(context(0, true))?.content)?;
    inner.is_empty().then_some((type_id, value))
}

/// Labels of letters, digits and hyphens (RFC 1034 §3.5, RFC 1123 §2.1).
pub(super) fn is_host(text: &[u8]) -> bool {
    let label = |label: &[u8]| {
        let inner = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
        (1..=63).contains(&label.len())
            && label.iter().all(inner)
            && !label.starts_with(b"-")
            && !label.ends_with(b"-")
    };
    text.len() <= 253 && text.split(|byte| *byte == b'.').all(label)
}

fn is_mailbox(text: &[u8]) -> bool {
    let Some(at) = text.iter().rposition(|byte| *byte == b'@') else { return false };
    let (local, rest) = text.split_at(at);
    let atom = |byte: &u8| byte.is_ascii_graphic() && !b"()<>@,;:\\\"[]".contains(byte);
    let dots = local.split(|byte| *byte == b'.').all(|part| !part.is_empty());
    (1..=64).contains(&local.len())
        && local.iter().all(atom)
        && dots
        && is_host(rest.get(1..).unwrap_or_default())
}

/// A scheme and a part after it, of the characters of RFC 3986.
pub(super) fn is_uri(text: &[u8]) -> bool {
    let Some(colon) = text.iter().position(|byte| *byte == b':') else { return false };
    let (scheme, rest) = text.split_at(colon);
    let rest = rest.get(1..).unwrap_or_default();
    let in_scheme = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
    let in_rest =
        |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(byte);
    let mut percent = rest.split(|byte| *byte == b'%').skip(1);
    scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme.iter().all(in_scheme)
        && !rest.is_empty()
        && rest.iter().all(in_rest)
        && percent.all(
            |after| matches!(after, [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit()),
        )
}

/// A URI where programs fetch: http or ldap, with a host.
pub(super) fn is_fetchable(text: &[u8]) -> bool {
    let rest = [&b"http://"[..], b"https://", b"ldap://", b"ldaps://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(*scheme));
    is_uri(text) && rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with(b"/"))
}
