//! Names in `accept` that stand for other sections.

use crate::{
    config::section::FileReport,
    naming::VariableSource,
    policy::{LabelRules, Policies, Proof},
    types::Label,
};

/// Has each label renew its own certificates only, if its `accept` has no `certificate`, or if its
/// certificates are a proof elsewhere: another label names it as `certificate:LABEL`.
pub(super) fn guard_proofs(policies: &mut Policies) {
    let labels = policies.labels.iter().map(|(name, rules)| (Some(name), rules));
    let named = |(own, rules): (Option<&Label>, &LabelRules)| -> Vec<Label> {
        let others = rules.accept.proofs().filter_map(|proof| match proof {
            Proof::CertificateOf(label) if own != Some(label) => Some(label.clone()),
            _ => None,
        });
        others.collect()
    };
    let proofs: Vec<Label> = labels.chain([(None, &policies.unlabeled)]).flat_map(named).collect();
    for (label, rules) in &mut policies.labels {
        let any = rules.accept.proofs().any(|proof| *proof == Proof::Certificate);
        rules.renews_own_only |= !any || proofs.contains(label);
    }
}

/// Checks that the manufacturers and labels in each `accept` exist.
pub(super) fn check_references(report: &FileReport<'_>, policies: &Policies) {
    let labels = policies.labels.iter().map(|(name, rules)| (Some(name), rules));
    for (label, rules) in std::iter::once((None, &policies.unlabeled)).chain(labels) {
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
            VariableSource::Certificate => {
                matches!(proof, Proof::Certificate | Proof::CertificateOf(_) | Proof::Ra)
            }
            VariableSource::Password => proof.scheme().is_some(),
        })
    };
    for variable in rules.names.variables() {
        if !gives(variable.source()) {
            report.add(
                "E-CONFIG-REFERENCE",
                &key.replace(" accept", " names"),
                None,
                format!("got {{{variable}}}, and no proof in accept gives it: {}", rules.accept),
                format!("accept a proof that gives {}", variable.origin()),
            );
        }
    }
    if !rules.ra_keys.is_empty() && !rules.accept.proofs().any(|proof| *proof == Proof::Ra) {
        report.add(
            "E-CONFIG-VALUE",
            &key.replace("accept", "ra_keys"),
            None,
            "got keys of registration authorities, and accept has no ra; expected: both or none",
            "add \"ra\" to accept, or remove ra_keys",
        );
    }
}
