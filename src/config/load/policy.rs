//! `[est]` and `[label.NAME]`.

use super::{DAY, MINUTE, ca::ca_name, csrattrs::csrattrs_rules};
use crate::{
    config::section::Section,
    policy::{
        Authentication, Base64Form, CaRules, CertificateNames, KeyGeneration, LabelRules, Linking,
        ProfileRules, Scheme, UnknownCertificates,
    },
    types::{CaName, ProfileName},
};
use const_oid::ObjectIdentifier;
use std::{collections::BTreeMap, time::Duration};

const CMC_RA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.28");

pub(super) fn policy(
    section: Section<'_>,
    cas: &BTreeMap<CaName, CaRules>,
    profiles: &BTreeMap<ProfileName, ProfileRules>,
    label: Option<&str>,
) -> LabelRules {
    #[allow(clippy::expect_used, reason = "a constant that the test of the defaults parses")]
    let device: ProfileName = "device".parse().expect("a name");
    let ca = ca_name(&section);
    let name = section.parsed("profile", device, "name a [profile.NAME] section");
    let profile = profiles.get(&name);
    let policy = LabelRules {
        ca,
        profile: name,
        makes_ra: profile.is_some_and(|rules| rules.extended_key_usage.contains(&CMC_RA)),
        authentication: section.one_of(
            "authentication",
            &[
                ("either", Authentication::Either),
                ("certificate", Authentication::Certificate),
                ("password", Authentication::Password),
                ("both", Authentication::Both),
            ],
            Authentication::Either,
        ),
        schemes: schemes(&section),
        certificate_names: section.one_of(
            "certificate_names",
            &[("own", CertificateNames::Own), ("any", CertificateNames::Any)],
            CertificateNames::Own,
        ),
        linking: section.one_of(
            "linking",
            &[
                ("optional", Linking::Optional),
                ("required", Linking::Required),
                ("off", Linking::Off),
            ],
            Linking::Optional,
        ),
        fullcmc: section.boolean("fullcmc", false),
        renew: section.boolean("renew", true),
        rekey: section.boolean("rekey", true),
        base64: section.one_of(
            "base64",
            &[
                ("auto", Base64Form::Auto),
                ("wrapped", Base64Form::Wrapped),
                ("line", Base64Form::Line),
            ],
            Base64Form::Auto,
        ),
        serverkeygen: section.one_of(
            "serverkeygen",
            &[
                ("off", KeyGeneration::Off),
                ("on", KeyGeneration::On),
                ("encrypted", KeyGeneration::Encrypted),
            ],
            KeyGeneration::Off,
        ),
        pem: section.boolean("pem", true),
        der: section.boolean("der", false),
        change_names: section.boolean("change_names", false),
        expired_grace: section.duration(
            "expired_grace",
            Duration::ZERO,
            Duration::ZERO..=366 * DAY,
        ),
        include_chain: section.boolean("include_chain", false),
        server_root: section.boolean("server_root", true),
        retry_window: section.duration("retry_window", 10 * MINUTE, Duration::ZERO..=DAY),
        csrattrs: csrattrs_rules(section.section("csrattrs")),
        // The CA's section sets it.
        unknown_certificates: UnknownCertificates::Reject,
    };
    let missing = |key: &str, what: String, names: Vec<String>| {
        section.report.add(
            "E-CONFIG-REFERENCE",
            &section.path(key),
            None,
            what,
            format!("name one of: {}", names.join(", ")),
        );
    };
    if !cas.contains_key(&policy.ca) {
        missing(
            "ca",
            format!("got {:?}; expected: a CA of this file", policy.ca.as_str()),
            cas.keys().map(ToString::to_string).collect(),
        );
    }
    match profile {
        None => missing(
            "profile",
            format!("got {:?}; expected: a profile of this file", policy.profile.as_str()),
            profiles.keys().map(ToString::to_string).collect(),
        ),
        Some(_) if policy.makes_ra => {
            // Otherwise any device could become a registration authority.
            let by_password =
                matches!(policy.authentication, Authentication::Password | Authentication::Both);
            if label.is_none() || !by_password {
                section.error("profile", "got a profile with cmcRA, which makes its holder a registration authority; expected: a profile without it", "use it under a [label.NAME] of its own with authentication = \"password\" or \"both\"");
            }
        }
        Some(_) => {}
    }
    if !policy.renew && !policy.rekey {
        section.error(
            "renew",
            "got false for renew and rekey; expected: one of them, or no device can re-enroll",
            "allow one of them",
        );
    }
    section.finish();
    policy
}

/// Reads the schemes that prove a password.
fn schemes(section: &Section<'_>) -> Vec<Scheme> {
    const REMEDY: &str = "choose from basic, digest and digest-md5, each at most once";
    let schemes = section.list("schemes", vec![Scheme::Basic], REMEDY, |text| {
        [Scheme::Basic, Scheme::Digest, Scheme::DigestMd5]
            .into_iter()
            .find(|scheme| scheme.to_string() == text)
            .ok_or_else(|| "a scheme".to_owned())
    });
    let at = |wanted: Scheme| schemes.iter().position(|scheme| *scheme == wanted);
    let twice = schemes.iter().enumerate().any(|(index, scheme)| at(*scheme) != Some(index));
    if twice || section.strings("schemes").is_some_and(|given| given.is_empty()) {
        section.error(
            "schemes",
            "got no scheme, or one twice; expected: each at most once",
            REMEDY,
        );
    }
    if let (Some(sha256), Some(md5)) = (at(Scheme::Digest), at(Scheme::DigestMd5))
        && sha256 < md5
    {
        section.error(
            "schemes",
            "got digest before digest-md5; libest reads only the first challenge of Digest, and knows only MD5",
            "write digest-md5 before digest: other clients choose the better one",
        );
    }
    schemes
}
