//! From the file to checked settings.

use super::{
    Audit, Authentication, Base64Form, Ca, CertificateNames, ClientTrust, Faults, Keys, Policy,
    Postgres, Profile, SanKind, Server, ServerCertificate, Settings, Store, Terminal,
    section::{Report, Section},
};
use crate::types::{CaName, KeyKind, ProfileName, is_dns_name};
use const_oid::ObjectIdentifier;
use std::{
    collections::{BTreeMap, HashMap},
    fs,
    io::Read,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::unix::fs::MetadataExt,
    path::Path,
    time::Duration,
};
use tokio_postgres::config::{Host, SslMode};
use toml::Table;
use zeroize::Zeroizing;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

const CMC_RA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.28");

/// Extended key usages by the names of RFC 5280 §4.2.1.12 and others in use.
const USAGES: [(&str, &str); 7] = [
    ("serverAuth", "1.3.6.1.5.5.7.3.1"),
    ("clientAuth", "1.3.6.1.5.5.7.3.2"),
    ("codeSigning", "1.3.6.1.5.5.7.3.3"),
    ("emailProtection", "1.3.6.1.5.5.7.3.4"),
    ("timeStamping", "1.3.6.1.5.5.7.3.8"),
    ("ipsecIKE", "1.3.6.1.5.5.7.3.17"),
    ("cmcRA", "1.3.6.1.5.5.7.3.28"),
];

/// Usages that no profile gives.
const FORBIDDEN_USAGES: [(&str, &str, &str); 3] = [
    ("anyExtendedKeyUsage", "2.5.29.37.0", "it would allow every use"),
    ("OCSPSigning", "1.3.6.1.5.5.7.3.9", "a device must not answer for the CA"),
    ("cmcCA", "1.3.6.1.5.5.7.3.27", "a device is no CA"),
];

/// Reads a configuration file. `environment` gives the value of an environment variable.
///
/// # Errors
/// All faults at once.
pub fn load(file: &Path, environment: &dyn Fn(&str) -> Option<String>) -> Result<Settings, Faults> {
    match fs::read_to_string(file) {
        Ok(text) => parse(&text, file, environment),
        Err(cause) => {
            let report = Report::new(file);
            report.tell(
                "E-CONFIG-FILE",
                "",
                None,
                cause,
                "name a file that exists and is readable: --config FILE",
            );
            Err(Faults(report.faults.into_inner()))
        }
    }
}

/// Reads a configuration. `file` is where relative paths start and what faults name.
///
/// # Errors
/// All faults at once.
pub fn parse(
    text: &str,
    file: &Path,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Settings, Faults> {
    let report = Report::new(file);
    let table = match text.parse::<Table>() {
        Ok(table) => table,
        Err(fault) => {
            let line = fault
                .span()
                .and_then(|span| text.get(..span.start))
                .map_or(1, |before| before.lines().count().max(1));
            report.tell(
                "E-CONFIG-SYNTAX",
                "",
                None,
                format!("line {line}: {}", fault.message()),
                "correct the TOML",
            );
            return Err(Faults(report.faults.into_inner()));
        }
    };
    let settings = settings(&report, table, environment);
    let faults = report.faults.into_inner();
    if faults.is_empty() { Ok(settings) } else { Err(Faults(faults)) }
}

fn settings(
    report: &Report<'_>,
    table: Table,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Settings {
    let top = Section::new(report, "", table);
    match top.value("version") {
        Some(toml::Value::Integer(1)) => {}
        seen => report.tell(
            "E-CONFIG-VERSION",
            "version",
            seen,
            "this estd reads version 1",
            "write version = 1 at the top",
        ),
    }
    let data = top.file("data").unwrap_or_else(|| top.resolve("data"));
    let (server, server_certificate) = server(top.section("server"));
    let client_trust = client_trust(top.section("client_trust"));
    let keys = keys(top.section("keys"), environment);
    let audit = audit(top.section("audit"), &data);
    let store = store(top.section("store"), environment);

    let mut cas: BTreeMap<CaName, Ca> =
        top.named("ca").into_iter().map(|(name, section)| (name, ca(section))).collect();
    if cas.is_empty()
        && let Ok(name) = "default".parse()
    {
        cas.insert(name, ca(Section::new(report, "ca.default", Table::new())));
    }
    let mut profiles: BTreeMap<ProfileName, Profile> =
        top.named("profile").into_iter().map(|(name, section)| (name, profile(section))).collect();
    if let Ok(name) = "device".parse() {
        profiles
            .entry(name)
            .or_insert_with(|| profile(Section::new(report, "profile.device", Table::new())));
    }
    let unlabelled = policy(top.section("est"), &cas, &profiles, None);
    let labels = top
        .named::<crate::types::Label>("label")
        .into_iter()
        .map(|(label, section)| {
            let name = label.to_string();
            (label, policy(section, &cas, &profiles, Some(&name)))
        })
        .collect();
    if !cas.contains_key(&server_certificate.ca) {
        let names: Vec<_> = cas.keys().map(ToString::to_string).collect();
        report.tell(
            "E-CONFIG-REFERENCE",
            "[server.certificate] ca",
            None,
            format!("there is no [ca.{}]", server_certificate.ca),
            format!("name one of: {}", names.join(", ")),
        );
    }
    check_subjects(report, &cas);
    top.finish();
    Settings {
        file: report.file.to_owned(),
        data,
        server,
        server_certificate,
        client_trust,
        keys,
        audit,
        store,
        cas,
        profiles,
        unlabelled,
        labels,
    }
}

fn server(section: Section<'_>) -> (Server, ServerCertificate) {
    let timeout = SECOND..=(10 * MINUTE);
    let everywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8443));
    let listen = section.list(
        "listen",
        vec![everywhere],
        "write it as \"0.0.0.0:8443\" or \"[::]:8443\"",
        |text| text.parse::<SocketAddr>().map_err(|_| "not an address and port".to_owned()),
    );
    let twice = listen
        .iter()
        .enumerate()
        .any(|(at, one)| listen.iter().skip(at + 1).any(|other| other == one && one.port() != 0));
    let none = section.strings("listen").is_some_and(|given| given.is_empty());
    if none || twice {
        section.tell(
            "listen",
            "no address, or one twice",
            "name each address once, such as \"0.0.0.0:8443\"",
        );
    }
    let certificate = section.section("certificate");
    let server = Server {
        listen,
        handshake_timeout: section.duration("handshake_timeout", 10 * SECOND, timeout.clone()),
        header_timeout: section.duration("header_timeout", 30 * SECOND, timeout.clone()),
        body_timeout: section.duration("body_timeout", 30 * SECOND, timeout.clone()),
        idle_timeout: section.duration("idle_timeout", 30 * SECOND, timeout.clone()),
        session_tickets: section.boolean("session_tickets", false),
        max_connections: section.number("max_connections", 10_000, 1..=1_000_000),
        max_connections_per_address: section.number(
            "max_connections_per_address",
            1000,
            1..=1_000_000,
        ),
        max_body: section.number("max_body", 65_536, 1024..=1_048_576),
        shutdown_grace: section.duration("shutdown_grace", 30 * SECOND, timeout),
    };
    let own = ServerCertificate {
        ca: ca_name(&certificate),
        names: certificate.list(
            "names",
            vec!["localhost".to_owned()],
            "write host names such as \"est.example.com\"",
            |text| {
                if is_dns_name(text) {
                    Ok(text.to_owned())
                } else {
                    Err("not a host name".to_owned())
                }
            },
        ),
        addresses: certificate.list(
            "addresses",
            vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)],
            "write addresses such as \"192.0.2.1\"",
            |text| text.parse().map_err(|_| "not an address".to_owned()),
        ),
        key: certificate.parsed(
            "key",
            KeyKind::P256,
            "choose p-256, p-384, rsa-2048, rsa-3072 or rsa-4096",
        ),
        validity: certificate.duration("validity", 90 * DAY, (60 * MINUTE)..=(3653 * DAY)),
    };
    if own.names.is_empty() && own.addresses.is_empty() {
        certificate.tell(
            "names",
            "the server needs a name or an address in its certificate (RFC 9525 section 4)",
            "add one",
        );
    }
    if matches!(own.key, KeyKind::P521 | KeyKind::Ed25519) {
        certificate.tell(
            "key",
            "not every TLS client knows this kind of key",
            "choose p-256, p-384, rsa-2048, rsa-3072 or rsa-4096",
        );
    }
    certificate.finish();
    section.finish();
    (server, own)
}

fn client_trust(section: Section<'_>) -> ClientTrust {
    let read = |key: &str| {
        let files = section.strings(key).unwrap_or_default();
        let mut anchors = Vec::new();
        for file in files {
            match certificates(&section.resolve(file)) {
                Ok(found) => anchors.extend(found),
                Err(fault) => section.tell(
                    key,
                    format!("{file}: {fault}"),
                    "name a PEM file with one or more CA certificates and nothing else",
                ),
            }
        }
        anchors
    };
    let trust = ClientTrust { explicit: read("explicit"), implicit: read("implicit") };
    section.finish();
    trust
}

fn certificates(path: &Path) -> Result<Vec<Vec<u8>>, String> {
    use der::Encode;
    let text = fs::read(path).map_err(|cause| cause.to_string())?;
    if text.windows(11).any(|part| part == b"PRIVATE KEY") {
        return Err("it holds a private key".to_owned());
    }
    let chain = x509_cert::Certificate::load_pem_chain(&text).map_err(|fault| fault.to_string())?;
    if chain.is_empty() {
        return Err("it holds no certificate".to_owned());
    }
    chain.iter().map(|one| one.to_der().map_err(|fault| fault.to_string())).collect()
}

fn keys(section: Section<'_>, environment: &dyn Fn(&str) -> Option<String>) -> Keys {
    let passphrase = secret(&section, "passphrase", environment);
    section.finish();
    Keys { passphrase }
}

/// A secret that stands in a file or in an environment variable, never in the configuration:
/// `WHAT_file`, `WHAT_env`.
fn secret(
    section: &Section<'_>,
    what: &str,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Option<Zeroizing<String>> {
    let (in_file, in_environment) = (format!("{what}_file"), format!("{what}_env"));
    match (section.file(&in_file), section.string(&in_environment)) {
        (Some(_), Some(_)) => {
            let text = format!("given together with {in_environment}");
            section.tell(&in_file, text, "keep one of the two");
            None
        }
        (Some(file), None) => secret_from(&file)
            .map_err(|fault| {
                let remedy =
                    format!("name a file of this user, mode 0600, with the {what} in one line");
                section.tell(&in_file, fault, remedy);
            })
            .ok(),
        (None, Some(variable)) => {
            let value = environment(variable).filter(|value| !value.is_empty()).map(Zeroizing::new);
            if value.is_none() {
                section.tell(
                    &in_environment,
                    "this environment variable is not set, or empty",
                    "set it where estd is started",
                );
            }
            value
        }
        (None, None) => None,
    }
}

fn secret_from(path: &Path) -> Result<Zeroizing<String>, String> {
    let mut file = fs::File::open(path).map_err(|cause| cause.to_string())?;
    let mode = file.metadata().map_err(|cause| cause.to_string())?.mode();
    if mode & 0o077 != 0 {
        return Err(format!("others than its owner may read it (mode {:03o})", mode & 0o777));
    }
    let mut text = Zeroizing::new(String::new());
    file.read_to_string(&mut text).map_err(|cause| cause.to_string())?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = Zeroizing::new(line.strip_suffix('\r').unwrap_or(line).to_owned());
    if line.is_empty() { Err("it is empty".to_owned()) } else { Ok(line) }
}

fn audit(section: Section<'_>, data: &Path) -> Audit {
    let audit = Audit {
        file: section.file("file").unwrap_or_else(|| data.join("audit.jsonl")),
        terminal: section.one_of(
            "terminal",
            &[("text", Terminal::Text), ("quiet", Terminal::Quiet)],
            Terminal::Text,
        ),
    };
    section.finish();
    audit
}

fn store(section: Section<'_>, environment: &dyn Fn(&str) -> Option<String>) -> Store {
    #[derive(Clone, Copy, PartialEq)]
    enum Backend {
        Sled,
        Postgres,
        Memory,
    }
    let words =
        [("sled", Backend::Sled), ("postgres", Backend::Postgres), ("memory", Backend::Memory)];
    let backend = section.one_of("backend", &words, Backend::Sled);
    let cache = section.number("cache_mib", 64, 1..=1_048_576) as u64 * (1 << 20);
    let postgres = postgres(&section, environment, backend == Backend::Postgres);
    let of_sled = (backend != Backend::Sled).then_some("cache_mib");
    let of_postgres = POSTGRES_KEYS.into_iter().filter(|_| backend != Backend::Postgres);
    for key in of_sled.into_iter().chain(of_postgres).filter(|key| section.has(key)) {
        section.tell(key, "it means nothing with this backend", "remove it, or change backend");
    }
    section.finish();
    match backend {
        Backend::Sled => Store::Sled { cache },
        Backend::Postgres => Store::Postgres(Box::new(postgres)),
        Backend::Memory => Store::Memory,
    }
}

/// The keys of `[store]` that only `backend = "postgres"` has.
const POSTGRES_KEYS: [&str; 6] =
    ["connection", "password_file", "password_env", "tls_ca", "connections", "patience"];

/// The keys of PostgreSQL; faults that only matter if it is `wanted` are told only then.
fn postgres(
    section: &Section<'_>,
    environment: &dyn Fn(&str) -> Option<String>,
    wanted: bool,
) -> Postgres {
    const EXAMPLE: &str = "write it as \"host=db.example dbname=estd user=estd sslmode=require\"";
    let password = secret(section, "password", environment);
    let mut connection = tokio_postgres::Config::new();
    // Without the value: it may hold a password, also where it cannot be read.
    let tell = |fault: &str, remedy: &str| {
        let path = section.path("connection");
        section.report.tell("E-CONFIG-VALUE", &path, None, fault, remedy);
    };
    let mut readable = true;
    match section.string("connection").map(str::parse::<tokio_postgres::Config>) {
        Some(Ok(parsed)) => connection = parsed,
        Some(Err(fault)) => {
            readable = false;
            tell(&std::error::Error::source(&fault).unwrap_or(&fault).to_string(), EXAMPLE);
        }
        None if wanted => section.tell("connection", "it is missing", EXAMPLE),
        None => {}
    }
    if connection.get_password().is_some() {
        tell(
            "it holds a password",
            "put the password into a file and name it: password_file = \"...\"",
        );
    }
    let hosts = connection.get_hosts();
    let is_remote = hosts.iter().any(|host| matches!(host, Host::Tcp(_)));
    let has_connection = readable && section.has("connection");
    if has_connection && hosts.is_empty() {
        tell("it names no host", EXAMPLE);
    }
    if has_connection && is_remote && connection.get_ssl_mode() == SslMode::Prefer {
        tell(
            "it does not say whether TLS is used",
            "add sslmode=require; or sslmode=disable, if nobody else can be on the way",
        );
    }
    if !is_remote {
        // A Unix socket has no TLS.
        connection.ssl_mode(SslMode::Disable);
    }
    if let Some(password) = password {
        connection.password(password.as_str());
    }
    let mut anchors = Vec::new();
    if let Some(file) = section.file("tls_ca") {
        match certificates(&file) {
            Ok(found) => anchors = found,
            Err(fault) => section.tell(
                "tls_ca",
                fault,
                "name a PEM file with the certificates of the CA that issued the database's",
            ),
        }
    } else if has_connection && is_remote && connection.get_ssl_mode() != SslMode::Disable {
        section.tell(
            "tls_ca",
            "it is missing, and TLS to the database trusts nobody without it",
            "name a PEM file with the certificates of the CA that issued the database's",
        );
    }
    Postgres {
        connection,
        anchors,
        connections: section.number("connections", 8, 4..=1000),
        patience: section.duration("patience", 5 * SECOND, SECOND..=MINUTE),
    }
}

fn ca(section: Section<'_>) -> Ca {
    let subject = |key: &str, default: &str| {
        let text = section.string(key).unwrap_or(default).to_owned();
        let name = text.parse::<x509_cert::name::Name>();
        if name.as_ref().map_or(true, x509_cert::name::Name::is_empty) {
            section.tell(
                key,
                "not a distinguished name",
                "write it as in RFC 4514, such as \"CN=Example root CA,O=Example\"",
            );
        }
        text
    };
    let life = DAY..=(36_525 * DAY);
    let ca = Ca {
        key: section.parsed(
            "key",
            KeyKind::P256,
            "choose p-256, p-384, p-521, ed25519, rsa-2048, rsa-3072 or rsa-4096",
        ),
        root_subject: subject("root_subject", "CN=estd root CA"),
        issuing_subject: subject("issuing_subject", "CN=estd issuing CA"),
        root_validity: section.duration("root_validity", 7305 * DAY, life.clone()),
        issuing_validity: section.duration("issuing_validity", 3653 * DAY, life),
    };
    if ca.issuing_validity > ca.root_validity {
        section.tell("issuing_validity", "longer than the root's", "choose at most root_validity");
    }
    section.finish();
    ca
}

/// Names of CAs are how a chain is built: two with one name cannot be told apart.
fn check_subjects(report: &Report<'_>, cas: &BTreeMap<CaName, Ca>) {
    let mut seen: HashMap<&str, String> = HashMap::new();
    for (name, ca) in cas {
        for (key, subject) in
            [("root_subject", &ca.root_subject), ("issuing_subject", &ca.issuing_subject)]
        {
            let here = format!("[ca.{name}] {key}");
            if let Some(other) = seen.insert(subject, here.clone()) {
                report.tell(
                    "E-CONFIG-VALUE",
                    &here,
                    Some(&subject.as_str().into()),
                    format!("the same as {other}"),
                    "give each CA certificate a subject of its own",
                );
            }
        }
    }
}

fn profile(section: Section<'_>) -> Profile {
    let all_keys =
        vec![KeyKind::Rsa(2048), KeyKind::P256, KeyKind::P384, KeyKind::P521, KeyKind::Ed25519];
    let common = vec![SanKind::Dns, SanKind::Ip, SanKind::Uri, SanKind::Email];
    let profile = Profile {
        validity: section.duration("validity", 90 * DAY, MINUTE..=(36_525 * DAY)),
        backdate: section.duration("backdate", 5 * MINUTE, Duration::ZERO..=DAY),
        keys: section.list(
            "keys",
            all_keys,
            "choose of rsa-2048, rsa-3072, rsa-4096, p-256, p-384, p-521, ed25519",
            str::parse,
        ),
        extended_key_usage: section.list(
            "extended_key_usage",
            vec![ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2")],
            "write a name such as \"clientAuth\", or an OID",
            usage,
        ),
        san: section.list("san", common, "choose of dns, ip, uri, email, other", |text| {
            [SanKind::Dns, SanKind::Ip, SanKind::Uri, SanKind::Email, SanKind::Other]
                .into_iter()
                .find(|kind| kind.to_string() == text)
                .ok_or_else(|| "an unknown kind of name".to_owned())
        }),
        empty_subject: section.boolean("empty_subject", true),
        ignore_extensions: section.list(
            "ignore_extensions",
            Vec::new(),
            "write OIDs such as \"1.3.6.1.4.1.311.20.2\"",
            |text| text.parse::<ObjectIdentifier>().map_err(|_| "not an OID".to_owned()),
        ),
    };
    if profile.keys.is_empty() && section.has("keys") {
        section.tell("keys", "no kind of key is left", "accept at least one");
    }
    if profile.backdate >= profile.validity {
        section.tell("backdate", "not shorter than validity", "choose a shorter one");
    }
    section.finish();
    profile
}

fn usage(text: &str) -> Result<ObjectIdentifier, String> {
    let named = USAGES.iter().find(|(name, _)| *name == text).map(|(_, oid)| *oid);
    let forbidden = FORBIDDEN_USAGES.iter().find(|(name, oid, _)| *name == text || *oid == text);
    if let Some((_, _, reason)) = forbidden {
        return Err(format!("not given by any profile: {reason}"));
    }
    named.unwrap_or(text).parse().map_err(|_| "an unknown usage".to_owned())
}

fn ca_name(section: &Section<'_>) -> CaName {
    #[allow(clippy::expect_used, reason = "a constant that the test of the defaults parses")]
    section.parsed("ca", "default".parse().expect("a name"), "name a [ca.NAME] section")
}

fn policy(
    section: Section<'_>,
    cas: &BTreeMap<CaName, Ca>,
    profiles: &BTreeMap<ProfileName, Profile>,
    label: Option<&str>,
) -> Policy {
    #[allow(clippy::expect_used, reason = "a constant that the test of the defaults parses")]
    let device: ProfileName = "device".parse().expect("a name");
    let policy = Policy {
        ca: ca_name(&section),
        profile: section.parsed("profile", device, "name a [profile.NAME] section"),
        authentication: section.one_of(
            "authentication",
            &[
                ("either", Authentication::Either),
                ("certificate", Authentication::Certificate),
                ("password", Authentication::Password),
                ("both", Authentication::Both),
            ],
            Authentication::Either,
        ),
        certificate_names: section.one_of(
            "certificate_names",
            &[("own", CertificateNames::Own), ("any", CertificateNames::Any)],
            CertificateNames::Own,
        ),
        renew: section.boolean("renew", true),
        rekey: section.boolean("rekey", true),
        base64: section.one_of(
            "base64",
            &[
                ("auto", Base64Form::Auto),
                ("wrapped", Base64Form::Wrapped),
                ("line", Base64Form::Line),
            ],
            Base64Form::Auto,
        ),
        pem: section.boolean("pem", true),
        repeat_window: section.duration("repeat_window", 10 * MINUTE, Duration::ZERO..=DAY),
    };
    let missing = |key: &str, what: String, names: Vec<String>| {
        section.report.tell(
            "E-CONFIG-REFERENCE",
            &section.path(key),
            None,
            what,
            format!("name one of: {}", names.join(", ")),
        );
    };
    if !cas.contains_key(&policy.ca) {
        missing(
            "ca",
            format!("there is no [ca.{}]", policy.ca),
            cas.keys().map(ToString::to_string).collect(),
        );
    }
    match profiles.get(&policy.profile) {
        None => missing(
            "profile",
            format!("there is no [profile.{}]", policy.profile),
            profiles.keys().map(ToString::to_string).collect(),
        ),
        Some(profile) if profile.extended_key_usage.contains(&CMC_RA) => {
            // Otherwise any device could make itself a registration authority.
            let by_password =
                matches!(policy.authentication, Authentication::Password | Authentication::Both);
            if label.is_none() || !by_password {
                section.tell("profile", "this profile gives cmcRA, which makes its holder a registration authority", "use it under a [label.NAME] of its own with authentication = \"password\" or \"both\"");
            }
        }
        Some(_) => {}
    }
    if !policy.renew && !policy.rekey {
        section.tell(
            "renew",
            "neither renew nor rekey is allowed: no device could re-enrol",
            "allow one of them",
        );
    }
    section.finish();
    policy
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, Faults> {
        parse(text, Path::new("/etc/estd/est.toml"), &|name| {
            (name == "SET").then(|| "secret".to_owned())
        })
    }

    fn faults(text: &str) -> Vec<(&'static str, String)> {
        read(text).unwrap_err().0.into_iter().map(|fault| (fault.code, fault.key)).collect()
    }

    #[test]
    fn the_annotated_example_works_and_shows_the_defaults() {
        let text = include_str!("../../est.toml");
        let example = read(text).unwrap();
        assert_eq!(example, read("version = 1").unwrap());
    }

    #[test]
    fn paths_start_from_the_folder_of_the_file() {
        let settings = read("version = 1").unwrap();
        assert_eq!(settings.data, Path::new("/etc/estd/data"));
        assert_eq!(settings.audit.file, Path::new("/etc/estd/data/audit.jsonl"));
        assert_eq!(
            read("version = 1\ndata = \"/var/lib/estd\"").unwrap().data,
            Path::new("/var/lib/estd")
        );
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let text = r#"
            version = 2
            dta = "x"
            [server]
            listen = ["nowhere"]
            max_body = 3
            header_timeout = 30
            [est]
            ca = "other"
            authentication = "none"
            [profile.device]
            validity = "soon"
            extended_key_usage = ["anyExtendedKeyUsage"]
            [label.cacerts]
        "#;
        let seen = faults(text);
        for wanted in [
            ("E-CONFIG-VERSION", "version"),
            ("E-CONFIG-UNKNOWN-KEY", "dta"),
            ("E-CONFIG-VALUE", "[server] listen"),
            ("E-CONFIG-VALUE", "[server] max_body"),
            ("E-CONFIG-TYPE", "[server] header_timeout"),
            ("E-CONFIG-REFERENCE", "[est] ca"),
            ("E-CONFIG-VALUE", "[est] authentication"),
            ("E-CONFIG-VALUE", "[profile.device] validity"),
            ("E-CONFIG-VALUE", "[profile.device] extended_key_usage"),
            ("E-CONFIG-VALUE", "[label.cacerts]"),
        ] {
            assert!(seen.contains(&(wanted.0, wanted.1.to_owned())), "{wanted:?} in {seen:?}");
        }
    }

    #[test]
    fn a_fault_names_file_key_value_and_remedy() {
        let faults = read("version = 1\n[server]\nlisen = 1").unwrap_err();
        assert_eq!(
            faults.to_string(),
            "E-CONFIG-UNKNOWN-KEY /etc/estd/est.toml: [server] lisen: an unknown key\n  remedy: did you mean \"listen\"? Otherwise remove it"
        );
        let faults = read("version = 1\n[server]\nlisten = [\"x\"]").unwrap_err();
        assert_eq!(
            faults.0.first().unwrap().to_string(),
            "E-CONFIG-VALUE /etc/estd/est.toml: [server] listen = [\"x\"]: \"x\": not an address and port\n  remedy: write it as \"0.0.0.0:8443\" or \"[::]:8443\""
        );
    }

    #[test]
    fn the_page_shows_what_the_program_says() {
        let page = include_str!("../../docs/configuration.md");
        let block = |kind: &str, number: usize| {
            let start =
                page.match_indices(&format!("```{kind}\n")).nth(number).unwrap().0 + kind.len() + 4;
            page[start..].split("```").next().unwrap()
        };
        let faults = parse(block("toml", 1), Path::new("est.toml"), &|_| None).unwrap_err();
        assert_eq!(faults.to_string().trim(), block("text", 0).trim());
    }

    #[test]
    fn a_syntax_error_names_the_line() {
        let faults = read("version = 1\n[server\n").unwrap_err();
        assert_eq!(faults.0.len(), 1);
        assert!(faults.to_string().contains("line 2"), "{faults}");
    }

    #[test]
    fn a_file_that_is_not_there_is_a_fault() {
        let faults = load(Path::new("/nonexistent/est.toml"), &|_| None).unwrap_err();
        assert_eq!(faults.0.first().unwrap().code, "E-CONFIG-FILE");
    }

    #[test]
    fn a_profile_that_makes_an_ra_needs_a_label_with_a_password() {
        let ra = "version = 1\n[profile.ra]\nextended_key_usage = [\"clientAuth\", \"cmcRA\"]\n";
        assert!(
            read(&format!("{ra}[label.ra]\nprofile = \"ra\"\nauthentication = \"password\""))
                .is_ok()
        );
        assert!(read(&format!("{ra}[label.ra]\nprofile = \"ra\"")).is_err());
        assert!(
            read(&format!("{ra}[est]\nprofile = \"ra\"\nauthentication = \"password\"")).is_err()
        );
    }

    #[test]
    fn a_passphrase_comes_from_one_place_and_is_never_shown() {
        let settings = read("version = 1\n[keys]\npassphrase_env = \"SET\"").unwrap();
        assert_eq!(settings.keys.passphrase.as_ref().unwrap().as_str(), "secret");
        assert!(!format!("{settings:?}").contains("secret"));
        assert!(read("version = 1\n[keys]\npassphrase_env = \"UNSET\"").is_err());
        assert!(
            read("version = 1\n[keys]\npassphrase_env = \"SET\"\npassphrase_file = \"x\"").is_err()
        );
    }

    #[test]
    fn a_store_of_postgres_says_where_it_is_and_how_it_is_protected() {
        let with =
            |more: &str| read(&format!("version = 1\n[store]\nbackend = \"postgres\"\n{more}"));
        let local = "connection = \"host=/run/postgresql dbname=estd user=estd\"";
        let Store::Postgres(postgres) = with(local).unwrap().store else { panic!("postgres") };
        assert_eq!(postgres.connection.get_dbname(), Some("estd"));
        assert_eq!((postgres.connections, postgres.patience), (8, Duration::from_secs(5)));
        let with_password = with(&format!("{local}\npassword_env = \"SET\"")).unwrap();
        assert!(!format!("{with_password:?}").contains("secret"));
        for (text, fault) in [
            ("", "it is missing"),
            ("connection = \"nonsense\"", "connection"),
            ("connection = \"dbname=estd\"", "it names no host"),
            ("connection = \"host=db dbname=estd\"", "does not say whether TLS"),
            ("connection = \"host=db dbname=estd sslmode=require\"", "trusts nobody"),
            ("connection = \"host=/run password=abc\"", "it holds a password"),
            ("connection = \"dbname=estd password=abc\"", "it names no host"),
            ("connection = \"host=db password=abc\"", "does not say whether TLS"),
            ("connection = \"host=db pasword=abc\"", "unknown option `pasword`"),
            (
                "connection = \"postgres://estd:abc@db:port/estd\"",
                "invalid value for option `port`",
            ),
            ("connection = \"host=/run\"\ncache_mib = 5", "means nothing with this backend"),
            ("connection = \"host=/run\"\nconnections = 3", "out of range"),
            ("connection = \"host=/run\"\ntls_ca = \"/nonexistent\"", "tls_ca"),
        ] {
            let faults = with(text).unwrap_err().to_string();
            assert!(faults.contains(fault), "{text}: {faults}");
            assert!(!faults.contains("abc"), "{faults}");
        }
        let sled = read("version = 1\n[store]\nconnection = \"host=/run\"").unwrap_err();
        assert!(sled.to_string().contains("means nothing with this backend"), "{sled}");
    }

    #[test]
    fn a_passphrase_file_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passphrase");
        fs::write(&path, "secret\n").unwrap();
        let text = format!("version = 1\n[keys]\npassphrase_file = {path:?}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(read(&text).is_err());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(read(&text).unwrap().keys.passphrase.unwrap().as_str(), "secret");
    }

    #[test]
    fn two_cas_have_two_names() {
        assert!(read("version = 1\n[ca.default]\n[ca.other]").is_err());
        assert!(read("version = 1\n[ca.default]\n[ca.other]\nroot_subject = \"CN=a\"\nissuing_subject = \"CN=b\"").is_ok());
        assert!(
            read("version = 1\n[ca.default]\nroot_subject = \"CN=a\"\nissuing_subject = \"CN=a\"")
                .is_err()
        );
    }

    #[test]
    fn what_needs_a_restart_is_named_and_kept() {
        let old = read("version = 1").unwrap();
        let new = read("version = 1\n[server]\nlisten = [\"127.0.0.1:1\"]\nmax_body = 2048\n[store]\nbackend = \"memory\"").unwrap();
        assert_eq!(old.restart_needed(&new), ["[server] listen", "[store]"]);
        let merged = new.with_restart_only_from(&old);
        assert_eq!(merged.server.listen, old.server.listen);
        assert_eq!(merged.store, old.store);
        assert_eq!(merged.server.max_body, 2048);
    }

    #[test]
    fn each_key_stands_in_the_example() {
        let example = include_str!("../../est.toml");
        let report = Report::new(Path::new("est.toml"));
        settings(&report, example.parse().unwrap(), &|_| None);
        let known = report.known.into_inner();
        assert!(known.len() > 40, "{known:?}");
        for key in known {
            let written = [format!("{key} ="), format!("[{key}"), format!(".{key}]")];
            assert!(written.iter().any(|text| example.contains(text)), "{key} is not in est.toml");
        }
    }
}
