//! `est`: a device fetches CA certificates, enrolls and re-enrolls, or has its
//! key made by the server (RFC 7030 §4.1, §4.2, §4.4).
//!
//! Exit codes: 0 done, 1 refused or failed, 2 wrong call, 75 try later (the request is pending, or
//! the server is busy). What the key and certificate files go through is told in `files.rs`.

mod anchors;
mod cacerts;
mod csrattrs;
mod enroll;
mod files;
mod options;
mod outcome;
mod reenroll;
mod request;
mod serverkeygen;

use clap::{Parser, Subcommand};
use outcome::{Failure, complain};
use std::{ffi::OsString, process::ExitCode};

/// EX_TEMPFAIL of sysexits.h.
const TRY_LATER: u8 = 75;

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
    /// If they do not verify the server, its anchors are kept beside them in server-ca.pem.
    ///
    /// The first time, give the fingerprint of the CA that the server's operator tells you:
    /// est cacerts --server HOST --fingerprint HEX
    Cacerts(cacerts::CaCerts),
    /// Show what the server asks of a request: key, names, extensions, attributes.
    Csrattrs(csrattrs::Csrattrs),
    /// Make a key, get the first certificate for it.
    ///
    /// Writes key.pem (readable by its owner only), cert.pem and ca.pem. Repeating the command
    /// after a failure continues with the same key, so that the server can give its first answer.
    Enroll(enroll::Enroll),
    /// Get a new certificate with the present one, by default for a new key.
    ///
    /// Subject and alternative names are those of the present certificate, unless others are asked
    /// for and the server gives them. The present key and
    /// certificate stay in use until the new ones have come; a change that was interrupted is
    /// finished at the next start.
    Reenroll(reenroll::Reenroll),
    /// Have the server make key and certificate.
    ///
    /// For devices that cannot make a good key themselves; prefer enroll where they can. Writes
    /// key.pem (readable by its owner only), cert.pem and ca.pem. Repeating the command after a
    /// failure gets another key and another certificate.
    Serverkeygen(serverkeygen::ServerKeyGen),
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
            Command::Cacerts(command) => cacerts::cacerts(command).await,
            Command::Csrattrs(command) => csrattrs::csrattrs(command).await,
            Command::Enroll(command) => enroll::enroll(command).await,
            Command::Reenroll(command) => reenroll::reenroll(command).await,
            Command::Serverkeygen(command) => serverkeygen::serverkeygen(command).await,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        client::{certificates_from_pem, fingerprint, show_fingerprint, tests::CannedServer},
        pki::CertificateFields,
    };
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
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

    /// First-user finding 1, D-38: a label whose CA did not issue the server's certificate.
    #[test]
    fn r_7030_4_1_3_a_label_with_a_ca_of_its_own_keeps_the_server_verified() {
        let server = CannedServer::start();
        let url = format!("https://localhost:{}", server.port);
        let root = show_fingerprint(&fingerprint(&server.der("root")));
        let root_file = server.folder.path().join("root.pem");
        let password = server.folder.path().join("password");
        std::fs::write(&password, "secret\n").unwrap();
        let login = ["--user", "device", "--password-file", password.to_str().unwrap()];
        let enroll = [&["enroll", "--subject", "CN=d"], &login[..]].concat();
        let good = |folder: &tempfile::TempDir, arguments: &[&str]| {
            let more = ["--server", &url, "--out", folder.path().to_str().unwrap()];
            let call = ["est"].iter().chain(arguments).chain(&more).map(OsString::from);
            let (code, success) = (run(call), ExitCode::SUCCESS);
            assert_eq!(format!("{code:?}"), format!("{success:?}"), "{arguments:?}");
        };
        let holds = |folder: &tempfile::TempDir, name: &str, expected: &[&str]| {
            let pem = std::fs::read(folder.path().join(name)).unwrap();
            let mut expected: Vec<_> = expected.iter().map(|ca| server.der(ca)).collect();
            let mut seen = certificates_from_pem(&pem).unwrap();
            expected.sort();
            seen.sort();
            assert!(seen == expected, "{name}");
        };
        // By anchors that were fetched before, by a fingerprint at once, and by a file.
        for first in [
            vec![vec!["cacerts", "--fingerprint", &root], enroll.clone()],
            vec![[&enroll[..], &["--fingerprint", &root]].concat()],
            vec![[&enroll[..], &["--cacert", root_file.to_str().unwrap()]].concat()],
        ] {
            let folder = tempfile::tempdir().unwrap();
            let (last, before) = first.split_last().unwrap();
            for call in before {
                good(&folder, call);
            }
            good(&folder, &[last, &["--label", "factory"][..]].concat());
            for _ in 0..2 {
                good(&folder, &["reenroll", "--label", "factory"]);
                holds(&folder, "ca.pem", &["factory"]);
                let server_ca = std::fs::read(folder.path().join("server-ca.pem")).unwrap();
                let server_ca = certificates_from_pem(&server_ca).unwrap();
                assert!(server_ca.contains(&server.der("root")));
            }
            // A label whose CA certificates verify the server, too, replaces all anchors.
            good(&folder, &["reenroll", "--label", "both"]);
            holds(&folder, "ca.pem", &["factory", "root"]);
            assert!(!folder.path().join("server-ca.pem").exists());
            good(&folder, &["reenroll", "--label", "both"]);
        }
    }

    #[test]
    fn enrolls_with_the_key_that_the_server_asks_for_unless_told_otherwise() {
        let server = CannedServer::start();
        let folder = tempfile::tempdir().unwrap();
        let url = format!("https://localhost:{}", server.port);
        let root = show_fingerprint(&fingerprint(&server.der("root")));
        let password = server.folder.path().join("password");
        std::fs::write(&password, "secret\n").unwrap();
        let run = |arguments: &[&str]| {
            let more = ["--server", &url, "--fingerprint", &root];
            let call = ["est"].iter().chain(arguments).chain(&more).map(OsString::from);
            assert_eq!(
                format!("{:?}", run(call)),
                format!("{:?}", ExitCode::SUCCESS),
                "{arguments:?}"
            );
        };
        let enroll = |label: &str, more: &[&str]| {
            let out = folder.path().join(format!("{label}{}", more.len()));
            std::fs::create_dir(&out).unwrap();
            let call = ["enroll", "--subject", "CN=d", "--user", "device", "--label", label];
            let files = ["--password-file", password.to_str().unwrap(), "--out"];
            run(&[&call, &files[..], &[out.to_str().unwrap()], more].concat());
            let pem = std::fs::read(out.join("key.pem")).unwrap();
            crate::pki::PrivateKey::from_pem(pem, None).unwrap().kind().to_string()
        };
        assert_eq!(enroll("asks", &[]), "rsa-4096");
        assert_eq!(enroll("asks", &["--no-csrattrs"]), "p-256");
        assert_eq!(enroll("asks", &["--key-type", "p-384"]), "p-384");
        // 404, and an answer that is none, keep nobody from enrolling.
        assert_eq!(enroll("none", &[]), "p-256");
        for label in ["asks", "none", "pending"] {
            run(&["csrattrs", "--label", label]);
        }
        run(&["csrattrs", "--label", "asks", "--print"]);
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
