//! `estd check-config`.

use super::{
    context::Context,
    failure::Failure,
    output::{json, line},
    process::running_cas,
};
use crate::{server, types::counted};
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
    if context.json {
        return json(&serde_json::json!({
            "file": settings.file,
            "good": true,
            "cas": cas,
            "profiles": profiles,
            "labels": labels,
            "restart_for_cas": new,
        }));
    }
    line(&format!("{}: good", settings.file.display()))?;
    line(&format!(
        "  {}, {}, {} beside the unlabelled one",
        counted(cas, "CA"),
        counted(profiles, "profile"),
        counted(labels, "label"),
    ))?;
    new.iter().try_for_each(|ca| {
        line(&format!(
            "note: the running estd does not have CA {ca}, and a reload would reject this file: restart estd"
        ))
    })
}
