//! Tests of the loader: each form of a setting, each error with its remedy.
//!
//! Longer than 500 lines, because most of them are tables of settings and errors.

use super::*;
use crate::{config::StoreSettings, policy::Proof};

fn read(text: &str) -> Result<Settings, SettingErrors> {
    parse(text, Path::new("/etc/estd/est.toml"), &|name| {
        (name == "SET").then(|| "secret".to_owned())
    })
}

fn errors(text: &str) -> Vec<(&'static str, String)> {
    read(text).unwrap_err().0.into_iter().map(|error| (error.code, error.key)).collect()
}

#[test]
fn the_annotated_example_works_and_shows_the_defaults() {
    let text = include_str!("../../../est.toml");
    let example = read(text).unwrap();
    assert_eq!(example, read("version = 1").unwrap());
}

#[test]
fn paths_start_from_the_folder_of_the_file() {
    let settings = read("version = 1").unwrap();
    assert_eq!(settings.boot.data, Path::new("/etc/estd/data"));
    assert_eq!(settings.boot.audit.file, Path::new("/etc/estd/data/audit.jsonl"));
    assert_eq!(
        read("version = 1\ndata = \"/var/lib/estd\"").unwrap().boot.data,
        Path::new("/var/lib/estd")
    );
}

#[test]
fn all_errors_are_reported_at_once() {
    let text = r#"
        version = 2
        dta = "x"
        [server]
        listen = ["nowhere"]
        max_body = 3
        header_timeout = 30
        [est]
        ca = "other"
        accept = ["none"]
        [profile.device]
        validity = "soon"
        extended_key_usage = ["anyExtendedKeyUsage"]
        [label.cacerts]
    "#;
    let seen = errors(text);
    for wanted in [
        ("E-CONFIG-VERSION", "version"),
        ("E-CONFIG-UNKNOWN-KEY", "dta"),
        ("E-CONFIG-VALUE", "[server] listen"),
        ("E-CONFIG-VALUE", "[server] max_body"),
        ("E-CONFIG-TYPE", "[server] header_timeout"),
        ("E-CONFIG-REFERENCE", "[est] ca"),
        ("E-CONFIG-VALUE", "[est] accept"),
        ("E-CONFIG-VALUE", "[profile.device] validity"),
        ("E-CONFIG-VALUE", "[profile.device] extended_key_usage"),
        ("E-CONFIG-VALUE", "[label.cacerts]"),
    ] {
        assert!(seen.contains(&(wanted.0, wanted.1.to_owned())), "{wanted:?} in {seen:?}");
    }
}

#[test]
fn an_error_names_file_key_value_and_remedy() {
    let errors = read("version = 1\n[server]\nlisen = 1").unwrap_err();
    assert_eq!(
        errors.to_string(),
        "E-CONFIG-UNKNOWN-KEY /etc/estd/est.toml: [server] lisen: unknown key\n  remedy: did you mean \"listen\"? Otherwise remove it"
    );
    // No suggestion for a key that resembles none.
    let errors = read("version = 1\nzzz = 1").unwrap_err().to_string();
    assert!(errors.contains("zzz: unknown key\n  remedy: remove it; known keys: "), "{errors}");
    for path in ["", "a\\u0000b"] {
        let errors = read(&format!("version = 1\n[audit]\nfile = \"{path}\"")).unwrap_err();
        assert!(errors.to_string().contains("expected: a path"), "{errors}");
    }
    let errors = read("version = 1\n[server]\nlisten = [\"x\"]").unwrap_err();
    assert_eq!(
        errors.0.first().unwrap().to_string(),
        "E-CONFIG-VALUE /etc/estd/est.toml: [server] listen = [\"x\"]: got \"x\"; expected: an address and port\n  remedy: write it as \"0.0.0.0:8443\" or \"[::]:8443\""
    );
}

#[test]
fn the_page_shows_the_errors_that_are_printed() {
    let page = include_str!("../../../docs/configuration.md");
    let block = |kind: &str, number: usize| {
        let start =
            page.match_indices(&format!("```{kind}\n")).nth(number).unwrap().0 + kind.len() + 4;
        page[start..].split("```").next().unwrap()
    };
    let errors = parse(block("toml", 1), Path::new("est.toml"), &|_| None).unwrap_err();
    assert_eq!(errors.to_string().trim(), block("text", 0).trim());
}

#[test]
fn an_audit_file_has_limits_that_can_be_switched_off_and_a_node_has_a_plain_name() {
    let audit = |more: &str| read(&format!("version = 1\n[audit]\n{more}")).map(|s| s.boot.audit);
    let off = audit("max_mib = 0\nreserve_mib = 0\nnode = \"est-1.example\"").unwrap();
    assert_eq!((off.max, off.reserve, off.node.as_deref()), (0, 0, Some("est-1.example")));
    let usual = audit("").unwrap();
    assert_eq!((usual.max, usual.keep, usual.reserve), (32 << 20, 4, 64 << 20));
    for wrong in ["keep = 0", "max_mib = -1", "node = \"\"", "node = \"a b\"", "node = 1"] {
        assert_eq!(audit(wrong).unwrap_err().0.len(), 1, "{wrong}");
    }
}

#[test]
fn a_syntax_error_names_the_line() {
    let errors = read("version = 1\n[server\n").unwrap_err();
    assert_eq!(errors.0.len(), 1);
    assert!(errors.to_string().contains("line 2"), "{errors}");
}

#[test]
fn a_missing_file_is_an_error() {
    let errors = load(Path::new("/nonexistent/est.toml"), &|_| None).unwrap_err();
    assert_eq!(errors.0.first().unwrap().code, "E-CONFIG-FILE");
}

#[test]
fn a_profile_for_an_ra_needs_a_label_with_a_password() {
    let ra = "version = 1\n[profile.ra]\nextended_key_usage = [\"clientAuth\", \"cmcRA\"]\n";
    assert!(read(&format!("{ra}[label.ra]\nprofile = \"ra\"\naccept = [\"password\"]")).is_ok());
    assert!(read(&format!("{ra}[label.ra]\nprofile = \"ra\"")).is_err());
    assert!(read(&format!("{ra}[est]\nprofile = \"ra\"\naccept = [\"password\"]")).is_err());
}

/// The only error of a configuration, with its remedy.
fn one_error(text: &str) -> (&'static str, String, String) {
    let mut errors = read(text).unwrap_err().0;
    assert_eq!(errors.len(), 1, "{text}: {errors:?}");
    let error = errors.remove(0);
    (error.code, error.to_string(), error.remedy)
}

/// Each key of a former version is rejected with lines that replace it, made from its value. Those lines
/// are accepted.
#[test]
fn a_former_key_is_rejected_with_its_new_form() {
    let both = r#"["certificate", "password:digest-md5"], ["certificate", "password:digest"]"#;
    let two = r#"schemes = ["digest-md5", "digest"]"#;
    for (old, accept, renewal) in [
        ("authentication = \"either\"", r#""certificate", "password", "ra""#, None),
        ("authentication = \"certificate\"", r#""certificate", "ra""#, None),
        ("authentication = \"password\"", r#""password""#, None),
        (
            "authentication = \"both\"",
            r#"["certificate", "password"]"#,
            Some(r#"["certificate", "password"]"#),
        ),
        (two, r#""certificate", "password:digest-md5", "password:digest", "ra""#, None),
        (
            r#"schemes = ["digest", "basic"]"#,
            r#""certificate", "password:digest", "password", "ra""#,
            None,
        ),
        (
            &format!("authentication = \"password\"\n{two}"),
            r#""password:digest-md5", "password:digest""#,
            None,
        ),
        (&format!("authentication = \"both\"\n{two}"), both, Some(both)),
    ] {
        for section in ["est", "label.a"] {
            let mut new = format!("write instead: accept = [{accept}]");
            if !old.contains("authentication = \"password\"") {
                new +=
                    "; for other CAs also \"manufacturer:NAME\" with a section [manufacturer.NAME]";
            }
            let mut replacement = format!("[{section}]\naccept = [{accept}]\n");
            if let Some(renewal) = renewal {
                new += &format!("; and under [{section}.renewal] accept = [{renewal}]");
                replacement += &format!("[{section}.renewal]\naccept = [{renewal}]\n");
            }
            let found = read(&format!("version = 1\n[{section}]\n{old}")).unwrap_err().0;
            assert_eq!(found.len(), old.lines().count(), "{found:?}");
            for (error, line) in found.iter().zip(old.lines()) {
                assert_eq!((error.code, &error.remedy), ("E-CONFIG-FORMER-KEY", &new), "{old}");
                let text = error.to_string();
                assert!(text.contains(&format!("[{section}] {line}: ")), "{text}");
                assert!(text.contains("got a key of a former version"), "{text}");
            }
            read(&format!("version = 1\n{replacement}")).unwrap();
        }
    }
    for (old, key, new) in [
        ("certificate_names = \"own\"", "names", "mode = \"own\""),
        ("certificate_names = \"any\"", "names", "mode = \"any\""),
        ("renew = false", "renewal", "key = \"new\""),
        ("rekey = false", "renewal", "key = \"same\""),
        ("renew = true", "renewal", "key = \"either\""),
        ("rekey = true", "renewal", "key = \"either\""),
        ("expired_grace = \"7d\"", "renewal", "grace = \"7d\""),
    ] {
        for section in ["est", "label.a"] {
            let (code, text, remedy) = one_error(&format!("version = 1\n[{section}]\n{old}"));
            assert_eq!(code, "E-CONFIG-FORMER-KEY");
            assert!(text.contains(&format!("[{section}] {old}: ")), "{text}");
            assert_eq!(remedy, format!("write instead: under [{section}.{key}] {new}"));
            read(&format!("version = 1\n[{section}.{key}]\n{new}")).unwrap();
        }
    }
    for old in ["renew = false\nrekey = true", "rekey = true\nrenew = false"] {
        let found = read(&format!("version = 1\n[est]\n{old}")).unwrap_err().0;
        assert_eq!(found.len(), 2);
        let new = "write instead: under [est.renewal] key = \"new\"";
        assert!(found.iter().all(|error| error.remedy == new), "{found:?}");
    }
    let (code, text, remedy) = one_error(
        "version = 1\n[client_trust]\nexplicit = [\"a.pem\"]\nimplicit = [\"b.pem\", \"c.pem\"]",
    );
    assert_eq!(code, "E-CONFIG-FORMER-KEY");
    assert!(text.contains(": [client_trust]: got a section of a former version\n"), "{text}");
    assert_eq!(
        remedy,
        "write instead: under [manufacturer.NAME] anchors = [\"a.pem\", \"b.pem\", \"c.pem\"]; and \"manufacturer:NAME\" in accept of each label that takes these certificates"
    );
}

#[test]
fn each_error_of_accept_names_the_value_and_a_remedy() {
    const EXAMPLE: &str = "any of these; an inner list: all of it";
    let proofs = format!("got \"passwort\"; expected: one of {}", Proof::WORDS);
    for (accept, error, remedy) in [
        ("[]", "got no list of proofs; expected: at least one", EXAMPLE),
        ("\"password\"", "got no list of proofs; expected: at least one", EXAMPLE),
        ("[\"passwort\"]", proofs.as_str(), EXAMPLE),
        ("[\"manufacturer\"]", "got \"manufacturer\"; expected: one of certificate, ", EXAMPLE),
        ("[\"certificate:\"]", "a label is 1 to 64 characters", EXAMPLE),
        ("[\"manufacturer:a b\"]", "got \"a b\"", EXAMPLE),
        ("[1]", "got a value that is no string; expected: proofs", EXAMPLE),
        ("[[\"certificate\", 1]]", "got a value that is no string; expected: proofs", EXAMPLE),
        ("[[]]", "got an empty list, which anybody fulfills; expected: proofs", EXAMPLE),
        ("[\"ra\", \"ra\"]", "got one alternative twice; expected: each once", EXAMPLE),
        (
            "[[\"password\", \"password\"]]",
            "got password twice in one list; expected: each proof once",
            EXAMPLE,
        ),
        (
            "[[\"password\", \"password:digest\"]]",
            "got several schemes of passwords in one list; expected: one, because a request has one password",
            "write an alternative for each scheme",
        ),
        (
            "[[\"certificate\", \"ra\"]]",
            "got several certificates in one list; expected: one, because a connection has one certificate",
            "write an alternative for each certificate",
        ),
        (
            "[\"password:digest\", \"password:digest-md5\"]",
            "got password:digest before password:digest-md5",
            "write password:digest-md5 before password:digest: other clients choose the better one",
        ),
    ] {
        for section in ["est", "label.a"] {
            let (code, text, found) =
                one_error(&format!("version = 1\n[{section}]\naccept = {accept}"));
            assert_eq!(code, "E-CONFIG-VALUE");
            assert!(text.contains(&format!("[{section}] accept = ")), "{text}");
            assert!(text.contains(error) && found.ends_with(remedy), "{accept}: {text}");
        }
    }
    for (accept, error, remedy) in [
        (
            "manufacturer:acme",
            "got \"manufacturer:acme\"; expected: a manufacturer of this file",
            "add a section [manufacturer.NAME], or name one of: none",
        ),
        (
            "certificate:b",
            "got \"certificate:b\"; expected: a label of this file",
            "add a section [label.NAME], or name one of: a",
        ),
    ] {
        let (code, text, found) =
            one_error(&format!("version = 1\n[label.a]\naccept = [\"{accept}\"]"));
        assert_eq!((code, found.as_str()), ("E-CONFIG-REFERENCE", remedy));
        assert!(text.contains(&format!("[label.a] accept: {error}")), "{text}");
    }
    let key = "0f".repeat(32);
    let (_, text, remedy) = one_error(&format!(
        "version = 1\n[label.a]\naccept = [\"certificate\"]\nra_keys = [\"{key}\"]"
    ));
    assert!(text.contains("[label.a] ra_keys: got keys of registration authorities, and accept has no ra; expected: both or none"), "{text}");
    assert_eq!(remedy, "add \"ra\" to accept, or remove ra_keys");
    let nowhere = |accept: &str| {
        format!(
            "version = 1\n[profile.web]\nextended_key_usage = [\"serverAuth\"]\n[label.a]\nprofile = \"web\"\naccept = {accept}"
        )
    };
    let (code, text, remedy) = one_error(&nowhere("[\"certificate\"]"));
    assert_eq!(code, "E-CONFIG-VALUE");
    assert!(text.contains("[label.a] profile: got profile web without clientAuth"), "{text}");
    assert!(remedy.starts_with("add clientAuth to extended_key_usage"), "{remedy}");
    assert!(read(&nowhere("[\"certificate\", \"password\"]")).is_ok());
    let (_, text, remedy) = one_error("version = 1\n[est]\nra_keys = [\"0f\"]");
    assert!(text.contains("expected: SHA-256 of a SubjectPublicKeyInfo: 64 hexadecimal digits"));
    assert!(remedy.starts_with("openssl x509 -in RA.pem -pubkey"), "{remedy}");
}

#[test]
fn each_error_of_renewal_names_the_value_and_a_remedy() {
    for (keys, error, remedy) in [
        (
            "window = \"soon\"",
            "[est.renewal] window = \"soon\": got \"soon\"; expected: a part or a duration",
            "write the part of the lifetime that is left at most, such as \"50%\", or a duration, such as \"30d\"",
        ),
        (
            "window = \"20%\"",
            "window = \"20%\": renewal is due with 30days left, and the window opens with 18days left; expected: no later than it is due (D-39)",
            "write a larger window, or a later due",
        ),
        (
            "window = \"29d\"",
            "the window opens with 29days left",
            "write a larger window, or a later due",
        ),
        ("due = \"half\"", "got \"half\"", "write the part of the lifetime that has passed"),
        (
            "due = \"49%\"",
            "window opens with 1month 14days",
            "write a larger window, or a later due",
        ),
        ("grace = \"367d\"", "grace = \"367d\"", ""),
        (
            "key = \"other\"",
            "got \"other\"; expected: \"either\", \"new\", \"same\"",
            "write one of these",
        ),
        (
            "predecessor = \"revoke\"",
            "got \"revoke\"; expected: \"keep\", \"supersede\"",
            "write one of these",
        ),
        (
            "delay = \"1d\"",
            "got a delay, and the predecessor is kept; expected: predecessor = \"supersede\"",
            "write predecessor = \"supersede\", or remove delay",
        ),
        (
            "predecessor = \"supersede\"\ndelay = \"9m\"",
            "got 9m; expected: at least retry_window, which is 10m: a retry shows the predecessor (D-35)",
            "write a longer delay, or a shorter retry_window",
        ),
        (
            "accept = [\"password\"]",
            "got an alternative without certificate; expected: the certificate that is renewed",
            "a client that has lost its key enrolls again by simpleenroll",
        ),
    ] {
        let (code, text, found) = one_error(&format!("version = 1\n[est.renewal]\n{keys}"));
        assert_eq!(code, "E-CONFIG-VALUE");
        assert!(text.contains(error) && found.contains(remedy), "{keys}: {text}");
    }
    for other in ["ra", "certificate:a", "manufacturer:a"] {
        let text = format!(
            "version = 1\n[label.a]\n[est.renewal]\naccept = [\"certificate\", \"{other}\"]"
        );
        let found = read(&text).unwrap_err().to_string();
        assert!(
            found
                .contains(&format!("got {other}; expected: certificate, alone or with a password")),
            "{found}"
        );
    }
    // At the edge: due when the window opens, and a delay as long as the retry window.
    for keys in [
        "window = \"1/3\"",
        "window = \"30d\"",
        "due = \"50%\"",
        "window = \"100%\"\ndue = \"0\"",
        "predecessor = \"supersede\"\ndelay = \"10m\"",
        "accept = [[\"certificate\", \"password\"]]",
    ] {
        read(&format!("version = 1\n[est.renewal]\n{keys}")).unwrap();
    }
}

#[test]
fn each_error_of_a_manufacturer_names_the_file_and_a_remedy() {
    const REMEDY: &str = "name PEM files with one or more CA certificates and nothing else";
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let junk = write("junk.pem", "junk");
    let key = write("key.pem", "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n");
    let empty =
        write("empty.pem", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n");
    for (anchors, error) in [
        ("anchors = []".to_owned(), "got no file; expected: the anchors of this manufacturer"),
        (String::new(), "got no file; expected: the anchors of this manufacturer"),
        ("anchors = [\"/nonexistent\"]".to_owned(), "/nonexistent: No such file"),
        (format!("anchors = [{junk:?}]"), "junk.pem: "),
        (format!("anchors = [{key:?}]"), "got a private key; expected: certificates"),
        (format!("anchors = [{empty:?}]"), "empty.pem: "),
    ] {
        let (code, text, remedy) =
            one_error(&format!("version = 1\n[manufacturer.acme]\n{anchors}"));
        assert_eq!((code, remedy.as_str()), ("E-CONFIG-VALUE", REMEDY));
        assert!(text.contains("[manufacturer.acme] anchors"), "{text}");
        assert!(text.contains(error), "{anchors}: {text}");
    }
    let unknown =
        errors(&format!("version = 1\n[manufacturer.acme]\nanchors = [{junk:?}]\ncrl = 1"));
    assert!(unknown.contains(&("E-CONFIG-UNKNOWN-KEY", "[manufacturer.acme] crl".to_owned())));
    assert_eq!(
        errors("version = 1\n[manufacturer.\"a b\"]\n").first().unwrap().0,
        "E-CONFIG-VALUE"
    );
}

#[test]
fn a_passphrase_is_read_from_one_place_and_never_shown() {
    let settings = read("version = 1\n[keys]\npassphrase_env = \"SET\"").unwrap();
    assert_eq!(settings.boot.keys.passphrase.as_ref().unwrap().as_str(), "secret");
    assert!(!format!("{settings:?}").contains("secret"));
    assert!(read("version = 1\n[keys]\npassphrase_env = \"UNSET\"").is_err());
    assert!(
        read("version = 1\n[keys]\npassphrase_env = \"SET\"\npassphrase_file = \"x\"").is_err()
    );
}

#[test]
fn a_postgres_store_needs_a_host_and_a_choice_of_tls() {
    let with = |more: &str| read(&format!("version = 1\n[store]\nbackend = \"postgres\"\n{more}"));
    let local = "connection = \"host=/run/postgresql dbname=estd user=estd\"";
    let StoreSettings::Postgres(postgres) = with(local).unwrap().boot.store else {
        panic!("postgres")
    };
    assert_eq!(postgres.connection.get_dbname(), Some("estd"));
    assert_eq!((postgres.connections, postgres.patience), (8, Duration::from_secs(5)));
    let with_password = with(&format!("{local}\npassword_env = \"SET\"")).unwrap();
    assert!(!format!("{with_password:?}").contains("secret"));
    for (text, error) in [
        ("", "got none; expected: a connection string"),
        ("connection = \"nonsense\"", "connection"),
        ("connection = \"dbname=estd\"", "without host"),
        ("connection = \"host=db dbname=estd\"", "without sslmode"),
        ("connection = \"host=db dbname=estd sslmode=require\"", "trusts nobody"),
        ("connection = \"host=/run password=abc\"", "with a password"),
        ("connection = \"dbname=estd password=abc\"", "without host"),
        ("connection = \"host=db password=abc\"", "without sslmode"),
        ("connection = \"host=db pasword=abc\"", "unknown option `pasword`"),
        ("connection = \"postgres://estd:abc@db:port/estd\"", "invalid value for option `port`"),
        ("connection = \"host=/run\"\ncache_mib = 5", "a key of another backend"),
        ("connection = \"host=/run\"\nconnections = 3", "got 3; expected: 4 to 1000"),
        ("connection = \"host=/run\"\ntls_ca = \"/nonexistent\"", "tls_ca"),
    ] {
        let errors = with(text).unwrap_err().to_string();
        assert!(errors.contains(error), "{text}: {errors}");
        assert!(!errors.contains("abc"), "{errors}");
    }
    let sled = read("version = 1\n[store]\nconnection = \"host=/run\"").unwrap_err();
    assert!(sled.to_string().contains("a key of another backend"), "{sled}");
}

#[test]
fn a_passphrase_file_that_others_may_read_is_rejected() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("passphrase");
    fs::write(&path, "secret\n").unwrap();
    let text = format!("version = 1\n[keys]\npassphrase_file = {path:?}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(read(&text).is_err());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(read(&text).unwrap().boot.keys.passphrase.unwrap().as_str(), "secret");
}

#[test]
fn decryption_keys_are_read_from_private_files() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    let text = format!("version = 1\n[serverkeygen]\nkeys_file = {path:?}");
    let with = |keys: &str, mode: u32| {
        fs::write(&path, keys).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        read(&text)
    };
    let key = "0f".repeat(16);
    let settings = with(&format!("a:{key}\n"), 0o600).unwrap();
    assert_eq!(settings.live.decrypt_keys.symmetric.len(), 1);
    assert!(!format!("{settings:?}").contains(&key));
    for (keys, mode, error) in [
        (format!("a:{key}"), 0o640, "mode 640"),
        (format!("a:{key}\nb:{key}00"), 0o600, "line 2"),
        (format!("a:{key}\na:{key}"), 0o600, "twice"),
    ] {
        let errors = with(&keys, mode).unwrap_err().to_string();
        assert!(errors.contains(error) && !errors.contains(&key), "{errors}");
    }
    fs::remove_file(&path).unwrap();
    assert_eq!(errors(&text), [("E-CONFIG-VALUE", "[serverkeygen] keys_file".to_owned())]);
    let recipients = "version = 1\n[serverkeygen]\nrecipients = [\"/nonexistent\"]";
    assert_eq!(errors(recipients).len(), 1);
    for word in ["off", "on", "encrypted"] {
        assert!(read(&format!("version = 1\n[est]\nserverkeygen = \"{word}\"")).is_ok());
    }
    assert!(read("version = 1\n[est]\nserverkeygen = \"yes\"").is_err());
}

#[test]
fn reads_the_demands_on_a_csr() {
    let settings = read(
        r#"
        version = 1
        [profile.p]
        keys = ["p-256", "p-384"]
        digests = ["sha512"]
        require_subject = ["O=Example = 1", "cn", "2.5.4.5=a-1", "OU=a", "OU=b"]
        require_san = ["dns"]
        require_key_usage = ["digitalSignature", "keyAgreement"]
        require_extended_key_usage = ["clientAuth"]
        [est.csrattrs]
        form = "rfc9908"
        attributes = ["1.3.6.1.1.1.1.22", "1.2.3=hex:0C0161", "1.2.4=base64:DAFh"]
        "#,
    )
    .unwrap();
    let profile =
        settings.live.policies.profiles.values().find(|one| one.require_key_usage.is_some());
    let profile = profile.unwrap();
    let subject: Vec<(String, Option<&str>)> = profile
        .require_subject
        .iter()
        .map(|one| (one.kind.to_string(), one.value.as_deref()))
        .collect();
    let wanted = [
        ("2.5.4.10", Some("Example = 1")),
        ("2.5.4.3", None),
        ("2.5.4.5", Some("a-1")),
        ("2.5.4.11", Some("a")),
        ("2.5.4.11", Some("b")),
    ];
    assert_eq!(subject, wanted.map(|(kind, value)| (kind.to_owned(), value)));
    assert_eq!(profile.require_key_usage.unwrap().names(), ["digitalSignature", "keyAgreement"]);
    let values: Vec<_> = settings
        .live
        .policies
        .unlabeled
        .csrattrs
        .attributes
        .iter()
        .map(|one| one.value.clone())
        .collect();
    assert_eq!(values, [None, Some(vec![12, 1, 97]), Some(vec![12, 1, 97])]);
}

#[test]
fn a_demand_that_no_csr_can_meet_is_an_error() {
    for (keys, error) in [
        ("digests = []", "got an empty list"),
        ("digests = [\"sha1\"]", "got \"sha1\"; expected: a hash function"),
        ("digests = [\"sha256\", \"sha256\"]", "twice"),
        ("require_subject = [\"XX\"]", "got \"XX\"; expected: one of these types: CN "),
        ("require_subject = [\"C=Germany\"]", "two capital letters"),
        ("require_subject = [\"serialNumber=a_b\"]", "expected: characters"),
        ("require_subject = [\"O=\"]", "expected: characters"),
        ("require_subject = [\"O=a\", \"O=a\"]", "twice"),
        ("require_san = [\"dns\"]\nsan = [\"ip\"]", "expected: a kind that san accepts"),
        ("require_san = [\"other\"]\nsan = [\"other\"]", "whose form is known"),
        ("require_san = [\"dns\", \"dns\"]", "twice"),
        ("require_key_usage = [\"keyCertSign\"]", "expected: digitalSignature"),
        ("require_key_usage = [\"keyEncipherment\"]", "a key of kind p-256"),
        ("require_key_usage = [\"signing\"]", "expected: a key usage"),
        ("require_extended_key_usage = [\"serverAuth\"]", "that the profile gives"),
    ] {
        let text = format!("version = 1\n[profile.p]\n{keys}");
        let errors = read(&text).unwrap_err().to_string();
        assert!(errors.contains(error), "{keys}: {errors}");
    }
    for (attribute, error) in [
        ("x", "expected: an OID"),
        ("1.2.3=0c0161", "hex: or base64: before"),
        ("1.2.3=hex:0c01", "a value in DER"),
        ("1.2.3=hex:0c016161", "a value in DER"),
        ("1.2.3=hex:0c1", "a value in hexadecimal"),
        ("1.2.3=base64:%", "a value in base64"),
        ("1.2.840.113549.1.9.14", "require_*"),
        ("1.2.840.113549.1.9.7", "linking"),
        ("1.2.840.113549.1.9.16.2.61", "form"),
        ("2.5.29.17", "require_*"),
        ("2.5.4.3", "require_subject"),
        ("1.2.840.10045.4.3.3", "digests"),
        ("1.3.132.0.34", "keys"),
    ] {
        let text = format!("version = 1\n[label.a.csrattrs]\nattributes = [\"{attribute}\"]");
        let errors = read(&text).unwrap_err().to_string();
        assert!(errors.contains(error) && errors.contains("[label.a.csrattrs]"), "{errors}");
    }
    let twice = "version = 1\n[est.csrattrs]\nattributes = [\"1.2.3\", \"1.2.3=hex:0500\"]";
    assert!(read(twice).is_err());
    assert!(read("version = 1\n[est.csrattrs]\nform = \"both \"").is_err());
    assert!(read("version = 1\n[est.csrattrs]\nofer = true").is_err());
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
fn the_example_has_each_key() {
    let example = include_str!("../../../est.toml");
    let report = FileReport::new(Path::new("est.toml"));
    settings(&report, example.parse().unwrap(), &|_| None);
    let known = report.known.into_inner();
    assert!(known.len() > 40, "{known:?}");
    for key in known {
        let written = [format!("{key} ="), format!("[{key}"), format!(".{key}]")];
        assert!(written.iter().any(|text| example.contains(text)), "{key} is not in est.toml");
    }
}

#[test]
fn devices_are_any_without_a_quota_unless_a_label_says_otherwise() {
    use crate::policy::{DeviceMode, DeviceRules};
    let rules = |lines: &str| {
        let text = format!("version = 1\n[label.a]\n{lines}");
        let settings = read(&text).unwrap();
        settings.live.policies.labels.values().next().unwrap().devices
    };
    let any = DeviceRules { mode: DeviceMode::Any, quota: None, own_keys: false };
    assert_eq!(rules(""), any);
    assert_eq!(
        rules("quota = 2\nown_keys = true"),
        DeviceRules { quota: Some(2), own_keys: true, ..any }
    );
    let registered = DeviceRules { mode: DeviceMode::Registered, quota: None, own_keys: true };
    assert_eq!(rules("devices = \"registered\""), registered);
    let shared = DeviceRules { own_keys: false, ..registered };
    assert_eq!(rules("devices = \"registered\"\nown_keys = false"), shared);
    let in_time = DeviceRules { mode: DeviceMode::JustInTime, ..any };
    assert_eq!(rules("devices = \"just-in-time\""), in_time);
    for (lines, key) in [
        ("quota = 0", "[label.a] quota"),
        ("quota = 10001", "[label.a] quota"),
        ("devices = \"known\"", "[label.a] devices"),
        ("accept = [[\"token\", \"password\"]]", "[label.a] accept"),
        ("renewal.accept = [[\"certificate\", \"token\"]]", "[label.a.renewal] accept"),
    ] {
        let found = errors(&format!("version = 1\n[label.a]\n{lines}"));
        assert_eq!(found, [("E-CONFIG-VALUE", key.to_owned())], "{lines}");
    }
}

#[test]
fn a_variable_of_the_device_needs_devices_that_are_known() {
    let names = |devices: &str, variable: &str| {
        format!(
            "version = 1\n[label.a]\ndevices = \"{devices}\"\naccept = [\"token\"]\n\
             names.mode = \"set\"\nnames.subject = \"CN={{{variable}}}\"\n"
        )
    };
    for variable in ["device.id", "device.tag.site"] {
        assert!(read(&names("registered", variable)).is_ok());
        let found = errors(&names("any", variable));
        assert_eq!(found, [("E-CONFIG-REFERENCE", "[label.a] names".to_owned())]);
    }
    // A token is of no account.
    let found = errors(&names("registered", "account"));
    assert_eq!(found, [("E-CONFIG-REFERENCE", "[label.a] names".to_owned())]);
    let wrong = errors(&names("registered", "device.tag.Site"));
    assert_eq!(wrong, [("E-CONFIG-VALUE", "[label.a.names] subject".to_owned())]);
}
