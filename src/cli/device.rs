//! `est`: a device fetches CA certificates, enrolls and re-enrolls (RFC 7030 §4.1, §4.2).
//!
//! Exit codes: 0 done, 1 refused or failed, 2 wrong call, 75 try later (the request is pending, or
//! the server is busy). What the key and certificate files go through is told in `files.rs`.

mod files;

use crate::client::Account;
use crate::client::Client;
use crate::client::ClientConfig;
use crate::client::Identity;
use crate::client::ServerAddress;
use crate::client::TlsVersions;
use crate::client::Trust;
use crate::client::{certificates_from_pem, certificates_to_pem};
use crate::client::{fingerprint, parse_fingerprint, show_fingerprint};
use crate::pki::AltName;
use crate::pki::CertificateFields;
use crate::pki::CsrBuilder;
use crate::pki::PrivateKey;
use crate::pki::{CsrError, KeyError};
use crate::types::KeyKind;
use crate::types::Label;
use crate::types::Operation;
use clap::{Args, Parser, Subcommand, ValueEnum};
use files::{FileError, Pair, Recovered};
use std::ffi::OsString;
use std::fmt;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use zeroize::Zeroizing;

/// EX_TEMPFAIL of sysexits.h.
const TRY_LATER: u8 = 75;

/// Pause between two tries if the server names none, and the least pause.
const PAUSE: Duration = Duration::from_secs(5);
const LEAST_PAUSE: Duration = Duration::from_secs(1);

/// A device's certificate from an EST server (RFC 7030).
#[derive(Debug, Parser)]
#[command(name = "est", version, arg_required_else_help = true, after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 refused or failed, 2 wrong call, \
                          75 try later with the same command";

#[derive(Debug, Subcommand)]
enum Command {
    /// Fetch the CA certificates into ca.pem.
    ///
    /// The first time, give the fingerprint of the CA that the server's operator tells you:
    /// est cacerts --server HOST --fingerprint HEX
    Cacerts(CaCerts),
    /// Make a key, get the first certificate for it.
    ///
    /// Writes key.pem (readable by its owner only), cert.pem and ca.pem. Repeating the command
    /// after a failure continues with the same key, so that the server can give its first answer.
    Enroll(Enroll),
    /// Get a new certificate with the present one, by default for a new key.
    ///
    /// Subject and alternative names are those of the present certificate. The present key and
    /// certificate stay in use until the new ones have come; a change that was interrupted is
    /// finished at the next start.
    Reenroll(Reenroll),
}

#[derive(Debug, Args)]
struct Common {
    /// The EST server: `https://host` (port 443), `https://host:port`, `host` (port 8443) or
    /// `host:port`.
    #[arg(long, value_name = "URL", default_value = "https://localhost:8443", env = "EST_SERVER")]
    server: ServerAddress,
    /// The label that chooses CA and profile (RFC 7030 §3.2.2).
    #[arg(long)]
    label: Option<Label>,
    /// Trust anchors, as PEM [default: ca.pem in the folder, if it is there].
    #[arg(long, value_name = "FILE", conflicts_with = "fingerprint")]
    cacert: Option<PathBuf>,
    /// SHA-256 of one of the server's CA certificates, in hexadecimal: trusts that CA.
    #[arg(long, value_name = "HEX", value_parser = parse_fingerprint)]
    fingerprint: Option<[u8; 32]>,
    /// Offer this version of TLS only.
    #[arg(long, value_name = "VERSION")]
    tls: Option<Tls>,
    /// Accept a server under the anchors that has the purpose id-kp-cmcRA, whatever its name
    /// (RFC 7030 §3.6.1).
    #[arg(long)]
    accept_cmc_ra: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Tls {
    #[value(name = "1.2")]
    V12,
    #[value(name = "1.3")]
    V13,
}

#[derive(Debug, Args)]
struct Credentials {
    /// The account for HTTP Basic; may be "". Its password comes from the environment variable
    /// EST_PASSWORD or from --password-file. It is no argument because arguments are shown to
    /// every user of the machine by ps and stay in the shell's history.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// File whose first line is the password; "-" reads standard input.
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
    /// File whose first line is the passphrase of the key files; "-" reads standard input. New
    /// keys are then written encrypted. The environment variable EST_KEY_PASSPHRASE does the same.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// How long to keep asking when the request is pending or the server busy: 0s, 90s, 10m, 2h.
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = humantime::parse_duration)]
    max_wait: Duration,
}

#[derive(Debug, Args)]
struct CaCerts {
    #[command(flatten)]
    common: Common,
    /// Folder for ca.pem.
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    /// Print the PEM instead of writing ca.pem.
    #[arg(long)]
    print: bool,
}

#[derive(Debug, Args)]
struct Enroll {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    credentials: Credentials,
    /// The subject, such as "CN=device-1,O=Example" (RFC 4514) or "/O=Example/CN=device-1".
    #[arg(
        long,
        value_name = "NAME",
        required_unless_present = "san",
        default_value = "",
        hide_default_value = true
    )]
    subject: String,
    /// An alternative name: dns:NAME, ip:ADDRESS, uri:URI or email:ADDRESS; may be repeated.
    #[arg(long, value_name = "KIND:NAME")]
    san: Vec<AltName>,
    /// The kind of key to make: p-256, p-384, p-521, ed25519, rsa-2048, rsa-3072, rsa-4096
    /// [default: p-256].
    #[arg(long, value_name = "KIND", conflicts_with = "key")]
    key_type: Option<KeyKind>,
    /// Use this key; none is made or written.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Show this certificate, made by the device's maker for example, to the server...
    #[arg(long, value_name = "FILE", requires = "auth_key")]
    auth_cert: Option<PathBuf>,
    /// ...with this key.
    #[arg(long, value_name = "FILE", requires = "auth_cert")]
    auth_key: Option<PathBuf>,
    /// Folder for key.pem, cert.pem and ca.pem.
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    /// Replace a key and a certificate that are there, once the new certificate has come.
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
struct Reenroll {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    credentials: Credentials,
    /// The present certificate, which is replaced [default: cert.pem in the folder].
    #[arg(long, value_name = "FILE")]
    cert: Option<PathBuf>,
    /// Its key, which is replaced [default: key.pem in the folder].
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Keep the key.
    #[arg(long)]
    renew: bool,
    /// The kind of the new key [default: as before].
    #[arg(long, value_name = "KIND", conflicts_with = "renew")]
    key_type: Option<KeyKind>,
    /// Folder of key.pem, cert.pem and ca.pem.
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
}

/// Why a command ends otherwise than well: what failed, what to do, and the exit code.
#[derive(Debug)]
struct Failure {
    what: String,
    remedy: Option<String>,
    code: u8,
}

impl Failure {
    fn new(what: impl fmt::Display, remedy: impl Into<String>) -> Self {
        Self { what: what.to_string(), remedy: Some(remedy.into()), code: 1 }
    }

    fn wrong_call(what: impl fmt::Display, remedy: impl Into<String>) -> Self {
        Self { code: 2, ..Self::new(what, remedy) }
    }
}

impl From<crate::client::Error> for Failure {
    fn from(error: crate::client::Error) -> Self {
        let code = if error.later().is_some() { TRY_LATER } else { 1 };
        Self { what: error.to_string(), remedy: error.remedy(), code }
    }
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        Self::new(error, "check that the folder exists, its permissions, and the space on the disk")
    }
}

impl From<CsrError> for Failure {
    fn from(error: CsrError) -> Self {
        Self { what: error.to_string(), remedy: None, code: 2 }
    }
}

impl From<KeyError> for Failure {
    fn from(error: KeyError) -> Self {
        let remedy = match &error {
            KeyError::PassphraseNeeded | KeyError::WrongPassphrase => {
                "give the passphrase in EST_KEY_PASSPHRASE or with --passphrase-file"
            }
            _ => "give a key in PEM form of a supported kind",
        };
        Self::new(error, remedy)
    }
}

/// Runs `est` with the arguments of the process.
pub fn est_main() -> ExitCode {
    run(std::env::args_os())
}

fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&Failure::new(error, "free some of the machine's resources"));
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(async {
        match arguments.command {
            Command::Cacerts(command) => cacerts(command).await,
            Command::Enroll(command) => enroll(command).await,
            Command::Reenroll(command) => reenroll(command).await,
        }
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            complain(&failure);
            ExitCode::from(failure.code)
        }
    }
}

/// Prints a line; a reader that has gone away is no reason to stop half-way.
fn say(text: impl fmt::Display) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn note(text: impl fmt::Display) {
    let _ = writeln!(std::io::stderr(), "est: {text}");
}

fn complain(failure: &Failure) {
    note(&failure.what);
    if let Some(remedy) = &failure.remedy {
        note(format_args!("what to do: {remedy}"));
    }
}

async fn cacerts(command: CaCerts) -> Result<(), Failure> {
    let ca_file = command.out.join("ca.pem");
    let client = Client::new(config(&command.common, &ca_file)?)?;
    let bag = client.cacerts().await?;
    if command.print {
        let pem = certificates_to_pem(bag.iter().map(Vec::as_slice));
        let _ = std::io::stdout().write_all(pem.as_bytes());
        return Ok(());
    }
    write_anchors(&ca_file, &bag)?;
    for certificate in &bag {
        let fields = CertificateFields::parse(certificate)?;
        say(format_args!(
            "{} SHA256:{}",
            fields.subject_text(),
            show_fingerprint(&fingerprint(certificate))
        ));
    }
    say(format_args!("{} written", ca_file.display()));
    Ok(())
}

async fn enroll(command: Enroll) -> Result<(), Failure> {
    let passphrase = passphrase(&command.credentials)?;
    let passphrase = passphrase.as_ref().map(|text| text.as_str());
    let account = account(&command.credentials)?;
    let ca_file = command.out.join("ca.pem");
    let pair = Pair {
        key: command.key.clone().unwrap_or_else(|| command.out.join("key.pem")),
        certificate: command.out.join("cert.pem"),
    };
    // Everything that can be wrong with the call is looked at before a file changes.
    let mut config = config(&command.common, &ca_file)?;
    let request = CsrBuilder::new().subject(&rfc4514(&command.subject))?.san(&command.san)?;
    if let (Some(certificate), Some(key)) = (&command.auth_cert, &command.auth_key) {
        config.identity = Some(identity(certificate, key, passphrase)?);
    }
    config.account = account;
    let client = Client::new(config)?;

    if pair.recover(passphrase)? == Recovered::Finished {
        say(format_args!(
            "finished the change that was interrupted: {} is the new certificate",
            pair.certificate.display()
        ));
        return Ok(());
    }
    let has_certificate = files::read_if_there(&pair.certificate)?.is_some();
    if has_certificate && !command.force {
        return Err(Failure::new(
            format_args!("{} is there already", pair.certificate.display()),
            "renew it with \"est reenroll\", choose another folder with --out, or replace key and \
             certificate with --force",
        ));
    }
    let kept = command.key.is_some();
    let present = files::read_if_there(&pair.key)?;
    if kept && present.is_none() {
        return Err(Failure::wrong_call(
            format_args!("there is no key {}", pair.key.display()),
            "give the file of a private key, or leave --key away to make one",
        ));
    }
    let (key, waiting) = match present {
        Some(pem) if kept || !command.force => {
            let key = PrivateKey::from_pem(Zeroizing::new(pem), passphrase)?;
            if let Some(wanted) = command.key_type.filter(|wanted| *wanted != key.kind()) {
                return Err(Failure::new(
                    format_args!("{} is a {} key, not {wanted}", pair.key.display(), key.kind()),
                    "leave --key-type away to continue with this key, or replace it with --force",
                ));
            }
            if !kept {
                note(format_args!("continuing with the key in {}", pair.key.display()));
            }
            (key, false)
        }
        Some(_) => (new_key(&pair.new_key(), command.key_type, passphrase)?, true),
        None => (new_key(&pair.key, command.key_type, passphrase)?, false),
    };
    let csr = request.build(&key)?;
    let certificate =
        ask(&client, Operation::SimpleEnroll, &csr, &ca_file, command.credentials.max_wait).await?;
    put(&pair, &certificate, waiting, passphrase)
}

async fn reenroll(command: Reenroll) -> Result<(), Failure> {
    let passphrase = passphrase(&command.credentials)?;
    let passphrase = passphrase.as_ref().map(|text| text.as_str());
    let ca_file = command.out.join("ca.pem");
    let pair = Pair {
        key: command.key.clone().unwrap_or_else(|| command.out.join("key.pem")),
        certificate: command.cert.clone().unwrap_or_else(|| command.out.join("cert.pem")),
    };
    let mut config = config(&command.common, &ca_file)?;
    if pair.recover(passphrase)? == Recovered::Finished {
        say(format_args!(
            "finished the change that was interrupted: {} is the new certificate",
            pair.certificate.display()
        ));
        return Ok(());
    }
    let identity = identity(&pair.certificate, &pair.key, passphrase)?;
    let present = identity.chain.first().cloned().unwrap_or_default();
    let present_key = Arc::clone(&identity.key);
    config.identity = Some(identity);
    config.account = account(&command.credentials)?;
    let client = Client::new(config)?;

    let request = CsrBuilder::new().like_certificate(&present)?;
    let csr = if command.renew {
        request.build(&present_key)?
    } else {
        let kind = command.key_type.unwrap_or_else(|| present_key.kind());
        let key = new_key(&pair.new_key(), Some(kind), passphrase)?;
        request.build(&key)?
    };
    let certificate =
        ask(&client, Operation::SimpleReenroll, &csr, &ca_file, command.credentials.max_wait)
            .await?;
    put(&pair, &certificate, !command.renew, passphrase)
}

/// Sends the request until it is answered, refused for good, or the time is up; refreshes the
/// anchors on the way, over the same connection.
async fn ask(
    client: &Client,
    operation: Operation,
    csr: &[u8],
    ca_file: &Path,
    max_wait: Duration,
) -> Result<Vec<u8>, Failure> {
    let end = Instant::now() + max_wait;
    let mut anchors_written = false;
    loop {
        let outcome = async {
            let mut connection = client.connect().await?;
            if !anchors_written {
                let bag = connection.cacerts().await?;
                write_anchors(ca_file, &bag)?;
                anchors_written = true;
                if !connection.is_open().await {
                    connection = client.connect().await?;
                }
            }
            match operation {
                Operation::SimpleReenroll => connection.simple_reenroll(csr).await,
                Operation::SimpleEnroll | Operation::CaCerts => connection.simple_enroll(csr).await,
            }
            .map_err(Asked::Client)
        }
        .await;
        let error = match outcome {
            Ok(certificate) => return Ok(certificate),
            Err(Asked::File(error)) => return Err(error.into()),
            Err(Asked::Client(error)) => error,
        };
        let Some(pause) = error.later() else { return Err(error.into()) };
        let pause = pause.unwrap_or(PAUSE).max(LEAST_PAUSE);
        if Instant::now() + pause > end {
            return Err(error.into());
        }
        note(format_args!("{error}; asking again in {} s", pause.as_secs()));
        tokio::time::sleep(pause).await;
    }
}

enum Asked {
    Client(crate::client::Error),
    File(FileError),
}

impl From<crate::client::Error> for Asked {
    fn from(error: crate::client::Error) -> Self {
        Self::Client(error)
    }
}

impl From<FileError> for Asked {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

fn put(
    pair: &Pair,
    certificate: &[u8],
    waiting: bool,
    passphrase: Option<&str>,
) -> Result<(), Failure> {
    let pem = certificates_to_pem([certificate]);
    if waiting {
        pair.replace_both(pem.as_bytes(), passphrase)?;
    } else {
        pair.replace_certificate(pem.as_bytes())?;
    }
    let fields = CertificateFields::parse(certificate)?;
    say(format_args!(
        "certificate for \"{}\" in {}, its key in {}",
        fields.subject_text(),
        pair.certificate.display(),
        pair.key.display()
    ));
    Ok(())
}

/// Takes the key that waits in `path` from an attempt whose answer was lost, or makes one and
/// writes it there before anybody is told of it.
fn new_key(
    path: &Path,
    kind: Option<KeyKind>,
    passphrase: Option<&str>,
) -> Result<PrivateKey, Failure> {
    if let Some(pem) = files::read_if_there(path)? {
        let waiting = PrivateKey::from_pem(Zeroizing::new(pem), passphrase);
        if let Ok(key) = waiting
            && kind.is_none_or(|kind| kind == key.kind())
        {
            note(format_args!("continuing with the key in {}", path.display()));
            return Ok(key);
        }
    }
    let key = PrivateKey::generate(kind.unwrap_or(KeyKind::P256))?;
    files::write(path, key.to_pem(passphrase)?.as_bytes(), 0o600)?;
    Ok(key)
}

fn write_anchors(path: &Path, bag: &[Vec<u8>]) -> Result<(), FileError> {
    let pem = certificates_to_pem(bag.iter().map(Vec::as_slice));
    // A device checks its anchors often; its flash need not wear for what is there already.
    if files::read_if_there(path)?.as_deref() == Some(pem.as_bytes()) {
        return Ok(());
    }
    files::write(path, pem.as_bytes(), 0o644)
}

fn config(common: &Common, ca_file: &Path) -> Result<ClientConfig, Failure> {
    let trust = match (common.fingerprint, &common.cacert) {
        (Some(fingerprint), _) => Trust::Fingerprint(fingerprint),
        (None, Some(path)) => Trust::Anchors(certificates_from_pem(&files::read(path)?)?),
        (None, None) => match files::read_if_there(ca_file)? {
            Some(pem) => Trust::Anchors(certificates_from_pem(&pem)?),
            None => {
                return Err(Failure::wrong_call(
                    format_args!(
                        "nothing says which server to trust: neither --cacert nor --fingerprint \
                         is given, and there is no {}",
                        ca_file.display()
                    ),
                    "ask the server's operator for the SHA-256 fingerprint of the CA and give it \
                     with --fingerprint",
                ));
            }
        },
    };
    let mut config = ClientConfig::new(common.server.clone(), trust);
    config.label = common.label.clone();
    config.accept_cmc_ra = common.accept_cmc_ra;
    config.tls = match common.tls {
        None => TlsVersions::Both,
        Some(Tls::V12) => TlsVersions::Tls12,
        Some(Tls::V13) => TlsVersions::Tls13,
    };
    Ok(config)
}

fn identity(certificate: &Path, key: &Path, passphrase: Option<&str>) -> Result<Identity, Failure> {
    let chain = certificates_from_pem(&files::read(certificate)?)?;
    let pem = Zeroizing::new(files::read(key)?);
    Ok(Identity { chain, key: Arc::new(PrivateKey::from_pem(pem, passphrase)?) })
}

fn account(credentials: &Credentials) -> Result<Option<Account>, Failure> {
    let Some(name) = &credentials.user else { return Ok(None) };
    let password = match &credentials.password_file {
        Some(path) => first_line(path)?,
        None => variable("EST_PASSWORD").ok_or_else(|| {
            Failure::wrong_call(
                "--user is given without a password",
                "set EST_PASSWORD, or name a file with --password-file",
            )
        })?,
    };
    Ok(Some(Account { name: name.clone(), password }))
}

fn passphrase(credentials: &Credentials) -> Result<Option<Zeroizing<String>>, Failure> {
    match &credentials.passphrase_file {
        Some(path) => first_line(path).map(Some),
        None => Ok(variable("EST_KEY_PASSPHRASE")),
    }
}

fn variable(name: &str) -> Option<Zeroizing<String>> {
    std::env::var(name).ok().map(Zeroizing::new)
}

fn first_line(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let octets = Zeroizing::new(if path == Path::new("-") {
        let mut octets = Vec::new();
        std::io::stdin().take(64 * 1024).read_to_end(&mut octets).map_err(|error| {
            Failure::new(
                format_args!("cannot read standard input: {error}"),
                "send the secret to standard input, or name a file",
            )
        })?;
        octets
    } else {
        files::read(path)?
    });
    let text = std::str::from_utf8(&octets).map_err(|_| {
        Failure::new(format_args!("{} is not UTF-8", path.display()), "write the secret as text")
    })?;
    Ok(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()))
}

/// Turns OpenSSL's `/O=Example/CN=device-1` into RFC 4514 text; leaves other text as it is.
fn rfc4514(subject: &str) -> String {
    let Some(rest) = subject.strip_prefix('/') else { return subject.to_owned() };
    let mut parts = vec![String::new()];
    let mut escaped = false;
    for character in rest.chars() {
        let part = match parts.last_mut() {
            Some(part) if escaped || character != '/' => part,
            _ => {
                parts.push(String::new());
                continue;
            }
        };
        match character {
            '\\' if !escaped => {
                escaped = true;
                continue;
            }
            ',' | ';' | '"' | '<' | '>' | '\\' => part.push('\\'),
            // OpenSSL also joins two values into one RDN by a plain plus.
            '+' if escaped => part.push('\\'),
            _ => {}
        }
        part.push(character);
        escaped = false;
    }
    parts.reverse();
    parts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::tests::CannedServer;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn reads_openssl_subjects() {
        assert_eq!(rfc4514("CN=a,O=b"), "CN=a,O=b");
        assert_eq!(rfc4514("/C=CH/O=A, B/CN=a\\/b"), "CN=a/b,O=A\\, B,C=CH");
    }

    #[test]
    fn enrolls_by_fingerprint_and_reenrolls_with_what_it_wrote() {
        let server = CannedServer::start();
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().to_str().unwrap();
        let url = format!("https://localhost:{}", server.port);
        let root = show_fingerprint(&fingerprint(&server.der("root")));
        let password = server.folder.path().join("password");
        std::fs::write(&password, "secret\n").unwrap();
        let password = password.to_str().unwrap();
        let code = |arguments: &[&str]| {
            let call = ["est"].iter().chain(arguments).copied();
            format!("{:?}", run(call.chain(["--server", &url, "--out", out]).map(OsString::from)))
        };
        let is = |code: u8| format!("{:?}", ExitCode::from(code));
        let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();

        assert_eq!(code(&["cacerts", "--fingerprint", &root]), is(0));
        let login = ["--user", "device", "--password-file", password];
        let enroll =
            [&["enroll", "--subject", "/O=Example/CN=d", "--san", "dns:d.example"], &login[..]];
        let with = |label: &'static str| [enroll.concat(), vec!["--label", label]].concat();

        // Without credentials, and while it is pending, the key stays for the next try.
        assert_eq!(code(&["enroll", "--subject", "CN=d"]), is(1));
        let key = read("key.pem");
        assert_eq!(code(&[with("busy"), vec!["--max-wait", "0s"]].concat()), is(TRY_LATER));
        assert_eq!(code(&with("other-key")), is(1));
        assert!(!folder.path().join("cert.pem").exists());
        assert_eq!(code(&with("pending")), is(0));
        assert_eq!(read("key.pem"), key);
        let first = read("cert.pem");
        server.verify(&folder.path().join("cert.pem"));

        // A second enrolment is refused; a re-enrolment makes a new key for the same names.
        assert_eq!(code(&enroll.concat()), is(1));
        assert_eq!(code(&["reenroll", "--label", "busy", "--max-wait", "0s"]), is(TRY_LATER));
        assert_eq!(read("key.pem"), key);
        let waiting = read("key.pem.new");
        assert_eq!(code(&["reenroll"]), is(0));
        assert_eq!(read("key.pem"), waiting, "the key that was waiting");
        server.verify(&folder.path().join("cert.pem"));
        let names = |pem: &[u8]| {
            let fields = CertificateFields::parse(&certificates_from_pem(pem).unwrap()[0]).unwrap();
            (fields.subject.clone(), fields.subject_alt_name().cloned())
        };
        assert_eq!(names(&first), names(&read("cert.pem")));
        assert!(names(&first).1.is_some());

        let (key, certificate) = (read("key.pem"), read("cert.pem"));
        assert_eq!(code(&["reenroll", "--renew", "--tls", "1.2"]), is(0));
        assert_eq!(read("key.pem"), key);
        assert_ne!(read("cert.pem"), certificate);
        assert_eq!(code(&[enroll.concat(), vec!["--force"]].concat()), is(0));
        assert_ne!(read("key.pem"), key);
        let mut left: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["ca.pem", "cert.pem", "key.pem"]);
    }

    #[test]
    fn a_wrong_call_is_told_from_a_failure() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().to_str().unwrap();
        let code = |arguments: &[&str]| {
            format!("{:?}", run(["est"].iter().chain(arguments).map(OsString::from)))
        };
        let wrong = format!("{:?}", ExitCode::from(2));
        assert_eq!(code(&["enroll", "--out", out]), wrong, "no name");
        assert_eq!(code(&["enroll", "--subject", "CN=x", "--out", out]), wrong, "no anchors");
        assert_eq!(code(&["cacerts", "--fingerprint", "00", "--out", out]), wrong);
        assert_eq!(code(&["cacerts", "--server", "http://a", "--out", out]), wrong);
        assert_eq!(code(&["--help"]), format!("{:?}", ExitCode::SUCCESS));
        // Port 1 of this machine: nobody listens.
        let zeros = "00".repeat(32);
        let call = ["cacerts", "--server", "localhost:1", "--fingerprint", &zeros, "--out", out];
        assert_eq!(code(&call), format!("{:?}", ExitCode::FAILURE));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
