use super::*;
use crate::config::StoreSettings;

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
