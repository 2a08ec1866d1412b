//! The text that a start prints: URL, trust anchor, and commands to paste.

use super::first_password::FirstPassword;
use crate::{
    config::Settings,
    server::{FirstAccount, Running},
};
use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

pub(super) struct Welcome {
    data: PathBuf,
    ca: String,
    host: String,
    /// Whether the server's certificate has only names and addresses of this machine.
    local: bool,
}

impl Welcome {
    pub(super) fn new(settings: &Settings) -> Self {
        let own = &settings.boot.server_certificate;
        let host = own.names.first().cloned().or_else(|| {
            own.addresses.first().map(|address| {
                if address.is_ipv6() { format!("[{address}]") } else { address.to_string() }
            })
        });
        Self {
            // Absolute, as commands are pasted in any folder.
            data: std::path::absolute(&settings.boot.data)
                .unwrap_or_else(|_| settings.boot.data.clone()),
            ca: settings.live.policies.unlabeled.ca.to_string(),
            local: own.names.iter().all(|name| name == "localhost")
                && own.addresses.iter().all(std::net::IpAddr::is_loopback),
            host: host.unwrap_or_else(|| "localhost".to_owned()),
        }
    }

    fn anchor(&self) -> String {
        quoted(&self.data.join("ca").join(&self.ca).join("root.pem"))
    }

    /// The data folder, absolute.
    pub(super) fn data(&self) -> &Path {
        &self.data
    }

    /// Returns the text.
    pub(super) fn text(&self, running: &Running, password: &FirstPassword) -> String {
        let port = running.addresses().first().map_or(8443, std::net::SocketAddr::port);
        let Some(ca) = running.cas().values().find(|ca| ca.name().as_str() == self.ca) else {
            return String::new();
        };
        self.write(port, &ca.root().fingerprint().to_string(), password)
    }

    fn write(&self, port: u16, fingerprint: &str, password: &FirstPassword) -> String {
        let (server, anchor) = (format!("https://{}:{port}", self.host), self.anchor());
        let user = FirstAccount::NAME;
        let (account, secret) = match password {
            FirstPassword::Shown(secret) => (
                format!("{user}; its password is below (shown once; only a hash is stored)"),
                Some(secret.as_str().to_owned()),
            ),
            FirstPassword::InFile(path) => (
                format!("{user}; its password is in {}", quoted(path)),
                Some(format!("$(cat {})", quoted(path))),
            ),
            FirstPassword::ShownBefore => (
                format!("{user}; its password was shown or chosen when it was added"),
                Some(format!("the-password-of-{user}")),
            ),
            FirstPassword::NoAccount => {
                ("\"estd user list\" lists them, \"estd user add NAME\" adds one".to_owned(), None)
            }
        };
        let mut out = format!(
            r"
estd {version} serves EST (RFC 7030)

  where         {server}/.well-known/est
  trust anchor  {anchor}
  its SHA-256   {fingerprint}
  account       {account}

",
            version = env!("CARGO_PKG_VERSION"),
        );
        if self.local {
            out.push_str(
                "Devices on other machines need the server's name or address in its certificate:
set [server.certificate] names and addresses in est.toml, and restart.

",
            );
        }
        let Some(secret) = secret else {
            return out;
        };
        // Writing to a String cannot fail.
        let _ = write!(
            out,
            r#"A first certificate with curl and openssl:

  export EST_PASSWORD={secret}
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout device-1.key -subj /CN=device-1 -outform DER -out device-1.csr
  openssl base64 -in device-1.csr | curl -sS --fail-with-body -D - --cacert {anchor} --user "{user}:$EST_PASSWORD" -H "Content-Type: application/pkcs10" --data-binary @- -o device-1.p7 {server}/.well-known/est/simpleenroll || (cat device-1.p7; false)
  openssl base64 -d -in device-1.p7 | openssl pkcs7 -inform DER -print_certs -out device-1.pem
  curl -sS --fail-with-body --cacert {anchor} -o cacerts.p7 {server}/.well-known/est/cacerts || (cat cacerts.p7; false)
  openssl base64 -d -in cacerts.p7 | openssl pkcs7 -inform DER -print_certs -out cacerts.pem
  openssl verify -CAfile {anchor} -untrusted cacerts.pem device-1.pem

A first certificate with est, with the same EST_PASSWORD:

  {est} enroll --server {server} --cacert {anchor} --user {user} --subject CN=device-2 --out device-2
  openssl verify -CAfile {anchor} -untrusted device-2/ca.pem device-2/cert.pem

"#,
            est = est_command(),
        );
        out
    }

    /// Returns the line of JSON that reports readiness.
    pub(super) fn ready_line(&self, running: &Running) -> String {
        let listen: Vec<String> = running.addresses().iter().map(ToString::to_string).collect();
        let root = running
            .cas()
            .values()
            .find(|ca| ca.name().as_str() == self.ca)
            .map(|ca| ca.root().fingerprint().to_string());
        serde_json::json!({
            "event": "ready",
            "listen": listen,
            "root_sha256": root,
            "socket": running.socket(),
        })
        .to_string()
    }
}

/// Returns the command of `est`: the binary beside this one, or cargo if only this one is built.
fn est_command() -> String {
    let beside = std::env::current_exe()
        .ok()
        .map(|own| own.with_file_name("est"))
        .filter(|est| est.is_file());
    match (beside, std::env::var_os("CARGO_MANIFEST_DIR")) {
        (Some(est), None) => quoted(&est),
        (_, Some(project)) => {
            let release = if cfg!(debug_assertions) { "" } else { " --release" };
            format!(
                "cargo run --quiet{release} --manifest-path {} --bin est --",
                quoted(&Path::new(&project).join("Cargo.toml"))
            )
        }
        (None, None) => "est".to_owned(),
    }
}

/// Returns a path as a shell accepts it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}
