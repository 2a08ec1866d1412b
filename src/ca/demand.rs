//! The demands of a profile on a CSR. `/csrattrs` is written from the list that enrollment checks, so
//! that the two cannot differ.

use crate::{
    pki::{
        self, Csr, DistinguishedName, SubjectAltName,
        algorithm::{self, described},
        csrattrs::{AskedExtension, CsrAttrsResponse, Key},
        extension, oid,
    },
    policy,
    types::{Code, CsrAttribute, Digest, KeyKind, KeyUsage, Rejection, SanKind, SubjectAttribute},
};
use const_oid::ObjectIdentifier;

/// One demand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Demand {
    /// The key is of one of these kinds; an RSA kind is the minimum size. `/csrattrs` requests the
    /// first.
    Key(Vec<KeyKind>),
    /// The signature has one of these hash functions, or is of Ed25519. `/csrattrs` requests the
    /// first.
    Digest(Vec<Digest>),
    /// The subject has exactly the listed number of values of each listed type, including the
    /// values listed.
    Subject(Vec<SubjectAttribute>),
    /// The subjectAltName has an entry of each of these kinds.
    San(Vec<SanKind>),
    /// It requests exactly this key usage.
    KeyUsage(KeyUsage),
    /// It requests these extended key usages, possibly with others of the profile.
    ExtendedKeyUsage(Vec<ObjectIdentifier>),
    /// It has this attribute.
    Attribute(CsrAttribute),
}

/// The demands of a profile, and of a label that adds attributes.
pub(super) fn demands(rules: &policy::ProfileRules, attributes: &[CsrAttribute]) -> Vec<Demand> {
    let mut out = vec![Demand::Key(rules.keys.clone()), Demand::Digest(rules.digests.clone())];
    if !rules.require_subject.is_empty() {
        out.push(Demand::Subject(rules.require_subject.clone()));
    }
    if !rules.require_san.is_empty() {
        out.push(Demand::San(rules.require_san.clone()));
    }
    out.extend(rules.require_key_usage.map(Demand::KeyUsage));
    if !rules.require_extended_key_usage.is_empty() {
        out.push(Demand::ExtendedKeyUsage(rules.require_extended_key_usage.clone()));
    }
    out.extend(attributes.iter().cloned().map(Demand::Attribute));
    out
}

impl Demand {
    /// Adds the demand to the answer of `/csrattrs`, unless every CSR meets it.
    ///
    /// # Errors
    /// Those of the encoder.
    pub(super) fn ask(&self, answer: &mut CsrAttrsResponse) -> der::Result<()> {
        match self {
            Self::Key(accepted) if !is_every(accepted) => {
                answer.key = accepted.first().copied().map(Key::Kind);
            }
            Self::Digest(accepted) if accepted.len() < Digest::ALL.len() => {
                let Some(digest) = accepted.first() else { return Ok(()) };
                let kinds = match answer.key {
                    Some(Key::Kind(KeyKind::Ed25519)) => Vec::new(),
                    Some(Key::Kind(kind)) => vec![kind],
                    _ => vec![KeyKind::P256, KeyKind::Rsa(2048)],
                };
                answer.signatures =
                    kinds.into_iter().map(|kind| algorithm::signature(kind, *digest)).collect();
            }
            Self::Key(_) | Self::Digest(_) => {}
            Self::Subject(attributes) => answer.subject.clone_from(attributes),
            Self::San(kinds) => answer.extensions.push(AskedExtension::open_san(kinds)?),
            Self::KeyUsage(usage) => answer
                .extensions
                .push(AskedExtension { oid: oid::KEY_USAGE, value: Some(usage.to_der()?) }),
            Self::ExtendedKeyUsage(usages) => {
                use der::Encode;
                let value = Some(usages.to_der()?);
                answer.extensions.push(AskedExtension { oid: oid::EXTENDED_KEY_USAGE, value });
            }
            Self::Attribute(attribute) => answer.attributes.push(attribute.clone()),
        }
        Ok(())
    }

    /// Whether a CSR fulfills it, with the names that the certificate would have.
    ///
    /// # Errors
    /// [`pki::Error::Unacceptable`] naming the demand; [`pki::Error::Malformed`] if the part of the
    /// CSR that it is about cannot be read.
    pub(super) fn check(
        &self,
        csr: &Csr,
        names: &DistinguishedName,
        alt_names: Option<&SubjectAltName>,
    ) -> Result<(), pki::Error> {
        match self {
            Self::Key(accepted) => key(accepted, csr.key().kind()),
            Self::Digest(accepted) => digest(accepted, csr),
            Self::Subject(attributes) => {
                attributes.iter().try_for_each(|one| subject(one, attributes, names))
            }
            Self::San(kinds) => kinds.iter().try_for_each(|kind| san(*kind, alt_names)),
            Self::KeyUsage(usage) => key_usage(*usage, csr),
            Self::ExtendedKeyUsage(usages) => extended_key_usage(usages, csr),
            Self::Attribute(wanted) => attribute(wanted, csr),
        }
    }
}

/// Whether each kind of key that this server certifies is accepted. Then `/csrattrs` requests none.
fn is_every(accepted: &[KeyKind]) -> bool {
    [KeyKind::Rsa(2048), KeyKind::P256, KeyKind::P384, KeyKind::P521, KeyKind::Ed25519]
        .iter()
        .all(|kind| accepted.contains(kind))
}

fn rejected(rejection: Rejection) -> Result<(), pki::Error> {
    Err(pki::Error::Unacceptable(rejection))
}

fn listed<T: ToString>(all: &[T]) -> String {
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn key(accepted: &[KeyKind], kind: KeyKind) -> Result<(), pki::Error> {
    let keeps = accepted.iter().any(|accepted| match (accepted, kind) {
        (KeyKind::Rsa(least), KeyKind::Rsa(bits)) => bits >= *least,
        (accepted, kind) => *accepted == kind,
    });
    if keeps {
        return Ok(());
    }
    rejected(Rejection::of(Code::CsrKeyKind, kind, listed(accepted)))
}

fn digest(accepted: &[Digest], csr: &Csr) -> Result<(), pki::Error> {
    let Some(seen) = csr.digest() else { return Ok(()) };
    if accepted.contains(&seen) {
        return Ok(());
    }
    rejected(Rejection::of(Code::CsrSignatureDigest, seen, listed(accepted)))
}

fn subject(
    one: &SubjectAttribute,
    all: &[SubjectAttribute],
    names: &DistinguishedName,
) -> Result<(), pki::Error> {
    let seen: Vec<&[u8]> = names.values(one.kind).collect();
    let asked: Vec<Option<&str>> =
        all.iter().filter(|other| other.kind == one.kind).map(|a| a.value.as_deref()).collect();
    let given = asked.iter().flatten().all(|value| seen.contains(&value.as_bytes()));
    if seen.len() == asked.len() && given {
        return Ok(());
    }
    let values: Vec<String> = asked
        .iter()
        .map(|value| value.map_or_else(|| "one of your choice".to_owned(), |v| format!("\"{v}\"")))
        .collect();
    let shown: Vec<String> =
        seen.iter().map(|value| format!("\"{}\"", String::from_utf8_lossy(value))).collect();
    rejected(Rejection::new(
        Code::CsrSubjectDemanded,
        format!("the subject has the {} that the profile demands", described(one.kind)),
        if shown.is_empty() { "none".to_owned() } else { shown.join(", ") },
        format!("{}, and no other of this type", values.join(" and ")),
    ))
}

fn san(kind: SanKind, names: Option<&SubjectAltName>) -> Result<(), pki::Error> {
    let entries = names.map(SubjectAltName::entries).unwrap_or_default();
    if entries.iter().any(|entry| entry.kind == Some(kind)) {
        return Ok(());
    }
    let texts = names.map(SubjectAltName::texts).unwrap_or_default();
    rejected(Rejection::new(
        Code::CsrSanDemanded,
        format!("subjectAltName has an entry of kind {kind}, which the profile demands"),
        if texts.is_empty() { "no subjectAltName".to_owned() } else { texts.join(", ") },
        format!("at least one entry of kind {kind}"),
    ))
}

fn asked_for(oid: ObjectIdentifier, csr: &Csr) -> Option<&[u8]> {
    let mut extensions = csr.extensions().iter();
    extensions.find(|asked| asked.oid == oid).map(|asked| asked.value.as_slice())
}

fn key_usage(wanted: KeyUsage, csr: &Csr) -> Result<(), pki::Error> {
    let seen = asked_for(oid::KEY_USAGE, csr).map(KeyUsage::parse).transpose()?;
    if seen == Some(wanted) {
        return Ok(());
    }
    rejected(Rejection::of(
        Code::CsrKeyUsageDemanded,
        seen.map_or_else(|| "no keyUsage".to_owned(), |usage| usage.names().join(", ")),
        wanted.names().join(", "),
    ))
}

fn extended_key_usage(wanted: &[ObjectIdentifier], csr: &Csr) -> Result<(), pki::Error> {
    let value = asked_for(oid::EXTENDED_KEY_USAGE, csr);
    let seen = value.map(extension::extended_key_usage).transpose()?.unwrap_or_default();
    if wanted.iter().all(|usage| seen.contains(usage)) {
        return Ok(());
    }
    let named = |all: &[ObjectIdentifier]| {
        all.iter().map(|usage| described(*usage)).collect::<Vec<_>>().join(", ")
    };
    rejected(Rejection::of(
        Code::CsrExtendedKeyUsageDemanded,
        if seen.is_empty() { "no extKeyUsage".to_owned() } else { named(&seen) },
        named(wanted),
    ))
}

fn attribute(wanted: &CsrAttribute, csr: &Csr) -> Result<(), pki::Error> {
    let seen = csr.attribute(wanted.kind)?;
    let keeps = match (&wanted.value, seen) {
        (None, Some(values)) => !values.is_empty(),
        (Some(value), Some(values)) => value == values,
        (_, None) => false,
    };
    if keeps {
        return Ok(());
    }
    rejected(Rejection::new(
        Code::CsrAttributeDemanded,
        format!("the CSR has the attribute {} that the label demands", described(wanted.kind)),
        if seen.is_some() { "it with another value" } else { "none" },
        if wanted.value.is_some() {
            "the value that /csrattrs gives, and no other"
        } else {
            "one with a value of your choice"
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ca::Profile, config, types::CsrAttrsForm};

    /// Returns the CSR attributes of a label in this configuration.
    fn asked(toml: &str, label: &str) -> CsrAttrsResponse {
        let text =
            if toml.contains("version") { toml.to_owned() } else { format!("version = 1\n{toml}") };
        let policies = config::parse(&text, std::path::Path::new("est.toml"), &|_| None)
            .unwrap()
            .live
            .policies;
        let policy = policies
            .labels
            .iter()
            .find(|(name, _)| name.as_str() == label)
            .map_or(&policies.unlabeled, |(_, policy)| policy);
        let rules = policies.profiles.get(&policy.profile).unwrap();
        let attributes = &policy.csrattrs.attributes;
        Profile::new(policy.profile.clone(), rules.clone(), attributes).csrattrs().unwrap()
    }

    #[test]
    fn the_page_shows_the_demands() {
        let page = include_str!("../../docs/configuration.md");
        let chapter = page.split("## What a CSR has to hold").nth(1).unwrap();
        let block = |kind: &str| {
            chapter.split(&format!("```{kind}\n")).nth(1).unwrap().split("```").next().unwrap()
        };
        let lines = asked(block("toml"), "gateway").lines();
        let shown: Vec<&str> = block("text").lines().skip(1).map(str::trim).collect();
        assert_eq!(lines, shown);
    }

    #[test]
    fn the_defaults_ask_for_nothing() {
        assert!(asked("", "").is_empty());
        let reordered =
            "[profile.device]\nkeys = [\"ed25519\", \"p-256\", \"p-521\", \"p-384\", \"rsa-2048\"]";
        assert!(asked(reordered, "").is_empty());
        let longer =
            "[profile.device]\nkeys = [\"ed25519\", \"p-256\", \"p-521\", \"p-384\", \"rsa-3072\"]";
        assert_eq!(asked(longer, "").key, Some(Key::Kind(KeyKind::Ed25519)));
    }

    /// The order of `keys` and `digests` is what counts.
    #[test]
    fn r_7030_4_5_2_c_the_first_of_several_is_asked_for() {
        let of = |keys: &str, digests: &str| {
            let asked =
                asked(&format!("[profile.device]\nkeys = [{keys}]\ndigests = [{digests}]"), "");
            (asked.key, asked.signatures)
        };
        let (key, signatures) = of("\"rsa-4096\", \"p-256\"", "\"sha512\", \"sha256\"");
        assert_eq!(key, Some(Key::Kind(KeyKind::Rsa(4096))));
        assert_eq!(signatures, [oid::RSA_SHA512]);
        let (key, signatures) = of("\"ed25519\"", "\"sha512\"");
        assert_eq!((key, signatures), (Some(Key::Kind(KeyKind::Ed25519)), vec![]));
        let every = "\"rsa-2048\", \"p-256\", \"p-384\", \"p-521\", \"ed25519\"";
        let (key, signatures) = of(every, "\"sha384\"");
        assert_eq!((key, signatures), (None, vec![oid::ECDSA_SHA384, oid::RSA_SHA384]));
    }

    #[test]
    fn each_value_that_can_be_demanded_can_be_written() {
        let toml = "[profile.device]\nrequire_subject = [\"C=DE\", \"serialNumber=a-1\", \"dnQualifier=x\", \"DC=example\", \"emailAddress=a@b\", \"UID=\u{e9}\", \"postalCode=1\"]";
        let asked = asked(toml, "");
        for form in [CsrAttrsForm::Rfc8951, CsrAttrsForm::Rfc9908] {
            let der = asked.to_der(form).unwrap();
            assert_eq!(CsrAttrsResponse::parse(&der).unwrap(), asked);
        }
    }
}
