//! Reads the file into checked settings: a module for each section.

mod accept;
mod audit;
mod ca;
mod csrattrs;
mod devices;
mod former;
mod keys;
mod manufacturer;
mod names;
mod passwords;
mod policy;
mod profile;
mod references;
mod renewal;
mod server;
mod serverkeygen;
mod store;
#[cfg(test)]
mod tests;

use super::{
    BootSettings, LiveSettings, Secrets, SettingErrors, Settings, SettingsSource,
    section::{FileReport, Section},
};
use crate::{
    policy::{CaRules, LabelRules, Policies, ProfileRules, UnknownCertificates},
    types::{CaName, Label, ManufacturerName, ProfileName},
};
use std::{
    collections::BTreeMap,
    fs,
    io::{self, ErrorKind},
    os::unix::fs::MetadataExt,
    path::Path,
    time::Duration,
};
use toml::Table;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// Reads a configuration file. `environment` returns the value of an environment variable.
///
/// # Errors
/// Returns all errors together.
pub fn load(
    file: &Path,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Settings, SettingErrors> {
    load_for(file, environment, Secrets::All)
}

/// Reads a configuration file, and only these of the secrets that it names: an operator's command runs
/// without the server's passphrase.
///
/// # Errors
/// Returns all errors together.
pub fn load_for(
    file: &Path,
    environment: &dyn Fn(&str) -> Option<String>,
    secrets: Secrets,
) -> Result<Settings, SettingErrors> {
    let open = || (secrets == Secrets::All).then(|| open_to_others(file)).flatten();
    match fs::read_to_string(file).map(|text| (text, open())) {
        Ok((text, None)) => parse_for(&text, file, environment, secrets),
        Ok((_, Some(mode))) => {
            let report = FileReport::new(file);
            report.add(
                "E-CONFIG-FILE",
                "",
                None,
                format!("got mode {mode:03o}; expected: only the owner may change it"),
                format!("check that nobody has changed it, then: chmod go-w {}", file.display()),
            );
            Err(SettingErrors(report.errors.into_inner()))
        }
        Err(cause) => {
            let report = FileReport::new(file);
            let (text, remedy) = unreadable(&cause);
            report.add("E-CONFIG-FILE", "", None, text, remedy);
            Err(SettingErrors(report.errors.into_inner()))
        }
    }
}

/// Returns the mode of a file that everybody may write, or a group other than the owner's own. With umask
/// 002, the default of several distributions, the group with the user's number may write a clone's files.
/// A pipe or terminal has no such mode.
fn open_to_others(file: &Path) -> Option<u32> {
    let found = fs::metadata(file).ok().filter(fs::Metadata::is_file)?;
    let mode = found.mode() & 0o777;
    let closed = if found.gid() == found.uid() { 0o002 } else { 0o022 };
    (mode & closed != 0).then_some(mode)
}

/// Returns why a configuration file cannot be read, and the remedy.
fn unreadable(cause: &io::Error) -> (String, &'static str) {
    let remedy = match cause.kind() {
        ErrorKind::InvalidData => {
            return (
                "got a file that is not UTF-8; expected: UTF-8 text".to_owned(),
                "save it as UTF-8; to convert Latin-1: iconv -f latin1 -t utf8",
            );
        }
        ErrorKind::PermissionDenied => "run this as the user that estd runs as",
        ErrorKind::IsADirectory => "name the file in that folder: --config FILE",
        _ => "name a file that exists: --config FILE; est.toml of the source shows every key",
    };
    (cause.to_string(), remedy)
}

/// Parses a configuration. Relative paths start from the folder of `file`; errors name it.
///
/// # Errors
/// Returns all errors together.
pub fn parse(
    text: &str,
    file: &Path,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Settings, SettingErrors> {
    parse_for(text, file, environment, Secrets::All)
}

fn parse_for(
    text: &str,
    file: &Path,
    environment: &dyn Fn(&str) -> Option<String>,
    secrets: Secrets,
) -> Result<Settings, SettingErrors> {
    let report = FileReport { secrets, ..FileReport::new(file) };
    let table = match text.parse::<Table>() {
        Ok(table) => table,
        Err(error) => {
            let line = error
                .span()
                .and_then(|span| text.get(..span.start))
                .map_or(1, |before| before.lines().count().max(1));
            report.add(
                "E-CONFIG-SYNTAX",
                "",
                None,
                format!("line {line}: {}", error.message()),
                "correct the TOML",
            );
            return Err(SettingErrors(report.errors.into_inner()));
        }
    };
    let settings = settings(&report, table, environment);
    let errors = report.errors.into_inner();
    if errors.is_empty() { Ok(settings) } else { Err(SettingErrors(errors)) }
}

fn settings(
    report: &FileReport<'_>,
    table: Table,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Settings {
    let top = Section::new(report, "", table);
    match top.value("version") {
        Some(toml::Value::Integer(1)) => {}
        seen => report.add(
            "E-CONFIG-VERSION",
            "version",
            seen,
            "got another version, or none; expected: 1",
            "write version = 1 at the top",
        ),
    }
    let data = top.file("data").unwrap_or_else(|| top.resolve("data"));
    let server = server::server(top.section("server"));
    former::reject_client_trust(&top);
    let decrypt_keys = serverkeygen::decrypt_keys(top.section("serverkeygen"));
    let keys = keys::keys(top.section("keys"), environment);
    let passwords = passwords::passwords(top.section("passwords"));
    let audit = audit::audit(top.section("audit"), &data);
    let store = store::store(top.section("store"), environment);

    let (mut cas, mut unknown): (BTreeMap<CaName, CaRules>, BTreeMap<CaName, _>) =
        Default::default();
    for (name, section) in top.named::<CaName>("ca") {
        let (ca, rule) = ca::ca(section);
        cas.insert(name.clone(), ca);
        unknown.insert(name, rule);
    }
    let implied = ca::imply_default(report, &mut cas);
    let mut profiles: BTreeMap<ProfileName, ProfileRules> = top
        .named("profile")
        .into_iter()
        .map(|(name, section)| (name, profile::profile(section)))
        .collect();
    if let Ok(name) = "device".parse() {
        profiles.entry(name).or_insert_with(|| {
            profile::profile(Section::new(report, "profile.device", Table::new()))
        });
    }
    let manufacturers: BTreeMap<ManufacturerName, _> = top
        .named("manufacturer")
        .into_iter()
        .map(|(name, section)| (name, manufacturer::manufacturer(section)))
        .collect();
    // A reload replaces it, unlike the rest of [ca.NAME]: it is a rule of each label of the CA.
    let with_rule = |policy: LabelRules| LabelRules {
        unknown_certificates: unknown
            .get(&policy.ca)
            .copied()
            .unwrap_or(UnknownCertificates::Reject),
        ..policy
    };
    let unlabeled = with_rule(policy::policy(top.section("est"), &cas, &profiles, None));
    let labels: BTreeMap<Label, LabelRules> = top
        .named("label")
        .into_iter()
        .map(|(label, section): (Label, _)| {
            let name = label.to_string();
            (label, with_rule(policy::policy(section, &cas, &profiles, Some(&name))))
        })
        .collect();
    if let Some(name) = implied {
        let policies = std::iter::once(&unlabeled).chain(labels.values());
        if server.certificate.ca != name && policies.into_iter().all(|policy| policy.ca != name) {
            cas.remove(&name);
        }
    }
    if !cas.contains_key(&server.certificate.ca) {
        let names: Vec<_> = cas.keys().map(ToString::to_string).collect();
        report.add(
            "E-CONFIG-REFERENCE",
            "[server.certificate] ca",
            None,
            format!("got {:?}; expected: a CA of this file", server.certificate.ca.as_str()),
            format!("name one of: {}", names.join(", ")),
        );
    }
    ca::check_subjects(report, &cas);
    let mut policies = Policies { manufacturers, profiles, unlabeled, labels };
    references::guard_proofs(&mut policies);
    references::check_references(report, &policies);
    top.finish();
    Settings {
        source: SettingsSource::File(report.file.to_owned()),
        file: report.file.to_owned(),
        boot: BootSettings {
            data,
            listen: server.listen,
            max_connections: server.max_connections,
            server_certificate: server.certificate,
            keys,
            passwords,
            audit,
            store,
            cas,
        },
        live: LiveSettings { server: server.live, decrypt_keys, policies },
    }
}
