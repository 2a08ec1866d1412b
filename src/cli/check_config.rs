//! `estd check-config`.

use super::{
    context::Context,
    failure::Failure,
    output::{json, line},
    process::running_cas,
};
use crate::{
    api,
    clock::{Clock, SystemClock},
    config::Settings,
    server,
    types::counted,
};
use std::collections::{BTreeMap, BTreeSet};

/// The rules about devices of a label, as JSON.
#[derive(serde::Serialize)]
struct ShownDevices {
    devices: &'static str,
    quota: Option<u32>,
    own_keys: bool,
}

impl ShownDevices {
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("{} devices", self.devices)];
        lines.extend(self.quota.map(counted_certificates));
        lines.extend(self.own_keys.then(|| "a key for one device only".to_owned()));
        lines
    }
}

fn counted_certificates(quota: u32) -> String {
    format!("{} each at once", counted(usize::try_from(quota).unwrap_or(usize::MAX), "certificate"))
}

/// The rules about devices of the labels that have any, by label.
fn devices(settings: &Settings) -> BTreeMap<&str, ShownDevices> {
    let policies = &settings.live.policies;
    let labels = policies.labels.iter().map(|(label, rules)| (label.as_str(), rules));
    std::iter::once(("", &policies.unlabeled))
        .chain(labels)
        .map(|(label, rules)| (label, rules.devices.mode.as_str(), rules.devices))
        .filter(|(_, mode, rules)| *mode != "any" || rules.quota.is_some() || rules.own_keys)
        .map(|(label, devices, rules)| {
            (label, ShownDevices { devices, quota: rules.quota, own_keys: rules.own_keys })
        })
        .collect()
}

pub(super) fn check_config(context: &Context) -> Result<(), Failure> {
    let settings = &context.settings;
    server::check_disk(settings).map_err(Failure::Config)?;
    let (cas, profiles) = (settings.boot.cas.len(), settings.live.policies.profiles.len());
    let labels = settings.live.policies.labels.len();
    let new: BTreeSet<_> = running_cas(settings)
        .map(|known| {
            settings
                .live
                .policies
                .all()
                .map(|policy| policy.ca.to_string())
                .filter(|ca| !known.contains(ca))
                .collect()
        })
        .unwrap_or_default();
    let warnings = server::setting_warnings(settings, SystemClock.now());
    if context.json {
        let warnings: Vec<_> = warnings.iter().map(api::OperatorWarning::from).collect();
        return json(&serde_json::json!({
            "file": settings.file,
            "good": true,
            "cas": cas,
            "profiles": profiles,
            "labels": labels,
            "devices": devices(settings),
            "restart_for_cas": new,
            "warnings": warnings,
        }));
    }
    line(&format!("{}: good", settings.file.display()))?;
    line(&format!(
        "  {}, {}, {} beside the unlabeled one",
        counted(cas, "CA"),
        counted(profiles, "profile"),
        counted(labels, "label"),
    ))?;
    for (label, rules) in devices(settings) {
        let name = if label.is_empty() { "[est]".to_owned() } else { format!("label {label}") };
        line(&format!("  {name}: {}", rules.lines().join(", ")))?;
    }
    for one in warnings {
        line(&format!("warning: {}: {}\n  remedy: {}", one.about, one.text, one.remedy))?;
    }
    new.iter().try_for_each(|ca| {
        line(&format!(
            "note: the running estd does not have CA {ca}, and a reload would reject this file: restart estd"
        ))
    })
}
