//! Keys that the server generates: openssl decrypts them, real clients read them, and no file keeps
//! them.

use crate::{
    clients::Call,
    keygen::*,
    process::{Estd, good},
};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

const KEY: &str = "00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef";

/// A folder for a first start with serverkeygen on, a symmetric key `line-7`, and certificates
/// `rsa`, `p256`, `p384`. A label `encrypted` requires encryption.
fn folder() -> tempfile::TempDir {
    let folder = Estd::folder("[\"localhost\"]");
    let at = folder.path();
    recipient(at, "rsa", "RSA:2048", &["keyUsage=keyEncipherment"]);
    recipient(at, "p256", "EC", &["keyUsage=keyAgreement"]);
    recipient(at, "p384", "P-384", &[]);
    let keys = at.join("decrypt-keys");
    fs::write(&keys, format!("line-7:{KEY}\n")).unwrap();
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o600)).unwrap();
    let path = at.join("est.toml");
    let text = fs::read_to_string(&path).unwrap();
    let changes = [
        ("serverkeygen = \"off\"", "serverkeygen = \"on\""),
        ("# keys_file = \"decrypt-keys\"", "keys_file = \"decrypt-keys\""),
        ("recipients = []", "recipients = [\"rsa.pem\", \"p256.pem\", \"p384.pem\"]"),
    ];
    let text = changes.iter().fold(text, |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    });
    fs::write(&path, format!("{text}\n[label.encrypted]\nserverkeygen = \"encrypted\"\n")).unwrap();
    folder
}

/// A start at the most verbose log level.
fn start_talkative(folder: tempfile::TempDir) -> Estd {
    let mut command = Command::new("sh");
    // Estd::start_by sets ESTD_LOG=warn.
    command.args(["-c", "ESTD_LOG=trace exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_estd")]);
    Estd::start_by(command, folder)
}

/// Posts a CSR by curl; the answer's parts.
fn ask(estd: &Estd, label: &str, csr: &[u8]) -> Vec<Part> {
    let at = |name: &str| estd.path(name).display().to_string();
    fs::write(at("csr.b64"), crate::common::wrapped(csr)).unwrap();
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--fail-with-body", "--cacert"])
        .arg(estd.anchor())
        .args(["-u", &format!("enroll:{}", estd.password)])
        .args(["-H", "Content-Type: application/pkcs10"])
        .args(["--data-binary", &format!("@{}", at("csr.b64"))])
        .args(["-D", &at("headers"), "-o", &at("body")])
        .arg(format!("https://localhost:{}/.well-known/est/{label}serverkeygen", estd.port));
    good("curl", curl.output().unwrap());
    let headers = fs::read_to_string(at("headers")).unwrap();
    let content_type =
        headers.lines().find_map(|line| line.strip_prefix("Content-Type: ")).unwrap();
    let parts = parts(content_type.trim(), &fs::read(at("body")).unwrap());
    assert_eq!(parts.len(), 2);
    for name in ["csr.b64", "headers", "body"] {
        fs::remove_file(at(name)).unwrap();
    }
    parts
}

/// The ways to encrypt a key, each with openssl's arguments to decrypt it.
fn ways(estd: &Estd) -> Vec<(&'static str, Wanted, Vec<String>)> {
    let certificate = |name: &str| {
        let (pem, key) = (format!("{name}.pem"), format!("{name}.key"));
        let file = |name: &str| estd.path(name).display().to_string();
        vec!["-recip".to_owned(), file(&pem), "-inkey".to_owned(), file(&key)]
    };
    let id = |name: &str| {
        let pem = fs::read_to_string(estd.path(&format!("{name}.pem"))).unwrap();
        let der = crate::common::Identity { pem, key: String::new() }.der();
        estd::pki::Certificate::parse(&der).unwrap().subject_key_identifier().unwrap().to_vec()
    };
    let secret = ["-secretkey", KEY, "-secretkeyid", &hex(b"line-7")].map(str::to_owned).to_vec();
    vec![
        (
            "symmetric",
            Wanted::new("EC", "CN=symmetric")
                .symmetric(b"line-7")
                .capabilities(&[AES_256_WRAP, AES_256_CBC]),
            secret,
        ),
        (
            "rsa, OAEP",
            Wanted::new("RSA:2048", "CN=rsa")
                .asymmetric(&id("rsa"))
                .capabilities(&[OAEP_SHA256, AES_128_CBC]),
            certificate("rsa"),
        ),
        (
            "rsa, PKCS #1 v1.5",
            Wanted::new("ED25519", "CN=rsa-old")
                .asymmetric(&id("rsa"))
                .capabilities(&[RSA_PKCS1, AES_128_CBC]),
            certificate("rsa"),
        ),
        (
            "ec",
            Wanted::new("EC", "CN=ec")
                .asymmetric(&id("p256"))
                .capabilities(&[ECDH_SHA256_AES_256, AES_256_CBC]),
            certificate("p256"),
        ),
        (
            "ec, P-384",
            Wanted::new("P-384", "CN=ec-384")
                .asymmetric(&id("p384"))
                .capabilities(&[ECDH_SHA384_AES_256, AES_256_CBC]),
            certificate("p384"),
        ),
    ]
}

/// All files under a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder)
        .unwrap()
        .flat_map(|entry| {
            let path = entry.unwrap().path();
            match fs::symlink_metadata(&path).unwrap().file_type() {
                kind if kind.is_dir() => files(&path),
                kind if kind.is_file() => vec![path],
                _ => Vec::new(),
            }
        })
        .collect()
}

/// Returns every form in which a private key could leak: its DER and the bytes of the secret numbers.
/// Both also in hexadecimal, and in base64 at each alignment.
fn forms(pkcs8: &[u8]) -> Vec<Vec<u8>> {
    let text = crate::common::openssl_with(&["pkey", "-inform", "DER", "-text", "-noout"], pkcs8);
    let text = String::from_utf8(text).unwrap();
    // RSA: privateExponent, prime1, prime2. Others: priv.
    let mut secrets = Vec::new();
    let mut digits: Option<String> = None;
    for line in text.lines().chain(["end:"]) {
        match (line.strip_prefix("    "), &mut digits) {
            (Some(more), Some(digits)) => digits.push_str(&more.replace(':', "")),
            (Some(_), None) => {}
            (None, _) => {
                secrets.extend(digits.take().map(|digits| unhex(&digits)));
                let secret = ["priv:", "privateExponent:", "prime1:", "prime2:"];
                digits = secret.contains(&line).then(String::new);
            }
        }
    }
    assert!(!secrets.is_empty(), "{text}");
    secrets.push(pkcs8.to_vec());
    let mut forms = Vec::new();
    for secret in secrets {
        let secret = secret.strip_prefix(&[0]).map(<[u8]>::to_vec).unwrap_or(secret);
        // The middle is enough; it avoids headers and the public half.
        let middle = &secret[secret.len() / 2 - 12..secret.len() / 2 + 12];
        forms.push(middle.to_vec());
        forms.push(hex(middle).into_bytes());
        forms.push(hex(middle).to_uppercase().into_bytes());
        for shift in 0..3 {
            let bytes = &middle[shift..shift + 21];
            forms.push(crate::common::base64(bytes).into_bytes());
        }
    }
    forms
}

/// Which of the forms are in which of the files.
fn found(files: &[PathBuf], forms: &[Vec<u8>]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        let bytes = fs::read(file).unwrap();
        // Base64 may be wrapped anywhere.
        let unwrapped: Vec<u8> =
            bytes.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
        for form in forms {
            let holds = |bytes: &[u8]| bytes.windows(form.len()).any(|part| part == form);
            if holds(&bytes) || holds(&unwrapped) {
                found.push(format!("{}: {}", file.display(), form.escape_ascii()));
            }
        }
    }
    found
}

/// proves: R-7030-4.4.2-d, R-7030-4.4.1.1-a, R-7030-4.4.1.2-a, R-7030-4.4-b
#[test]
fn openssl_opens_each_encrypted_key_and_nobody_else_has_it() {
    let estd = start_talkative(folder());
    let mut secrets = Vec::new();
    let mut serials = Vec::new();
    for (name, wanted, with) in ways(&estd) {
        for label in ["", "encrypted/"] {
            let parts = ask(&estd, label, &wanted.csr());
            let type_of_key = "application/pkcs7-mime; smime-type=server-generated-key";
            assert_eq!(parts[0].headers[0], format!("Content-Type: {type_of_key}"), "{name}");
            let with: Vec<&str> = with.iter().map(String::as_str).collect();
            let key = opened(&parts[0].der(), &with, &estd.anchor());
            let pem = certificate_of(&parts[1].der());
            assert_eq!(public_of_pkcs8(&key), public_of_certificate(&pem), "{name}");
            secrets.push(key);
            serials.push(serial(&pem));
        }
    }
    for kind in ["EC", "ED25519", "RSA:2048"] {
        let parts = ask(&estd, "", &Wanted::new(kind, "CN=clear").csr());
        assert_eq!(parts[0].headers[0], "Content-Type: application/pkcs8");
        let (key, pem) = (parts[0].der(), certificate_of(&parts[1].der()));
        assert_eq!(public_of_pkcs8(&key), public_of_certificate(&pem));
        secrets.push(key);
        serials.push(serial(&pem));
    }
    let listed = estd.operator(&["cert", "list"]);
    assert!(serials.iter().all(|serial| listed.contains(serial)), "{listed}");

    // Files written by the server: data folder and log, while it runs and after its end.
    let written = |folder: &Path| [files(&folder.join("data")), vec![folder.join("log")]].concat();
    let forms: Vec<Vec<u8>> = secrets.iter().flat_map(|key| forms(key)).collect();
    let log = fs::read_to_string(estd.path("log")).unwrap();
    assert!(log.matches("made here").count() == secrets.len(), "it talks: {log}");
    assert_eq!(found(&written(estd.folder.path()), &forms), Vec::<String>::new());
    let folder = estd.stop();
    let files = written(folder.path());
    assert_eq!(found(&files, &forms), Vec::<String>::new());
    // The search works: it finds the certificates' serial numbers, and a planted key.
    for serial in &serials {
        assert!(!found(&files, &[unhex(serial)]).is_empty(), "{serial}");
    }
    let planted = folder.path().join("planted");
    for key in &secrets {
        for bytes in [key.clone(), crate::common::wrapped(key).into_bytes()] {
            fs::write(&planted, bytes).unwrap();
            assert!(!found(std::slice::from_ref(&planted), &self::forms(key)).is_empty());
        }
    }
}

/// A certificate's serial number in hexadecimal.
fn serial(pem: &[u8]) -> String {
    let text = crate::common::openssl_with(&["x509", "-noout", "-serial"], pem);
    String::from_utf8(text).unwrap().trim().strip_prefix("serial=").unwrap().to_lowercase()
}

#[test]
fn bouncy_castle_and_curl_have_keys_made() {
    let estd = Estd::start_in(folder());
    for keys in ["ec", "rsa"] {
        for (tls, version) in [("1.2", "TLSv1.2"), ("1.3", "TLSv1.3")] {
            let out = format!("curl-{keys}-{tls}");
            Call::new(&estd, &out)
                .with("EST_KEYTYPE", keys)
                .with("EST_TLS", tls)
                .basic()
                .curl("serverkeygen");
            let out = format!("bc-{keys}-{tls}");
            Call::new(&estd, &out)
                .with("EST_KEYTYPE", keys)
                .with("EST_TLS", version)
                .basic()
                .bouncy_castle("serverkeygen");
            let at = |name: &str| fs::read(estd.path(&out).join(name)).unwrap();
            let key = pkcs8_of(&String::from_utf8(at("newkey.pem")).unwrap());
            assert_eq!(public_of_pkcs8(&key), public_of_certificate(&at("newcert.pem")), "{out}");
        }
    }
    // Their certificates renew themselves.
    Call::new(&estd, "again").certificate("curl-ec-1.3", "new.pem", "new.key").curl("reenroll");
}

/// Restores the PKCS#8 that Bouncy Castle read: its PEM writer prints only the EC key inside, without
/// the curve.
fn pkcs8_of(pem: &str) -> Vec<u8> {
    let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = crate::common::openssl_with(&["base64", "-d", "-A"], base64.as_bytes());
    if !pem.contains("BEGIN EC PRIVATE KEY") {
        return crate::common::openssl_with(&["pkey", "-outform", "DER"], pem.as_bytes());
    }
    let p256 = unhex("301306072a8648ce3d020106082a8648ce3d030107");
    tlv(0x30, &[vec![2, 1, 0], p256, tlv(4, &der)].concat())
}

/// The program's own client: clear and encrypted in each way, with each kind of key; then it re-enrolls.
#[test]
fn est_has_keys_made() {
    let estd = Estd::start_in(folder());
    let est = |arguments: &[&str]| estd.est(arguments).output().unwrap();
    let common = ["serverkeygen", "--user", "enroll", "--subject", "CN=d"];
    let by_certificate = |pem, key| vec!["--decrypt-cert", pem, "--decrypt-cert-key", key];
    let ways: [(&str, Vec<&str>); 5] = [
        ("clear", vec![]),
        ("symmetric", vec!["--decrypt-key", "decrypt-keys"]),
        ("rsa", by_certificate("rsa.pem", "rsa.key")),
        ("p256", by_certificate("p256.pem", "p256.key")),
        ("p384", by_certificate("p384.pem", "p384.key")),
    ];
    for (name, way) in &ways {
        let kinds: &[&str] = match *name {
            "clear" => &["p-256", "p-384", "p-521", "ed25519", "rsa-2048"],
            _ => &["p-256", "p-521"],
        };
        for kind in kinds {
            for tls in ["1.2", "1.3"] {
                let out = format!("made-{name}-{kind}-{tls}");
                let label = if *name == "clear" { &[][..] } else { &["--label", "encrypted"] };
                let more = ["--key-type", kind, "--tls", tls, "--out", &out];
                good(&out, est(&[&common[..], way, label, &more].concat()));
                let at = |name: &str| estd.path(&out).join(name);
                let mode = fs::metadata(at("key.pem")).unwrap().permissions().mode();
                assert_eq!(mode & 0o777, 0o600);
                let key = fs::read(at("key.pem")).unwrap();
                let public = crate::common::openssl_with(&["pkey", "-pubout"], &key);
                let certificate = fs::read(at("cert.pem")).unwrap();
                assert_eq!(public, public_of_certificate(&certificate), "{out}");
                let mut left: Vec<_> = fs::read_dir(estd.path(&out))
                    .unwrap()
                    .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                    .collect();
                left.sort();
                assert_eq!(left, [".est.lock", "ca.pem", "cert.pem", "key.pem"]);
            }
        }
    }
    let out = "made-symmetric-p-256-1.3";
    let again = est(&[&common[..], &["--out", out]].concat());
    assert_eq!(again.status.code(), Some(1), "a key exists");
    good("force", est(&[&common[..], &["--out", out, "--force"]].concat()));
    good("reenroll", est(&["reenroll", "--out", out]));
    // With a key unknown to the server, or another key of the same name: nothing is written.
    let wrong = estd.path("wrong-key");
    // An unusable file is a wrong argument (docs/est.md).
    for (text, said, code) in [
        (format!("other:{KEY}\n"), "keygen.unknown-key", 1),
        (format!("line-7:{}\n", "ab".repeat(32)), "unwrap the content key", 1),
        (format!("a:{KEY}\nb:{KEY}\n"), "not exactly one key", 2),
    ] {
        fs::write(&wrong, text).unwrap();
        let rejected =
            est(&[&common[..], &["--decrypt-key", "wrong-key", "--out", "nowhere"]].concat());
        assert_eq!(rejected.status.code(), Some(code));
        let text = String::from_utf8_lossy(&rejected.stderr).into_owned();
        assert!(text.contains(said) && !text.contains(KEY), "{text}");
        assert!(!estd.path("nowhere/key.pem").exists());
    }
    let clear = est(&[&common[..], &["--label", "encrypted", "--out", "nowhere"]].concat());
    let text = String::from_utf8_lossy(&clear.stderr).into_owned();
    assert!(text.contains("keygen.encryption-required"), "{text}");
}
