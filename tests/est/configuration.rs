//! Compares the keys that need a restart by est.toml and docs/configuration.md with the types.

use crate::common::stranger;
use estd::config::{self, BootSettings, LiveSettings, Settings};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
};
use toml::{Table, Value};

/// A key of est.toml: its section, its name, its value, and whether the comment says `restart`.
struct Key {
    section: String,
    name: String,
    value: Value,
    restart: bool,
}

/// Returns the marked keys of est.toml, including those commented out.
fn keys() -> Vec<Key> {
    let (mut section, mut keys) = (String::new(), Vec::new());
    for line in include_str!("../../est.toml").lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            section = name.to_owned();
        }
        let text = line.strip_prefix("# ").unwrap_or(line);
        let Ok(table) = text.parse::<Table>() else { continue };
        let Some((name, value)) = table.into_iter().find(|(_, value)| !value.is_table()) else {
            continue;
        };
        let comment = text.rsplit_once("# ").map_or("", |(_, comment)| comment);
        let restart = comment.starts_with("restart");
        if restart || comment.starts_with("reload") {
            keys.push(Key { section: section.clone(), name, value, restart });
        } else {
            assert!(name == "version" || line.starts_with('#'), "{line}: neither mark");
        }
    }
    keys
}

fn set(table: &mut Table, section: &str, key: &str, value: Option<&Value>) {
    let mut at = table;
    for part in section.split('.').filter(|part| !part.is_empty()) {
        at = at.entry(part).or_insert(Value::Table(Table::new())).as_table_mut().unwrap();
    }
    match value {
        Some(value) => at.insert(key.to_owned(), value.clone()),
        None => at.remove(key),
    };
}

/// Values of which at least one is valid for each key, and not its default.
fn values(folder: &Path) -> Vec<Value> {
    let words = "1m 2m 40m 8d 100d 4000d 80% new supersede p-384 rsa-2048 quiet memory password any required off encrypted \
                 line rfc8951 reject other factory gateway SET 2027-01-01 CN=other passphrase decrypt-keys s-ca.pem \
                 registered";
    let lists = "dns ip p-384 1.2.3.4 sha384 O=Example keyAgreement digitalSignature clientAuth serverAuth \
                 digest 192.0.2.1 est.example 127.0.0.1:1 s-ca.pem";
    let text = |word: &str| Value::from(word);
    assert!(folder.join("s-ca.pem").exists());
    words
        .split_whitespace()
        .map(text)
        .chain(lists.split_whitespace().map(|word| Value::from(vec![text(word)])))
        .chain([Value::from(vec![Value::from(vec![text("certificate"), text("password")])])])
        .chain([
            Value::from(vec![text(&"0f".repeat(32))]),
            Value::from(vec![text("dns:a.example")]),
        ])
        .chain([true, false].map(Value::from))
        .chain([5, 1100, 2048].map(|number: i64| Value::from(number)))
        .collect()
}

/// est.toml with the other settings that some keys require.
fn contexts() -> Vec<Table> {
    let example: Table = include_str!("../../est.toml").parse().unwrap();
    let with = |changes: &[(&str, &str, Option<&str>)]| {
        let mut table = example.clone();
        for (section, key, value) in changes {
            set(&mut table, section, key, value.map(Value::from).as_ref());
        }
        table
    };
    vec![
        with(&[
            ("ca.factory", "root_subject", Some("CN=factory root")),
            ("ca.factory", "issuing_subject", Some("CN=factory issuing")),
            ("profile.gateway", "validity", Some("30d")),
        ]),
        with(&[
            ("est.renewal", "predecessor", Some("supersede")),
            ("ca.default", "unknown_certificates", Some("renew-own-names")),
            ("ca.default", "unknown_certificates_until", Some("2026-12-31")),
            ("store", "cache_mib", None),
        ]),
        with(&[
            ("est.names", "mode", Some("match")),
            ("est.names", "subject", Some("CN={account}")),
        ]),
        with(&[
            ("store", "cache_mib", None),
            ("store", "backend", Some("postgres")),
            ("store", "connection", Some("host=db1 sslmode=require")),
            ("store", "tls_ca", Some("twice.pem")),
        ]),
    ]
}

fn read(table: &Table, folder: &Path) -> Option<Settings> {
    let text = toml::to_string(table).unwrap();
    config::parse(&text, &folder.join("est.toml"), &|name| Some(format!("secret of {name}"))).ok()
}

#[test]
fn each_key_is_marked_as_its_type_says() {
    let folder = tempfile::tempdir().unwrap();
    let (folder, _) = (folder.path(), stranger(folder.path(), "/CN=stranger", ""));
    for (name, text) in
        [("passphrase", "secret".to_owned()), ("decrypt-keys", format!("a:{}", "0f".repeat(16)))]
    {
        fs::write(folder.join(name), text).unwrap();
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    let anchor = fs::read_to_string(folder.join("s-ca.pem")).unwrap();
    fs::write(folder.join("twice.pem"), anchor.repeat(2)).unwrap();
    let (values, contexts) = (values(folder), contexts());
    for key in keys() {
        let mut seen = BTreeSet::new();
        for before in &contexts {
            let old = read(before, folder).unwrap();
            let alike = |value: &&Value| value.same_type(&key.value);
            for value in values.iter().filter(alike).chain([&key.value]) {
                let mut after = before.clone();
                set(&mut after, &key.section, &key.name, Some(value));
                if key.name == "unknown_certificates" {
                    // "reject" has no end.
                    set(&mut after, &key.section, "unknown_certificates_until", None);
                }
                let Some(new) = read(&after, folder) else { continue };
                let (boot, live): (&BootSettings, &LiveSettings) = (&new.boot, &new.live);
                seen.extend((old.boot != *boot).then_some("restart"));
                seen.extend((old.live != *live).then_some("reload"));
                assert_eq!(old.boot == *boot, old.boot.differences(boot).is_empty());
                assert_eq!(old.live == *live, old.live.differences(live).is_empty());
                if old != new {
                    break;
                }
            }
        }
        let marked = if key.restart { "restart" } else { "reload" };
        assert_eq!(seen, BTreeSet::from([marked]), "[{}] {}", key.section, key.name);
    }
}

#[test]
fn the_page_lists_what_a_reload_changes() {
    let mut sections: BTreeMap<usize, (String, Vec<Key>)> = BTreeMap::new();
    for key in keys() {
        let known = sections.values().position(|(section, _)| *section == key.section);
        let at = known.unwrap_or(sections.len());
        sections.entry(at).or_insert_with(|| (key.section.clone(), Vec::new())).1.push(key);
    }
    let page = include_str!("../../docs/configuration.md");
    for (section, keys) in sections.values() {
        let name = match section.as_str() {
            "" => "(top)".to_owned(),
            "est" => "`[est]`, `[label.NAME]`".to_owned(),
            "est.names" => "`[est.names]`, `[label.NAME.names]`".to_owned(),
            "est.renewal" => "`[est.renewal]`, `[label.NAME.renewal]`".to_owned(),
            "est.csrattrs" => "`[est.csrattrs]`, `[label.NAME.csrattrs]`".to_owned(),
            other => format!("`[{}]`", other.replace("default", "NAME").replace("device", "NAME")),
        };
        let named = |restart: bool| {
            let (these, others): (Vec<_>, Vec<_>) =
                keys.iter().partition(|key| key.restart == restart);
            match (these.len(), others.len()) {
                (_, 0) if !section.is_empty() => "all".to_owned(),
                (most, few) if few > 0 && most > few => "all others".to_owned(),
                _ => {
                    these.iter().map(|key| format!("`{}`", key.name)).collect::<Vec<_>>().join(", ")
                }
            }
        };
        let row = format!("| {name} | {} | {} |\n", named(false), named(true));
        assert!(page.contains(&row), "docs/configuration.md lacks: {row}");
    }
}
