//! `estd init`: writes a configuration for a new server.

use super::{
    failure::Failure,
    output::{json, line},
};
use crate::{
    config::{self, Example},
    durable,
    types::escaped_line,
};
use clap::Args;
use std::{io, net::IpAddr, path::PathBuf};

#[derive(Debug, Args)]
pub(super) struct InitArguments {
    /// Host name by which devices reach the server; can be repeated. Default: localhost.
    #[arg(long = "name", value_name = "NAME")]
    names: Vec<String>,
    /// Address by which devices reach the server; can be repeated. Default: loopback addresses.
    #[arg(long = "address", value_name = "IP")]
    addresses: Vec<IpAddr>,
    /// Folder of keys, certificates and store, relative to the file's folder. Default: data.
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// File to create; it must not exist.
    #[arg(default_value = "est.toml")]
    file: PathBuf,
}

/// Checks the new file as `estd check-config` does and creates it with mode 0644. It never replaces
/// a file.
pub(super) fn init(arguments: InitArguments, as_json: bool) -> Result<(), Failure> {
    let InitArguments { names, addresses, data, file } = arguments;
    let text = Example { names, addresses, data }.text();
    config::parse(&text, &file, &|_| None).map_err(Failure::Config)?;
    durable::create(&file, text.as_bytes(), 0o644).map_err(|cause| {
        let remedy = match cause.kind() {
            io::ErrorKind::AlreadyExists => "name another file, or move this one away",
            io::ErrorKind::NotFound => "create its folder first",
            _ => "name a file that can be written",
        };
        Failure::new(format!("{}: {cause}", file.display()), remedy)
    })?;
    let shown = file.display();
    let next =
        [format!("estd check-config --config {shown}"), format!("estd serve --config {shown}")];
    if as_json {
        return json(&serde_json::json!({ "file": file, "next": next }));
    }
    line(&format!("written: {}. It explains every key. Next:", escaped_line(shown)))?;
    next.iter().try_for_each(|command| line(&format!("  {}", escaped_line(command))))
}
