//! Names in `accept` that stand for other sections.

use crate::{
    config::section::FileReport,
    naming::VariableSource,
    policy::{DeviceMode, LabelRules, Policies, Proof},
    types::Label,
};
use const_oid::ObjectIdentifier;

const CLIENT_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");

/// Has each label renew its own certificates only, if its `accept` has no `certificate`, or if its
/// certificates are a proof elsewhere: another label names it as `certificate:LABEL`.
pub(super) fn guard_proofs(policies: &mut Policies) {
    let named = |(own, rules): (Option<&Label>, &LabelRules)| -> Vec<Label> {
        let others = rules.accept.proofs().filter_map(|proof| match proof {
            Proof::CertificateOf(label) if own != Some(label) => Some(label.clone()),
            _ => None,
        });
        others.collect()
    };
    let proofs: Vec<Label> = policies.by_label().flat_map(named).collect();
    let any = |rules: &LabelRules| rules.accept.has(&Proof::Certificate);
    for (label, rules) in &mut policies.labels {
        rules.renews_own_only |= !any(rules) || proofs.contains(label);
    }
    policies.unlabeled.renews_own_only |= !any(&policies.unlabeled);
}

/// Checks that the manufacturers and labels in each `accept` exist.
pub(super) fn check_references(report: &FileReport<'_>, policies: &Policies) {
    for (label, rules) in policies.by_label() {
        check_label(report, policies, label, rules);
    }
}

fn check_label(
    report: &FileReport<'_>,
    policies: &Policies,
    label: Option<&Label>,
    rules: &LabelRules,
) {
    let key =
        label.map_or_else(|| "[est] accept".to_owned(), |name| format!("[label.{name}] accept"));
    let missing = |got: &Proof, what: &str, names: Vec<String>| {
        let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        report.add(
            "E-CONFIG-REFERENCE",
            &key,
            None,
            format!("got {:?}; expected: a {what} of this file", got.to_string()),
            format!("add a section [{what}.NAME], or name one of: {known}"),
        );
    };
    for proof in rules.accept.proofs() {
        match proof {
            Proof::Manufacturer(name) if !policies.manufacturers.contains_key(name) => {
                let names = policies.manufacturers.keys().map(ToString::to_string).collect();
                missing(proof, "manufacturer", names);
            }
            Proof::CertificateOf(name) if !policies.labels.contains_key(name) => {
                missing(proof, "label", policies.labels.keys().map(ToString::to_string).collect());
            }
            _ => {}
        }
    }
    let gives = |source: VariableSource| {
        rules.accept.proofs().any(|proof| match source {
            VariableSource::Manufacturer => matches!(proof, Proof::Manufacturer(_)),
            VariableSource::Certificate => proof.is_own_certificate(),
            VariableSource::Password => proof.is_of_account(),
            VariableSource::Device => false,
        })
    };
    for variable in rules.names.variables() {
        if variable.source() == VariableSource::Device {
            if rules.devices.mode == DeviceMode::Any {
                report.add(
                    "E-CONFIG-REFERENCE",
                    &key.replace(" accept", " names"),
                    None,
                    format!("got {variable} with devices = \"any\", which enrolls devices that nobody registered; expected: devices that are known"),
                    "write devices = \"registered\", and register the devices: estd device import",
                );
            }
        } else if !gives(variable.source()) {
            report.add(
                "E-CONFIG-REFERENCE",
                &key.replace(" accept", " names"),
                None,
                format!("got {{{variable}}}, and no proof in accept gives it: {}", rules.accept),
                format!("accept a proof that gives {}", variable.origin()),
            );
        }
    }
    let usages = policies.profiles.get(&rules.profile).map(|profile| &profile.extended_key_usage);
    let shown = usages.is_none_or(|usages| usages.is_empty() || usages.contains(&CLIENT_AUTH));
    let all_need_one =
        rules.accept.alternatives().all(|all| all.iter().any(Proof::is_own_certificate));
    if !shown && all_need_one {
        report.add(
            "E-CONFIG-VALUE",
            &key.replace(" accept", " profile"),
            None,
            format!(
                "got profile {} without clientAuth, whose certificates no client can show in TLS to renew them; and accept has nothing but certificates of this server",
                rules.profile
            ),
            "add clientAuth to extended_key_usage of the profile; or a password or a manufacturer to accept, by which a device enrolls again",
        );
    }
    if !rules.ra_keys.is_empty() && !rules.accept.has(&Proof::Ra) {
        report.add(
            "E-CONFIG-VALUE",
            &key.replace("accept", "ra_keys"),
            None,
            "got keys of registration authorities, and accept has no ra; expected: both or none",
            "add \"ra\" to accept, or remove ra_keys",
        );
    }
}
