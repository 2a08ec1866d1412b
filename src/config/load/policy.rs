//! `[est]` and `[label.NAME]`.

use super::{
    DAY, MINUTE, accept::read_accept, ca::ca_name, csrattrs::csrattrs_rules, devices::devices,
    former, names::names, renewal::read_renewal,
};
use crate::{
    config::section::Section,
    policy::{
        Base64Form, CaRules, KeyGeneration, LabelRules, Linking, ProfileRules, Proof, Scheme,
        UnknownCertificates,
    },
    types::{CaName, ProfileName, parse_sha256},
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
    former::reject_former_keys(&section);
    let retry_window = section.duration("retry_window", 10 * MINUTE, Duration::ZERO..=DAY);
    let policy = LabelRules {
        ca,
        profile: name,
        // References to the label may set it, too.
        renews_own_only: profile.is_some_and(|rules| rules.extended_key_usage.contains(&CMC_RA)),
        makes_ra: profile.is_some_and(|rules| rules.extended_key_usage.contains(&CMC_RA)),
        accept: read_accept(
            &section,
            vec![vec![Proof::Certificate], vec![Proof::Password(Scheme::Basic)], vec![Proof::Ra]],
        ),
        ra_keys: ra_keys(&section),
        idevid_key: section.boolean("idevid_key", false),
        devices: devices(&section),
        names: names(section.section("names")),
        renewal: read_renewal(section.section("renewal"), profile, retry_window),
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
        include_chain: section.boolean("include_chain", false),
        server_root: section.boolean("server_root", true),
        retry_window,
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
            let by_password = |all: &[Proof]| all.iter().any(|proof| proof.scheme().is_some());
            if label.is_none() || !policy.accept.alternatives().all(by_password) {
                section.error("profile", "got a profile with cmcRA, which makes its holder a registration authority; expected: a profile without it", "use it under a [label.NAME] of its own with a password in each alternative of accept, such as accept = [\"password\"]");
            }
        }
        Some(_) => {}
    }
    section.finish();
    policy
}

/// Reads the keys of the registration authorities that are accepted.
fn ra_keys(section: &Section<'_>) -> Vec<[u8; 32]> {
    const REMEDY: &str =
        "openssl x509 -in RA.pem -pubkey -noout | openssl pkey -pubin -outform DER | sha256sum";
    section.list("ra_keys", Vec::new(), REMEDY, |text| {
        parse_sha256(text)
            .ok_or_else(|| "SHA-256 of a SubjectPublicKeyInfo: 64 hexadecimal digits".to_owned())
    })
}
