//! Commands of the operator.

pub(super) mod args;
mod cert;
mod choose;
mod revoke;
mod user;

use super::{
    Context, Failure,
    admin_client::AdminClient,
    output::{json, line},
    process::running_cas,
};
use crate::{
    api, server,
    types::{counted, escaped_line},
};
pub(super) use cert::cert;
use std::collections::BTreeSet;
pub(super) use user::user;

pub(super) fn config_is_good(context: &Context) -> Result<(), Failure> {
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
            "note: CA {ca} is new to the running estd, and a reload rejects this file: restart estd"
        ))
    })
}

/// Opens the client of the operator's calls, runs `work` with it, and closes it whatever the outcome.
pub(super) fn with_client<T>(
    context: &Context,
    work: impl AsyncFnOnce(&AdminClient) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|cause| Failure::new(cause, "free some memory or file descriptors"))?;
    runtime.block_on(async {
        let client = AdminClient::open(&context.settings).await?;
        let outcome = work(&client).await;
        client.close().await;
        outcome
    })
}

pub(super) fn ca_show(context: &Context) -> Result<(), Failure> {
    let all = with_client(context, async |client| client.call(api::ShowCas {}).await)?;
    if context.json {
        return json(&all);
    }
    for ca in &all.cas {
        for (role, one) in [("root", &ca.root), ("issuing CA", &ca.issuing)] {
            line(&format!("{}: {role} {}", ca.name, escaped_line(&one.subject)))?;
            line(&format!("  SHA-256   {}", one.sha256))?;
            line(&format!("  serial    {}", one.serial))?;
            line(&format!("  valid to  {}", one.not_after))?;
        }
    }
    Ok(())
}
