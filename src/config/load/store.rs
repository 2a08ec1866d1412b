//! `[store]`.

use super::{MINUTE, SECOND, keys::secret, manufacturer::certificates};
use crate::config::{Postgres, Secrets, StoreSettings, section::Section};
use tokio_postgres::config::{Host, SslMode};

pub(super) fn store(
    section: Section<'_>,
    environment: &dyn Fn(&str) -> Option<String>,
) -> StoreSettings {
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
        section.error(
            key,
            "got a key of another backend; expected: keys of this one",
            "remove it, or set another backend",
        );
    }
    section.finish();
    match backend {
        Backend::Sled => StoreSettings::Sled { cache },
        Backend::Postgres => StoreSettings::Postgres(Box::new(postgres)),
        Backend::Memory => StoreSettings::Memory,
    }
}

/// The keys of `[store]` that only `backend = "postgres"` has.
const POSTGRES_KEYS: [&str; 6] =
    ["connection", "password_file", "password_env", "tls_ca", "connections", "patience"];

/// Reads the keys of PostgreSQL. Reports a missing one only if this backend is `wanted`.
fn postgres(
    section: &Section<'_>,
    environment: &dyn Fn(&str) -> Option<String>,
    wanted: bool,
) -> Postgres {
    const EXAMPLE: &str = "write it as \"host=db.example dbname=estd user=estd sslmode=require\"";
    let read = section.report.secrets != Secrets::None;
    let password = secret(section, "password", environment, read);
    let mut connection = tokio_postgres::Config::new();
    // Without the value: it may hold a password, even if it cannot be parsed.
    let report = |error: &str, remedy: &str| {
        let path = section.path("connection");
        section.report.add("E-CONFIG-VALUE", &path, None, error, remedy);
    };
    let mut readable = true;
    match section.string("connection").map(str::parse::<tokio_postgres::Config>) {
        Some(Ok(parsed)) => connection = parsed,
        Some(Err(error)) => {
            readable = false;
            report(&std::error::Error::source(&error).unwrap_or(&error).to_string(), EXAMPLE);
        }
        None if wanted => {
            section.error("connection", "got none; expected: a connection string", EXAMPLE)
        }
        None => {}
    }
    if connection.get_password().is_some() {
        report(
            "got a connection string with a password; expected: one without",
            "put the password into a file and name it: password_file = \"...\"",
        );
    }
    let hosts = connection.get_hosts();
    let is_remote = hosts.iter().any(|host| matches!(host, Host::Tcp(_)));
    let has_connection = readable && section.has("connection");
    if has_connection && hosts.is_empty() {
        report("got a connection string without host; expected: a host", EXAMPLE);
    }
    if has_connection && is_remote && connection.get_ssl_mode() == SslMode::Prefer {
        report(
            "got a connection string without sslmode; expected: require or disable",
            "add sslmode=require; or sslmode=disable, if nobody can read the network in between",
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
            Err(error) => section.error(
                "tls_ca",
                error,
                "name a PEM file with the certificates of the CA that issued the database's",
            ),
        }
    } else if has_connection && is_remote && connection.get_ssl_mode() != SslMode::Disable {
        section.error(
            "tls_ca",
            "got none; expected: a CA, or TLS to the database trusts nobody",
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
