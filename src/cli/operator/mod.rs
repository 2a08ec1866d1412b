//! Commands of the operator.

pub(super) mod args;
mod cert;
mod choose;
mod revoke;
mod user;

use super::{
    Context, Failure,
    office::Office,
    output::{json, line},
};
use crate::{
    api,
    types::{counted, escaped_line},
};
pub(super) use cert::cert;
pub(super) use user::user;

pub(super) fn config_is_good(context: &Context) -> Result<(), Failure> {
    let settings = &context.settings;
    let (cas, profiles) = (settings.cas.len(), settings.policies.profiles.len());
    let labels = settings.policies.labels.len();
    if context.json {
        return json(&serde_json::json!({
            "file": settings.file,
            "good": true,
            "cas": cas,
            "profiles": profiles,
            "labels": labels,
        }));
    }
    line(&format!("{}: good", settings.file.display()))?;
    line(&format!(
        "  {}, {}, {} beside the unlabelled one",
        counted(cas, "CA"),
        counted(profiles, "profile"),
        counted(labels, "label"),
    ))
}

/// Runs an operator's question to its end, and lets go of the store whatever came of it.
pub(super) fn with_office<T>(
    context: &Context,
    question: impl AsyncFnOnce(&Office) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|cause| Failure::new(cause, "free some memory or file descriptors"))?;
    runtime.block_on(async {
        let office = Office::find(&context.settings).await?;
        let outcome = question(&office).await;
        office.close().await;
        outcome
    })
}

pub(super) fn ca_show(context: &Context) -> Result<(), Failure> {
    let all = with_office(context, async |office| office.ask(api::ShowCas {}).await)?;
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
