//! `estd ca`.

use super::{
    admin_client::AdminClient,
    context::Context,
    failure::Failure,
    output::{json, line},
};
use crate::{api, types::escaped_line};
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(super) enum CaCommand {
    /// Shows the CAs with the fingerprints of their certificates.
    Show,
}

pub(super) fn show_cas(context: &Context) -> Result<(), Failure> {
    let all = AdminClient::with(context, async |client| client.call(api::ShowCas {}).await)?;
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
