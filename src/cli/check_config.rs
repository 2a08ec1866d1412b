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
    server,
    types::counted,
};
use std::collections::BTreeSet;

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
    for one in warnings {
        line(&format!("warning: {}: {}\n  remedy: {}", one.about, one.text, one.remedy))?;
    }
    new.iter().try_for_each(|ca| {
        line(&format!(
            "note: the running estd does not have CA {ca}, and a reload would reject this file: restart estd"
        ))
    })
}
