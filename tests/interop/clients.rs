//! Real EST clients, each with the settings of est.toml and nothing set for it.

use crate::process::{Estd, good};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

pub(crate) const DRIVERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/drivers");

/// A call of a driver: the server, the credentials, and the folder for its files.
pub(crate) struct Call<'a> {
    estd: &'a Estd,
    out: String,
    settings: Vec<(&'a str, String)>,
}

impl<'a> Call<'a> {
    pub(crate) fn new(estd: &'a Estd, out: &str) -> Self {
        Self { estd, out: out.to_owned(), settings: Vec::new() }
    }

    pub(crate) fn with(mut self, name: &'a str, value: impl ToString) -> Self {
        self.settings.push((name, value.to_string()));
        self
    }

    pub(crate) fn basic(self) -> Self {
        let password = self.estd.password.clone();
        self.with("EST_USER", "enroll").with("EST_PASS", password)
    }

    /// With the certificate that another call got.
    pub(crate) fn certificate(self, of: &str, cert: &str, key: &str) -> Self {
        let at = |name: &str| self.estd.path(of).join(name).display().to_string();
        let (cert, key) = (at(cert), at(key));
        self.with("EST_CERT", cert).with("EST_KEY", key)
    }

    pub(crate) fn run(self, command: Command, operation: &str) -> String {
        let what = format!("{operation} {:?}", self.settings);
        good(&what, self.output(command, operation))
    }

    /// How a driver ended.
    pub(crate) fn output(self, mut command: Command, operation: &str) -> Output {
        command
            .arg(operation)
            .current_dir(self.estd.folder.path())
            .env("EST_HOST", "localhost")
            .env("EST_PORT", self.estd.port.to_string())
            .env("EST_CA", self.estd.anchor())
            .env("EST_OUT", self.estd.path(&self.out));
        for (name, value) in &self.settings {
            command.env(name, value);
        }
        command.output().unwrap()
    }

    pub(crate) fn curl(self, operation: &str) -> String {
        self.run(Command::new(format!("{DRIVERS}/curl_est.sh")), operation)
    }

    pub(crate) fn strongswan(self, operation: &str) -> String {
        // It needs every CA certificate between the anchor and its own.
        let issuing = self.estd.path("data/ca/default/issuing.pem").display().to_string();
        self.with("EST_EXTRA_CA", issuing)
            .run(Command::new(format!("{DRIVERS}/strongswan_est.sh")), operation)
    }

    /// A program of drivers/rust, which tests/run builds.
    pub(crate) fn rust(self, program: &str, operation: &str) -> String {
        self.for_rust().run(Command::new(Self::built(program)), operation)
    }

    /// The same where it may fail.
    pub(crate) fn rust_tried(self, program: &str, operation: &str) -> Output {
        self.for_rust().output(Command::new(Self::built(program)), operation)
    }

    fn built(program: &str) -> PathBuf {
        let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/rust-clients/bin");
        tools.join(program)
    }

    fn for_rust(self) -> Self {
        let server = format!("https://localhost:{}", self.estd.port);
        let password = self.estd.password.clone();
        self.with("EST_SERVER", server).with("EST_PASSWORD", password)
    }

    pub(crate) fn bouncy_castle(self, operation: &str) -> String {
        self.run(java("BcEst"), operation)
    }

    /// The same where it may fail.
    pub(crate) fn bouncy_castle_tried(self, operation: &str) -> Output {
        self.output(java("BcEst"), operation)
    }
}

pub(crate) const JARS: &str = "/usr/share/java/bcpkix.jar:/usr/share/java/bcprov.jar:/usr/share/java/bcutil.jar:/usr/share/java/bctls.jar";

/// One of the drivers of Bouncy Castle.
pub(crate) fn java(driver: &str) -> Command {
    let mut java = Command::new("java");
    java.args(["-cp", &format!("{}:{}", bouncy_castle().display(), JARS), driver]);
    java
}

/// The folder with the compiled drivers of Bouncy Castle.
pub(crate) fn bouncy_castle() -> &'static Path {
    static COMPILED: OnceLock<PathBuf> = OnceLock::new();
    COMPILED.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bouncy-castle");
        fs::create_dir_all(&folder).unwrap();
        let mut javac = Command::new("javac");
        javac.args(["-nowarn", "-cp", JARS, "-d"]).arg(&folder);
        for name in [
            "BcBind",
            "BcEst",
            "BcRead",
            "BcCmc",
            "BcCmcMessage",
            "BcCmcJudge",
            "BcCmcCases",
            "BcIdevid",
        ] {
            javac.arg(format!("{DRIVERS}/{name}.java"));
        }
        good("javac", javac.output().unwrap());
        folder
    })
}

/// proves: R-7030-3.3.2-a
#[test]
fn curl_and_openssl() {
    let estd = Estd::start();
    for tls in ["1.2", "1.3"] {
        for http in ["1.0", "1.1"] {
            let call = |out: &str| {
                Call::new(&estd, &format!("{out}-{tls}-{http}"))
                    .with("EST_TLS", tls)
                    .with("EST_HTTP", http)
            };
            call("ca").curl("cacerts");
            for keys in ["rsa", "ec"] {
                let call = |out: &str| call(&format!("{out}-{keys}")).with("EST_KEYTYPE", keys);
                call("enroll").basic().curl("enroll");
                let first = format!("enroll-{keys}-{tls}-{http}");
                call("reenroll").certificate(&first, "new.pem", "new.key").curl("reenroll");
                call("again").certificate(&first, "new.pem", "new.key").curl("enroll");
            }
        }
    }
    // Each re-enrollment is on record as one.
    let listed = estd.operator(&["cert", "list", "--json"]);
    let entries =
        listed.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    assert_eq!(
        entries
            .filter(
                |entry| entry["operation"] == "simplereenroll" && entry["predecessor"].is_string()
            )
            .count(),
        8
    );
}

#[test]
fn strongswan() {
    let estd = Estd::start();
    for tls in ["1.2", "1.3"] {
        let call = |out: &str| Call::new(&estd, &format!("{out}-{tls}")).with("EST_TLS", tls);
        call("ca").strongswan("cacerts");
        for keys in ["rsa", "ec"] {
            let call = |out: &str| call(&format!("{out}-{keys}")).with("EST_KEYTYPE", keys);
            call("enroll").basic().strongswan("enroll");
            call("reenroll")
                .certificate(&format!("enroll-{keys}-{tls}"), "new.pem", "new.key")
                .strongswan("reenroll");
        }
    }
}

#[test]
fn bouncy_castle_est() {
    let estd = Estd::start();
    for (tls, version) in [("TLSv1.2", "1.2"), ("TLSv1.3", "1.3")] {
        let call = |out: &str| Call::new(&estd, &format!("{out}-{version}")).with("EST_TLS", tls);
        call("ca").bouncy_castle("cacerts");
        call("enroll").basic().bouncy_castle("enroll");
        call("rsa").basic().with("EST_KEYTYPE", "rsa").bouncy_castle("enroll");
        call("reenroll")
            .certificate(&format!("enroll-{version}"), "newcert.pem", "newkey.pem")
            .bouncy_castle("reenroll");
    }
}

#[test]
fn usg_est_client() {
    let estd = Estd::start();
    let call = |out: &str| Call::new(&estd, out);
    let cas = call("ca").rust("usg-est", "cacerts");
    assert_eq!(cas.matches("ca: ").count(), 2, "{cas}");
    call("enroll").basic().rust("usg-est", "enroll");
    call("reenroll").certificate("enroll", "cert.pem", "key.pem").rust("usg-est", "reenroll");
}

/// It cannot read line breaks, and asks for the CA certificates with an Accept of its own.
#[test]
fn est_ca() {
    let estd = Estd::start();
    let call = |out: &str| Call::new(&estd, out);
    call("ca").rust("est-ca", "cacerts");
    call("enroll").basic().rust("est-ca", "enroll");
    call("reenroll").certificate("enroll", "cert.pem", "key.pem").rust("est-ca", "reenroll");
}

/// The program's own client: bootstrap by fingerprint, enroll, re-enroll with the same and a new key.
#[test]
fn est_itself() {
    let estd = Estd::start();
    let server = format!("https://localhost:{}", estd.port);
    let est = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_est"));
        command
            .args(arguments)
            .args(["--server", &server])
            .current_dir(estd.folder.path())
            .env("EST_PASSWORD", &estd.password);
        command.output().unwrap()
    };
    let cas: serde_json::Value =
        serde_json::from_str(&estd.operator(&["ca", "show", "--json"])).unwrap();
    let fingerprint = cas["cas"][0]["root"]["sha256"].as_str().unwrap();
    good("cacerts", est(&["cacerts", "--fingerprint", fingerprint, "--out", "device"]));
    let wrong = est(&["cacerts", "--fingerprint", &"00".repeat(32), "--out", "nowhere"]);
    assert_eq!(wrong.status.code(), Some(1));
    for tls in ["1.2", "1.3"] {
        for kind in ["p-256", "p-384", "p-521", "ed25519", "rsa-2048"] {
            let out = format!("device-{kind}-{tls}");
            let san = format!("dns:{kind}.example.com");
            let anchor = "device/ca.pem";
            good(
                "enroll",
                est(&[
                    "enroll",
                    "--tls",
                    tls,
                    "--cacert",
                    anchor,
                    "--user",
                    "enroll",
                    "--subject",
                    "CN=d,O=Example",
                    "--san",
                    &san,
                    "--key-type",
                    kind,
                    "--out",
                    &out,
                ]),
            );
            let at = |name: &str| estd.path(&out).join(name);
            let key = fs::read(at("key.pem")).unwrap();
            let (cert, key_file) = (at("cert.pem"), at("key.pem"));
            let again = [
                "reenroll",
                "--tls",
                tls,
                "--cacert",
                anchor,
                "--cert",
                cert.to_str().unwrap(),
                "--key",
                key_file.to_str().unwrap(),
                "--out",
                &out,
            ];
            good("renew", est(&[&again[..], &["--renew"]].concat()));
            assert_eq!(fs::read(at("key.pem")).unwrap(), key);
            good("rekey", est(&again));
            assert_ne!(fs::read(at("key.pem")).unwrap(), key);
            let issuing = estd.path("data/ca/default/issuing.pem");
            let mut verify = Command::new("openssl");
            verify
                .args(["verify", "-CAfile"])
                .arg(estd.anchor())
                .arg("-untrusted")
                .arg(issuing)
                .arg(&cert);
            good("verify", verify.output().unwrap());
        }
    }
    let rejected = est(&[
        "enroll",
        "--cacert",
        "device/ca.pem",
        "--user",
        "nobody",
        "--subject",
        "CN=d",
        "--out",
        "rejected",
    ]);
    assert_eq!(rejected.status.code(), Some(1), "{}", String::from_utf8_lossy(&rejected.stderr));
}

/// Signals: SIGHUP reads a changed file. If the file is bad, it keeps the old settings and logs the
/// error. SIGTERM ends the server with success.
#[test]
fn signals() {
    let estd = Estd::start();
    let file = estd.path("est.toml");
    let text = fs::read_to_string(&file).unwrap();
    let curl = |label: &str| Call::new(&estd, "ca").with("EST_LABEL", label);
    let waits_for = |event: &str, times: usize| {
        for _ in 0..500 {
            if fs::read_to_string(estd.path("data/audit.jsonl")).unwrap().matches(event).count()
                >= times
            {
                return;
            }
            std::thread::park_timeout(std::time::Duration::from_millis(20));
        }
        panic!("no {event}");
    };
    fs::write(&file, format!("{text}\n[label.new]\n")).unwrap();
    estd.signal("HUP");
    waits_for("server.reloaded", 1);
    curl("new").curl("cacerts");
    fs::write(&file, "version = 1\n[label.cacerts]\n").unwrap();
    estd.signal("HUP");
    waits_for("server.reload-rejected", 1);
    curl("new").curl("cacerts");
    let log = fs::read_to_string(estd.path("log")).unwrap();
    assert!(log.contains("[label.cacerts]") && log.contains("the old settings stay"), "{log}");
    fs::write(&file, text).unwrap();
    // While it runs the socket answers, afterwards the store does.
    assert!(estd.operator(&["user", "list"]).contains("enroll"));
    let folder = estd.stop();
    assert!(crate::process::operator(folder.path(), &["user", "list"]).contains("enroll"));
    let added = crate::process::operator(folder.path(), &["user", "add", "bob", "--label", "x"]);
    assert!(added.contains("user bob password "), "{added}");
    let audit = fs::read_to_string(folder.path().join("data/audit.jsonl")).unwrap();
    assert!(audit.lines().last().unwrap().contains("account.added"));
    let password = added.split(' ').nth(3).unwrap().lines().next().unwrap();
    assert!(!audit.contains(password));
    for (arguments, code, said) in [
        (["user", "add", "eve", "--label", "y"], 0, "warning: est.toml has no [label.y]"),
        (["user", "add", "eve", "--label", "y"], 1, "user \"eve\" exists already"),
        (["cert", "list", "--limit", "5", "--state=bogus"], 2, "possible values: open, issued"),
        (["cert", "list", "--label", "x", "--expires-before=soon"], 2, "2026-12-31T12:00:00Z"),
    ] {
        let (found, stderr) = crate::process::try_operator(folder.path(), &arguments);
        assert_eq!((found, stderr.contains(said)), (Some(code), true), "{arguments:?}: {stderr}");
    }
    let mut deaf = Command::new(env!("CARGO_BIN_EXE_estd"));
    let output = deaf.arg("serve").env("ESTD_LOG", "estd=lout").current_dir(&folder).output();
    let output = output.unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("ESTD_LOG=\"estd=lout\": "), "{stderr}");
}

/// The server notifies systemd when it is ready and when it stops.
#[test]
fn systemd_is_notified() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("notify");
    let listening = std::os::unix::net::UnixDatagram::bind(&socket).unwrap();
    listening.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
    fs::write(
        folder.path().join("est.toml"),
        "version = 1\n[server]\nlisten = [\"127.0.0.1:0\"]\n",
    )
    .unwrap();
    let mut estd = Command::new(env!("CARGO_BIN_EXE_estd"))
        .arg("serve")
        .current_dir(folder.path())
        .env("NOTIFY_SOCKET", &socket)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let reported = || {
        let mut text = [0; 256];
        let length = listening.recv(&mut text).unwrap();
        String::from_utf8_lossy(&text[..length]).trim().to_owned()
    };
    assert_eq!(reported(), "READY=1");
    let killed = Command::new("kill").args(["-TERM", &estd.id().to_string()]).status().unwrap();
    assert!(killed.success());
    assert_eq!(reported(), "STOPPING=1");
    assert!(estd.wait().unwrap().success());
}
