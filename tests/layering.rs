//! Which module may name which, and which library lives where. docs/conventions.md has the map;
//! these two tables are what holds.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Each module of `src/` and the modules that it may name.
const MODULES: [(&str, &[&str]); 17] = [
    ("types", &[]),
    ("clock", &["types"]),
    ("entropy", &[]),
    ("telemetry", &["types", "clock"]),
    ("config", &["types"]),
    ("pki", &["types"]),
    ("store", &["types", "telemetry"]),
    ("ca", &["types", "entropy", "telemetry", "config", "pki", "store"]),
    ("ra", &["types", "clock", "entropy", "telemetry", "config", "pki", "store", "ca"]),
    ("est", &["types", "clock", "entropy", "telemetry", "config", "pki", "store", "ca", "ra"]),
    ("api", &[]),
    ("admin", &["types", "clock", "entropy", "telemetry", "pki", "store", "ca", "ra", "api"]),
    (
        "http",
        &["types", "clock", "entropy", "telemetry", "config", "pki", "est", "ra", "api", "admin"],
    ),
    (
        "server",
        &[
            "types",
            "clock",
            "entropy",
            "telemetry",
            "config",
            "pki",
            "store",
            "ca",
            "ra",
            "est",
            "admin",
            "http",
        ],
    ),
    ("client", &["types", "clock", "pki", "api"]),
    (
        "cli",
        &[
            "types",
            "clock",
            "entropy",
            "telemetry",
            "config",
            "pki",
            "store",
            "api",
            "admin",
            "server",
            "client",
        ],
    ),
    ("bin", &["cli"]),
];

/// Libraries that have a home, and the modules that may name them.
const LIBRARIES: [(&str, &[&str]); 20] = [
    ("hyper", &["http", "server", "client", "cli"]),
    ("hyper_util", &["server", "client"]),
    ("http_body_util", &["http", "client"]),
    ("httparse", &["http"]),
    ("rustls", &["server", "client"]),
    ("tokio_rustls", &["server", "client"]),
    ("webpki", &["server"]),
    ("sled", &["store"]),
    ("postcard", &["store"]),
    ("clap", &["cli"]),
    ("sd_notify", &["cli"]),
    ("toml", &["config"]),
    ("aws_lc_rs", &["entropy", "pki", "ra", "server", "client"]),
    ("cms", &["pki"]),
    ("x509_cert", &["pki", "config", "client"]),
    ("p256", &["pki"]),
    ("rsa", &["pki"]),
    ("pkcs8", &["pki"]),
    ("argon2", &["ra"]),
    ("tracing_subscriber", &["telemetry"]),
];

/// The module that a file belongs to: the first folder or file name below `src/`.
fn module_of(path: &str) -> &str {
    let first = path.split('/').next().unwrap();
    first.strip_suffix(".rs").unwrap_or(first)
}

/// The code of a source without comments, string contents and the unit tests at its end.
fn code(source: &str) -> Vec<String> {
    let mut out = Vec::new();
    for line in source.lines() {
        if line.starts_with("#[cfg(test)]") && !source.contains("#[cfg(test)]\nmod contract") {
            break;
        }
        let mut kept = String::new();
        let mut chars = line.chars().peekable();
        let (mut text, mut escaped) = (false, false);
        while let Some(c) = chars.next() {
            match c {
                '\\' if text && !escaped => escaped = true,
                '"' if !escaped => text = !text,
                '/' if !text && chars.peek() == Some(&'/') => break,
                c if !text => kept.push(c),
                _ => escaped = false,
            }
            if c != '\\' {
                escaped = false;
            }
        }
        out.push(kept);
    }
    out
}

/// What breaks the tables in one file, as `path:line: …`.
fn faults(path: &str, source: &str) -> Vec<String> {
    let own = module_of(path);
    if own == "lib" {
        return Vec::new();
    }
    let Some((_, allowed)) = MODULES.iter().find(|(module, _)| *module == own) else {
        return vec![format!(
            "src/{path}:1: module {own} is not on the map: add it to MODULES in tests/layering.rs"
        )];
    };
    let root = if own == "bin" { "estd::" } else { "crate::" };
    let mut out = Vec::new();
    let lines = code(source);
    // A `use crate::{` that is spread over lines counts where its names stand.
    let mut depth: Option<usize> = None;
    for (number, line) in lines.iter().enumerate() {
        let mut named: Vec<String> = Vec::new();
        for after in line.split(root).skip(1) {
            let name: String =
                after.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            named.push(name);
        }
        if line.contains(&format!("use {root}{{")) {
            depth = Some(0);
        }
        if let Some(level) = &mut depth {
            let inside =
                line.split_once(&format!("{root}{{")).map_or(line.as_str(), |(_, rest)| rest);
            if line.contains(&format!("{root}{{")) {
                *level += 1;
            }
            let mut word = String::new();
            for c in inside.chars() {
                match c {
                    c if c.is_ascii_alphanumeric() || c == '_' => word.push(c),
                    c => {
                        if *level == 1 && !word.is_empty() && matches!(c, ':' | ',' | '}') {
                            named.push(std::mem::take(&mut word));
                            if c == ':' {
                                // What follows up to the comma lies inside that module.
                                word = "\0".to_owned();
                            }
                        }
                        match c {
                            '{' => *level += 1,
                            '}' => *level = level.saturating_sub(1),
                            ',' if *level == 1 => word.clear(),
                            _ => {}
                        }
                        if word != "\0" {
                            word.clear();
                        }
                    }
                }
                if word.starts_with('\0') {
                    word.truncate(1);
                }
            }
            if *level == 0 || line.contains("};") {
                depth = None;
            }
        }
        for name in named {
            let known = MODULES.iter().any(|(module, _)| *module == name);
            if known && name != own && !allowed.contains(&name.as_str()) {
                out.push(format!(
                    "src/{path}:{}: {own} names {name}; it may name: {}",
                    number + 1,
                    allowed.join(" ")
                ));
            }
        }
        for (library, homes) in LIBRARIES {
            let names = |pattern: &str| {
                line.match_indices(pattern).any(|(at, _)| {
                    let before = line[..at].chars().next_back();
                    !before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
                        || line[..at].ends_with("::")
                            && line[..at].trim_end_matches("::").ends_with(['(', ' ', '&', '<'])
                })
            };
            if names(&format!("{library}::"))
                && !homes.contains(&own)
                && !allowed_local(own, library)
            {
                out.push(format!(
                    "src/{path}:{}: {own} names {library}, which lives in: {}",
                    number + 1,
                    homes.join(" ")
                ));
            }
        }
    }
    out
}

/// Names of libraries that are also names of modules of ours, where the module is meant.
fn allowed_local(own: &str, library: &str) -> bool {
    matches!((own, library), ("ca", "cms"))
        || (matches!(own, "http" | "client") && library == "cms")
}

fn sources(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            out.push(path);
        }
    }
}

#[test]
fn modules_name_those_below_them_and_libraries_stay_at_home() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() > 40);
    let mut all = Vec::new();
    for file in files {
        let path = file.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        if path.ends_with("/tests.rs") || path.ends_with("/contract.rs") {
            continue;
        }
        all.extend(faults(&path, &fs::read_to_string(&file).unwrap()));
    }
    assert!(all.is_empty(), "\n{}", all.join("\n"));
}

#[test]
fn the_map_has_no_circle() {
    // Each module names only those above it in the table.
    for (position, (module, allowed)) in MODULES.iter().enumerate() {
        for name in *allowed {
            let other = MODULES.iter().position(|(other, _)| other == name);
            assert!(other.is_some_and(|other| other < position), "{module} may not name {name}");
        }
    }
}

#[test]
fn planted_faults_are_found() {
    for (path, source, expected) in [
        ("pki/a.rs", "use crate::store::Store;", "src/pki/a.rs:1: pki names store"),
        ("pki/a.rs", "\nfn a() { crate::ca::x(); }", "src/pki/a.rs:2: pki names ca"),
        ("ca/a.rs", "use crate::{\n    pki::x,\n    ra::{Y, z},\n};", "src/ca/a.rs:3: ca names ra"),
        ("ca/a.rs", "use crate::{pki::x, est::Y};", "src/ca/a.rs:1: ca names est"),
        ("client/a.rs", "use crate::server;", "src/client/a.rs:1: client names server"),
        ("bin/a.rs", "use estd::store::Store;", "src/bin/a.rs:1: bin names store"),
        ("ra/a.rs", "use hyper::Method;", "src/ra/a.rs:1: ra names hyper"),
        ("ca/a.rs", "let x = sled::open();", "src/ca/a.rs:1: ca names sled"),
        ("est/a.rs", "use rustls::ServerConfig;", "src/est/a.rs:1: est names rustls"),
        ("new/a.rs", "", "src/new/a.rs:1: module new is not on the map"),
    ] {
        let found = faults(path, source);
        assert_eq!(found.len(), 1, "{path} {source}: {found:?}");
        assert!(found[0].starts_with(expected), "{found:?}");
    }
}

#[test]
fn what_is_right_is_no_fault() {
    for (path, source) in [
        ("ca/a.rs", "use crate::{\n    pki::{a, b::c},\n    store::Store,\n};"),
        ("ca/a.rs", "// use crate::ra;\nlet x = \"crate::ra::x\";"),
        ("pki/a.rs", "//! [`crate::store`]\nuse crate::types::Fault;"),
        ("store/a.rs", "use ::sled::Db; use crate::telemetry::audit::Event;"),
        ("ca/a.rs", "use super::signer;\n#[cfg(test)]\nmod tests { use crate::server; }"),
    ] {
        assert_eq!(faults(path, source), Vec::<String>::new(), "{source}");
    }
}
