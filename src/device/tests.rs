//! The commands of `est` against canned servers.

use super::*;
use crate::{
    client::{fingerprint, show_fingerprint, tests::CannedServer},
    clock::SetClock,
    pki::{CertificateFields, CsrBuilder, PrivateKey, oid, pem},
    types::{KeyKind, RenewalPoint, Time},
};
use clap::CommandFactory;
use outcome::TRY_LATER;
use std::{path::PathBuf, time::Duration};

/// Runs a command with the machine's clock; returns the exit code.
fn est(arguments: &[&str]) -> u8 {
    est_at(arguments, Arc::new(SystemClock))
}

fn est_at(arguments: &[&str], clock: Arc<dyn Clock>) -> u8 {
    run(["est"].iter().chain(arguments).map(OsString::from), clock)
}

/// A server, and a folder with its anchor and the file of the password `secret`.
struct Bench {
    server: CannedServer,
    folder: tempfile::TempDir,
    url: String,
}

impl Bench {
    fn new() -> Self {
        let server = CannedServer::start();
        let folder = tempfile::tempdir().unwrap();
        std::fs::copy(server.folder.path().join("root.pem"), folder.path().join("ca.pem")).unwrap();
        std::fs::write(folder.path().join("password"), "secret\n").unwrap();
        Self { url: format!("https://localhost:{}", server.port), server, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    fn at(&self, clock: Arc<dyn Clock>, arguments: &[&str]) -> u8 {
        let out = self.folder.path().to_str().unwrap();
        est_at(&[arguments, &["--server", &self.url, "--out", out]].concat(), clock)
    }

    fn est(&self, arguments: &[&str]) -> u8 {
        self.at(Arc::new(SystemClock), arguments)
    }

    /// The same with account and password.
    fn login(&self, arguments: &[&str]) -> u8 {
        let file = self.path("password");
        let login = ["--user", "device", "--password-file", file.to_str().unwrap()];
        self.est(&[arguments, &login].concat())
    }

    fn certificate(&self) -> Vec<u8> {
        pem::decode_certificates(&self.read("cert.pem")).unwrap().remove(0)
    }
}

#[test]
fn the_arguments_are_consistent() {
    Arguments::command().debug_assert();
}

#[test]
fn enrolls_by_fingerprint_and_reenrolls_with_its_files() {
    let server = CannedServer::start();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let url = format!("https://localhost:{}", server.port);
    let root = show_fingerprint(&fingerprint(&server.der("root")));
    let password = server.folder.path().join("password");
    std::fs::write(&password, "secret\n").unwrap();
    let password = password.to_str().unwrap();
    let code = |arguments: &[&str]| est(&[arguments, &["--server", &url, "--out", out]].concat());
    let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();

    assert_eq!(code(&["cacerts", "--fingerprint", &root]), 0);
    let login = ["--user", "device", "--password-file", password];
    let enroll =
        [&["enroll", "--subject", "/O=Example/CN=d", "--san", "dns:d.example"], &login[..]];
    let with = |label: &'static str| [enroll.concat(), vec!["--label", label]].concat();

    // Without credentials, and while it is pending, the key stays for the next try.
    assert_eq!(code(&["enroll", "--subject", "CN=d"]), 1);
    let key = read("key.pem");
    assert_eq!(code(&[with("busy"), vec!["--max-wait", "0s"]].concat()), TRY_LATER);
    assert_eq!(code(&with("other-key")), 1);
    assert!(!folder.path().join("cert.pem").exists());
    assert_eq!(code(&with("pending")), 0);
    assert_eq!(read("key.pem"), key);
    let first = read("cert.pem");
    server.verify(&folder.path().join("cert.pem"));

    // A second enrollment is rejected; a re-enrollment generates a new key for the same names.
    assert_eq!(code(&enroll.concat()), 1);
    assert_eq!(code(&["reenroll", "--label", "busy", "--max-wait", "0s"]), TRY_LATER);
    assert_eq!(read("key.pem"), key);
    let waiting = read("key.pem.new");
    assert_eq!(code(&["reenroll"]), 0);
    assert_eq!(read("key.pem"), waiting, "the key that was waiting");
    server.verify(&folder.path().join("cert.pem"));
    let names = |pem: &[u8]| {
        let certificate = pem::decode_certificates(pem).unwrap().remove(0);
        let fields = CertificateFields::parse(&certificate).unwrap();
        let san = fields.extension(oid::SUBJECT_ALT_NAME);
        (fields.subject.to_vec(), san.map(|san| (san.critical, san.value.to_vec())))
    };
    assert_eq!(names(&first), names(&read("cert.pem")));
    assert!(names(&first).1.is_some());

    let (key, certificate) = (read("key.pem"), read("cert.pem"));
    assert_eq!(code(&["reenroll", "--renew", "--tls", "1.2"]), 0);
    assert_eq!(read("key.pem"), key);
    assert_ne!(read("cert.pem"), certificate);
    assert_eq!(code(&[enroll.concat(), vec!["--force"]].concat()), 0);
    assert_ne!(read("key.pem"), key);
    let mut left: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, [".est.lock", "ca.pem", "cert.pem", "key.pem"]);
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
        assert_eq!(est(&[arguments, &more].concat()), 0, "{arguments:?}");
    };
    let holds = |folder: &tempfile::TempDir, name: &str, expected: &[&str]| {
        let pem = std::fs::read(folder.path().join(name)).unwrap();
        let mut expected: Vec<_> = expected.iter().map(|ca| server.der(ca)).collect();
        let mut seen = pem::decode_certificates(&pem).unwrap();
        expected.sort();
        seen.sort();
        assert!(seen == expected, "{name}");
    };
    // By anchors that were fetched before, by a fingerprint in the same run, and by a file.
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
            let server_ca = pem::decode_certificates(&server_ca).unwrap();
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
fn enrolls_with_the_key_of_the_server_unless_another_is_given() {
    let server = CannedServer::start();
    let folder = tempfile::tempdir().unwrap();
    let url = format!("https://localhost:{}", server.port);
    let root = show_fingerprint(&fingerprint(&server.der("root")));
    let password = server.folder.path().join("password");
    std::fs::write(&password, "secret\n").unwrap();
    let run = |arguments: &[&str]| {
        let more = ["--server", &url, "--fingerprint", &root];
        assert_eq!(est(&[arguments, &more].concat()), 0, "{arguments:?}");
    };
    let enroll = |label: &str, more: &[&str]| {
        let out = folder.path().join(format!("{label}{}", more.len()));
        std::fs::create_dir(&out).unwrap();
        let call = ["enroll", "--subject", "CN=d", "--user", "device", "--label", label];
        let files = ["--password-file", password.to_str().unwrap(), "--out"];
        run(&[&call, &files[..], &[out.to_str().unwrap()], more].concat());
        let pem = std::fs::read(out.join("key.pem")).unwrap();
        PrivateKey::from_pem(pem, None).unwrap().kind().to_string()
    };
    assert_eq!(enroll("asks", &[]), "rsa-4096");
    assert_eq!(enroll("asks", &["--no-csrattrs"]), "p-256");
    assert_eq!(enroll("asks", &["--key-type", "p-384"]), "p-384");
    // 404 and a malformed answer do not prevent enrollment.
    assert_eq!(enroll("none", &[]), "p-256");
    for label in ["asks", "pending"] {
        run(&["csrattrs", "--label", label]);
    }
    run(&["csrattrs", "--label", "asks", "--print"]);
}

/// First-user findings 9, 23, 26 and 28: each row of the table of exit codes in docs/est.md.
#[test]
fn exit_codes_are_those_of_the_reference() {
    let bench = Bench::new();
    let file = |name: &str, text: &str| {
        std::fs::write(bench.path(name), text).unwrap();
        bench.path(name).to_str().unwrap().to_owned()
    };
    let (empty, text) = (file("empty.pem", ""), file("text.pem", "no certificate"));
    let enroll = ["enroll", "--subject", "CN=d"];
    let with = |more: &[&'static str]| [&enroll[..], more].concat();

    // 2: wrong arguments, or a file that they name cannot be used.
    let wrong = outcome::WRONG_CALL;
    assert_eq!(bench.est(&["enroll"]), wrong, "no name");
    assert_eq!(bench.est(&with(&["--nonsense"])), wrong);
    assert_eq!(bench.est(&["reenroll", "--if-due=2"]), wrong);
    assert_eq!(bench.est(&with(&["--user", "device"])), wrong, "no password");
    assert_eq!(bench.est(&["cacerts", "--fingerprint", "00"]), wrong);
    assert_eq!(bench.est(&["cacerts", "--cacert", "/nonexistent"]), wrong);
    for unusable in [&empty, &text] {
        assert_eq!(bench.est(&["cacerts", "--cacert", unusable]), wrong);
        assert_eq!(bench.est(&[&enroll[..], &["--key", unusable]].concat()), wrong);
        assert_eq!(bench.est(&["enroll", "--csr", unusable]), wrong);
    }
    assert_eq!(bench.est(&["reenroll"]), wrong, "nothing to renew");
    let elsewhere = tempfile::tempdir().unwrap();
    let out = ["--out", elsewhere.path().to_str().unwrap()];
    assert_eq!(est(&[&enroll[..], &out].concat()), wrong, "no anchors");
    assert_eq!(est(&[&["cacerts", "--server", "http://a"], &out[..]].concat()), wrong);

    // 75: the same command may succeed later.
    let zeros = "00".repeat(32);
    let soon = |server: &str, more: &[&str]| {
        let call = ["--server", server, "--fingerprint", &zeros, "--max-wait", "0s"];
        est(&[more, &call, &out].concat())
    };
    for command in [&["cacerts"][..], &["csrattrs"], &enroll] {
        // Port 1 of this machine, without a listener, and a name that does not exist.
        assert_eq!(soon("localhost:1", command), TRY_LATER, "{command:?}");
        assert_eq!(soon("host.invalid", command), TRY_LATER, "{command:?}");
    }
    for label in ["busy", "many", "pending"] {
        let call = [&enroll[..], &["--label", label, "--max-wait", "0s"]].concat();
        assert_eq!(bench.login(&call), TRY_LATER, "{label}");
    }

    // The renewal is too early: it is not waited for, although a second would do.
    assert_eq!(bench.login(&[&enroll[..], &["--label", "early"]].concat()), TRY_LATER);
    let asked = |server: &CannedServer| {
        server
            .seen()
            .iter()
            .filter(|(path, password, _)| path.contains("/early/") && *password)
            .count()
    };
    assert_eq!(asked(&bench.server), 1);

    // 1: rejected, or the server is not the right one.
    assert_eq!(bench.est(&enroll), 1, "no credentials");
    let call = ["cacerts", "--fingerprint", &zeros];
    assert_eq!(bench.est(&call), 1);
    assert_eq!(bench.login(&with(&["--label", "other-key"])), 1);
    assert_eq!(bench.est(&["csrattrs", "--label", "none"]), 1, "404 under a label");
    // 0, also for a server without csrattrs, and for help.
    assert_eq!(bench.est(&["csrattrs"]), 0);
    assert_eq!(est(&["--help"]), 0);
    assert_eq!(bench.login(&enroll), 0);
    assert_eq!(bench.login(&enroll), 1, "there already");
}

/// First-user finding 9: `--max-wait` is for servers that break off, too.
#[test]
fn keeps_trying_a_server_that_breaks_off() {
    let bench = Bench::new();
    let real = bench.server.port;
    let door = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = door.local_addr().unwrap().port();
    std::thread::spawn(move || {
        // Two connections are dropped; the third one reaches the server.
        for _ in 0..2 {
            drop(door.accept().unwrap());
        }
        let (near, _) = door.accept().unwrap();
        let far = std::net::TcpStream::connect(("127.0.0.1", real)).unwrap();
        let (mut up, mut down) = (near.try_clone().unwrap(), far.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut up, &mut down));
        let _ = std::io::copy(&mut { far }, &mut { near });
    });
    let server = format!("localhost:{port}");
    let out = bench.folder.path().to_str().unwrap();
    let call = |wait| est(&["cacerts", "--server", &server, "--out", out, "--max-wait", wait]);
    assert_eq!(call("0s"), TRY_LATER);
    assert_eq!(call("1m"), 0);
}

/// First-user finding 37, D-39.
#[test]
fn renews_only_if_due() {
    let bench = Bench::new();
    assert_eq!(bench.login(&["enroll", "--subject", "CN=d"]), 0);
    let (pem, certificate) = (bench.read("cert.pem"), bench.certificate());
    let fields = CertificateFields::parse(&certificate).unwrap();
    let due = RenewalPoint::DEFAULT.due(fields.not_before, fields.not_after);
    let second = Duration::from_secs(1);
    let at = |time: Time| Arc::new(SetClock::new(time));
    let early = at(due.minus(second));
    assert_eq!(bench.at(early.clone(), &["reenroll", "--if-due"]), 0);
    assert_eq!(bench.read("cert.pem"), pem, "not due");
    assert_eq!(bench.at(early.clone(), &["reenroll", "--if-due=99%"]), 0);
    assert_eq!(bench.read("cert.pem"), pem);
    // A folder that is locked is not touched.
    let lock = lock::Lock::acquire(bench.folder.path()).unwrap();
    assert_eq!(bench.at(at(due), &["reenroll", "--if-due"]), TRY_LATER);
    assert_eq!(bench.read("cert.pem"), pem);
    drop(lock);
    assert_eq!(bench.at(at(due), &["reenroll", "--if-due"]), 0);
    assert_ne!(bench.read("cert.pem"), pem);
    let renewed = bench.read("cert.pem");
    // Half of the lifetime is over, so this call renews.
    let half = Duration::from_secs(fields.not_after.since(fields.not_before).as_secs() / 2 + 60);
    let certificate = bench.certificate();
    let half = at(CertificateFields::parse(&certificate).unwrap().not_before.plus(half));
    assert_eq!(bench.at(half, &["reenroll", "--if-due=0.5"]), 0);
    assert_ne!(bench.read("cert.pem"), renewed);
}

#[test]
fn enrolls_a_csr_whose_key_is_elsewhere() {
    let bench = Bench::new();
    let key = PrivateKey::generate(KeyKind::P256).unwrap();
    let csr = CsrBuilder::new().subject("CN=elsewhere").unwrap().build(&key).unwrap();
    let pem = pem::encode_block("NEW CERTIFICATE REQUEST", &csr);
    for (name, bytes) in
        [("csr.der", csr), ("csr.pem", format!("Certificate Request:\n{}", *pem).into())]
    {
        std::fs::write(bench.path(name), bytes).unwrap();
        let file = bench.path(name);
        let call = ["enroll", "--csr", file.to_str().unwrap()];
        assert_eq!(bench.login(&call), 0, "{name}");
        let certificate = bench.certificate();
        let fields = CertificateFields::parse(&certificate).unwrap();
        assert_eq!(fields.public_key_spki, key.public_key_spki_der().unwrap());
        assert!(!bench.path("key.pem").exists());
        // It would not match the key beside it.
        let other = PrivateKey::generate(KeyKind::P256).unwrap().to_pem(None).unwrap();
        std::fs::write(bench.path("key.pem"), other.as_bytes()).unwrap();
        assert_eq!(bench.login(&[&call[..], &["--force"]].concat()), outcome::WRONG_CALL);
        for name in ["key.pem", "cert.pem"] {
            std::fs::remove_file(bench.path(name)).unwrap();
        }
    }
}
