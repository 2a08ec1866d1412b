//! `estd device`.

mod add;
mod file;
mod import;
mod list;
mod show;
mod standing;

use super::{context::Context, failure::Failure};
use clap::Subcommand;
pub(super) use file::DeviceLines;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(super) enum RegistryCommand {
    /// Registers a device.
    Add(Box<add::AddArguments>),
    /// Registers the devices of a CSV file, all or none, in one step. Works while estd serves.
    ///
    /// The first line names the columns: id, and any of identifiers (separated by ";"), labels (the
    /// same), quota, from, until and tag.NAME. Devices that are registered with the same contents are
    /// left as they are, so an import can be run again.
    Import {
        /// The file, in UTF-8, with commas between the columns.
        file: PathBuf,
        /// Reports the errors of the file and of each line, and registers nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Lists devices by id.
    List(list::ListDevicesArguments),
    /// Shows a device with its certificates and tokens.
    Show {
        /// Id.
        id: String,
    },
    /// Blocks devices: from their next request on, on every node, they neither enroll nor
    /// authenticate with their certificates. This is no revocation: certificates stay valid for
    /// others, and CRLs do not change. To end the use of a certificate for good, revoke it.
    Block(standing::ChosenDevices),
    /// Ends a block, or takes a retired device back into service.
    Unblock(standing::ChosenDevices),
    /// Takes devices out of service: they neither enroll nor authenticate any more. Their ids and
    /// identifiers stay taken. Like a block, this is no revocation.
    Retire(standing::ChosenDevices),
    /// Sets and removes tags of a device.
    Tag {
        /// Id.
        id: String,
        /// Tags to set.
        #[arg(value_name = "NAME=VALUE", required_unless_present = "remove")]
        set: Vec<String>,
        /// Tag to remove; can be repeated.
        #[arg(long, value_name = "NAME")]
        remove: Vec<String>,
    },
}

pub(super) fn device_command(context: &Context, command: RegistryCommand) -> Result<(), Failure> {
    use standing::change_standing;
    match command {
        RegistryCommand::Add(arguments) => add::add_device(context, *arguments),
        RegistryCommand::Import { file, dry_run } => {
            import::import_devices(context, &file, dry_run)
        }
        RegistryCommand::List(arguments) => list::print_devices(context, arguments),
        RegistryCommand::Show { id } => show::show_device(context, id),
        RegistryCommand::Block(devices) => change_standing(context, devices, "blocked"),
        RegistryCommand::Unblock(devices) => change_standing(context, devices, "enabled"),
        RegistryCommand::Retire(devices) => change_standing(context, devices, "retired"),
        RegistryCommand::Tag { id, set, remove } => add::tag_device(context, id, &set, remove),
    }
}
