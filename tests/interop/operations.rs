//! Operations of real clients beyond enrollment that no other file here tests. docs/clients.md names
//! these tests.

use crate::{
    clients::Call,
    process::{Estd, good},
};
use std::{fs, path::Path, process::Command};

/// A first start with these tables at the end of est.toml.
fn start(more: &str) -> Estd {
    let folder = Estd::folder("[\"localhost\"]");
    let path = folder.path().join("est.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{text}\n{more}\n")).unwrap();
    Estd::start_in(folder)
}

/// A label with a CA of its own.
const FACTORY: &str = "[label.factory]\nrenewal.window = \"100%\"\nca = \"factory\"\n[ca.factory]\nroot_subject = \"CN=Factory root CA\"\nissuing_subject = \"CN=Factory issuing CA\"\n";

fn issuer(cert: &Path) -> String {
    let mut openssl = Command::new("openssl");
    openssl.args(["x509", "-noout", "-issuer", "-in"]).arg(cert);
    good("issuer", openssl.output().unwrap())
}

/// Enrolls and re-enrolls under the label; the label's own CA has issued both.
#[track_caller]
fn under_the_label(cert: &str, key: &str, call: impl Fn(Call<'_>, &str)) {
    let estd = start(FACTORY);
    let label = |out: &str| Call::new(&estd, out).with("EST_LABEL", "factory");
    call(label("ca"), "cacerts");
    call(label("enroll").basic(), "enroll");
    call(label("reenroll").certificate("enroll", cert, key), "reenroll");
    for out in ["enroll", "reenroll"] {
        let issuer = issuer(&estd.path(out).join(cert));
        assert!(issuer.contains("CN = Factory issuing CA"), "{out}: {issuer}");
    }
}

#[test]
fn curl_uses_a_label() {
    under_the_label("new.pem", "new.key", |call, operation| {
        call.curl(operation);
    });
}

#[test]
fn bouncy_castle_uses_a_label() {
    under_the_label("newcert.pem", "newkey.pem", |call, operation| {
        call.bouncy_castle(operation);
    });
}

#[test]
fn usg_uses_a_label() {
    under_the_label("cert.pem", "key.pem", |call, operation| {
        call.rust("usg-est", operation);
    });
}

#[test]
fn est_uses_a_label() {
    let estd = start(FACTORY);
    let est = |arguments: &[&str]| {
        let mut command = estd.est(arguments);
        command.args(["--label", "factory", "--out", "device"]);
        good(&format!("est {arguments:?}"), command.output().unwrap())
    };
    est(&["enroll", "--user", "enroll", "--subject", "CN=d"]);
    est(&["reenroll"]);
    let issuer = issuer(&estd.path("device/cert.pem"));
    assert!(issuer.contains("CN = Factory issuing CA"), "{issuer}");
}

/// Ports on which a process listens.
fn ports(pid: u32) -> Vec<u16> {
    let open: Vec<String> = fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
        .map(|target| target.display().to_string())
        .collect();
    let mut ports = Vec::new();
    for table in ["tcp", "tcp6", "udp", "udp6"] {
        let text = fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            // State 0A is LISTEN; a bound UDP socket accepts datagrams.
            let listens = table.starts_with("udp") || fields[3] == "0A";
            if listens && open.contains(&format!("socket:[{}]", fields[9])) {
                let (_, port) = fields[1].rsplit_once(':').unwrap();
                ports.push(u16::from_str_radix(port, 16).unwrap());
            }
        }
    }
    ports
}

/// Passwords arrive only over TLS: the program listens nowhere else. Without TLS, with an old version
/// or without encryption, the listener sends no HTTP.
#[test]
fn r_7030_3_2_3_b_passwords_come_by_tls_1_2_or_later_and_encrypted() {
    let estd = Estd::start();
    assert_eq!(ports(estd.pid()), [estd.port]);
    let status = |url: &str, more: &[&str]| {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", "--cacert"])
            .arg(estd.anchor())
            .args(["-u", &format!("enroll:{}", estd.password), "-d", "x"])
            .args(["-H", "Content-Type: application/pkcs10"])
            .args(more)
            .arg(format!("{url}localhost:{}/.well-known/est/simpleenroll", estd.port));
        String::from_utf8(curl.output().unwrap().stdout).unwrap()
    };
    // The password is correct, the body is not.
    assert_eq!(status("https://", &[]), "400");
    assert_eq!(status("https://", &["--tls-max", "1.2"]), "400");
    for bad in [
        &["--tls-max", "1.1", "--ciphers", "ALL:@SECLEVEL=0"][..],
        &["--tls-max", "1.2", "--ciphers", "eNULL:aNULL:@SECLEVEL=0"],
    ] {
        assert_eq!(status("https://", bad), "000", "{bad:?}");
    }
    assert_eq!(status("http://", &[]), "000");
}

/// Labels with different requirements for channel bindings.
const LINKING: &str = "[label.required]\nrenewal.window = \"100%\"\nlinking = \"required\"\n[label.off]\nlinking = \"off\"\n";

/// The error text of a call that must fail.
fn rejected(call: Call<'_>, operation: &str) -> String {
    let output = call.bouncy_castle_tried(operation);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Bouncy Castle puts tls-unique into the CSR if so configured.
#[test]
fn bouncy_castle_links_identity_and_proof_of_possession() {
    let estd = start(LINKING);
    let call = |out: &str| Call::new(&estd, out).with("EST_TLS", "TLSv1.2").basic();
    let bound = |out: &str| call(out).with("EST_POP", "1");
    for (out, label) in [("default", ""), ("required", "required")] {
        let call = if label.is_empty() { bound(out) } else { bound(out).with("EST_LABEL", label) };
        call.bouncy_castle("enroll");
    }
    // A re-enrollment is bound, too.
    Call::new(&estd, "again")
        .with("EST_TLS", "TLSv1.2")
        .with("EST_POP", "1")
        .with("EST_LABEL", "required")
        .certificate("required", "newcert.pem", "newkey.pem")
        .bouncy_castle("reenroll");
    call("unbound").bouncy_castle("enroll");
    let text = rejected(call("rejected").with("EST_LABEL", "required"), "enroll");
    assert!(text.contains("400"), "{text}");
    assert!(!estd.path("rejected/newcert.pem").exists());
    let text = rejected(bound("off").with("EST_LABEL", "off"), "enroll");
    assert!(text.contains("400"), "{text}");
    let listed = estd.operator(&["cert", "list", "--json"]);
    assert_eq!(listed.matches("\"subject\":\"CN=bc-client").count(), 4, "{listed}");
}

/// The client reads a generated key that matches its certificate, and renews with it.
#[test]
fn usg_has_a_key_made() {
    let estd =
        start("[label.keys]\nrenewal.window = \"100%\"\nserverkeygen = \"on\"\n[label.none]\n");
    let call = |out: &str| Call::new(&estd, out).with("EST_LABEL", "keys");
    call("made").basic().rust("usg-est", "serverkeygen");
    let read = |arguments: &[&str], name: &str| {
        let mut openssl = Command::new("openssl");
        openssl.args(arguments).arg(estd.path("made").join(name));
        good(&format!("openssl {arguments:?}"), openssl.output().unwrap())
    };
    assert_eq!(
        read(&["x509", "-noout", "-pubkey", "-in"], "cert.pem"),
        read(&["pkey", "-pubout", "-in"], "key.pem")
    );
    call("again").certificate("made", "cert.pem", "key.pem").rust("usg-est", "reenroll");
    let none = Call::new(&estd, "none").with("EST_LABEL", "none").basic();
    let output = none.rust_tried("usg-est", "serverkeygen");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && text.contains("not supported"), "{text}");
}

#[test]
fn usg_reads_csrattrs() {
    let estd = start(
        "[profile.strict]\nkeys = [\"p-384\"]\ndigests = [\"sha384\"]\nrequire_san = [\"dns\"]\n\
         [label.strict]\nprofile = \"strict\"\n[label.off]\n[label.off.csrattrs]\noffer = false\n",
    );
    let call = |out: &str, label: &'static str| Call::new(&estd, out).with("EST_LABEL", label);
    let text = call("strict", "strict").rust("usg-est", "csrattrs");
    // The kind of key, the signature's algorithm, the extensions.
    for attribute in ["1.2.840.10045.2.1", "1.2.840.10045.4.3.3", "1.2.840.113549.1.9.14"] {
        assert!(text.contains(&format!("attr: {attribute}\n")), "{attribute}: {text}");
    }
    let nothing = Call::new(&estd, "nothing").rust("usg-est", "csrattrs");
    assert!(!nothing.contains("attr: "), "204: {nothing}");
    let output = call("off", "off").rust_tried("usg-est", "csrattrs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && text.contains("not supported"), "{text}");
}

/// D-02.
///
/// `curl … | base64 -d` as a script has it: coreutils' `base64 -d` reads LF and rejects CR. Inside
/// multipart MIME requires CRLF, which `tr` removes.
#[test]
fn base64_d_of_coreutils_reads_every_answer() {
    let estd = start(
        "[label.asking]\nprofile = \"asking\"\n[profile.asking]\nrequire_subject = [\"CN\"]\nkeys = [\"p-256\"]\n[label.keys]\nserverkeygen = \"on\"\n",
    );
    let script = r#"
set -eu -o pipefail
cd "$1"
est="https://localhost:$2/.well-known/est"
curl() { command curl --silent --show-error --fail-with-body --cacert "$ANCHOR" "$@"; }
post() { curl "${@:2}" -H "Content-Type: application/pkcs10" --data-binary @request.b64 "$est/$1"; }
certificates() { openssl pkcs7 -inform DER -print_certs | grep -c BEGIN; }

curl "$est/cacerts" | base64 -d | certificates
curl "$est/asking/csrattrs" | base64 -d | openssl asn1parse -inform DER >/dev/null

openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout key.pem -subj /CN=d \
  -outform DER 2>/dev/null | openssl base64 >request.b64
post simpleenroll --user "enroll:$EST_PASSWORD" | base64 -d | openssl pkcs7 -inform DER -print_certs -out cert.pem
openssl x509 -in cert.pem -noout -subject
post simplereenroll --cert cert.pem --key key.pem | base64 -d | certificates

post keys/serverkeygen --user "enroll:$EST_PASSWORD" | tr -d '\r' >parts
awk '/^--/ { n++; body = 0; next } /^$/ { body = 1; next } body { print > ("part" n) }' parts
base64 -d part1 | openssl pkey -inform DER -noout
base64 -d part2 | certificates
"#;
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new("bash")
        .args(["-c", script, "bash"])
        .arg(folder.path())
        .arg(estd.port.to_string())
        .env("ANCHOR", estd.anchor())
        .env("EST_PASSWORD", &estd.password)
        .output()
        .unwrap();
    let said = good("the script", output);
    assert_eq!(said, "2\nsubject=CN = d\n1\n1\n");
}
