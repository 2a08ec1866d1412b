//! Which module may name which, which library lives where, and which names exist. ARCHITECTURE.md has the
//! map; the two tables here are binding.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

mod circles;
mod documents;
mod names;
mod tokens;

use std::{fs, path::Path};

use tokens::{code, sources};

/// Each module of `src/` and the modules that it may name.
const MODULES: [(&str, &[&str]); 25] = [
    ("types", &[]),
    ("clock", &["types"]),
    ("entropy", &[]),
    ("failpoint", &[]),
    ("digest", &[]),
    ("durable", &[]),
    ("telemetry", &["types", "clock"]),
    ("binding", &["types"]),
    ("pki", &["types"]),
    // Not `pki`: the linter shares no code with the writers that it checks.
    ("lint", &["types"]),
    ("naming", &["types", "pki"]),
    ("policy", &["types", "naming"]),
    ("config", &["types", "naming", "policy", "pki"]),
    ("store", &["types", "digest", "durable", "failpoint", "telemetry"]),
    (
        "ca",
        &[
            "types",
            "durable",
            "entropy",
            "failpoint",
            "telemetry",
            "policy",
            "pki",
            "lint",
            "store",
        ],
    ),
    (
        "ra",
        &[
            "types",
            "digest",
            "clock",
            "entropy",
            "telemetry",
            "naming",
            "policy",
            "pki",
            "store",
            "ca",
        ],
    ),
    ("est", &["types", "clock", "entropy", "telemetry", "policy", "pki", "store", "ca", "ra"]),
    ("api", &[]),
    (
        "admin",
        &[
            "types",
            "digest",
            "clock",
            "entropy",
            "telemetry",
            "pki",
            "store",
            "ca",
            "ra",
            "est",
            "api",
        ],
    ),
    (
        "http",
        &[
            "types",
            "digest",
            "clock",
            "entropy",
            "failpoint",
            "telemetry",
            "policy",
            "pki",
            "est",
            "ra",
            "api",
            "admin",
        ],
    ),
    (
        "server",
        &[
            "types",
            "durable",
            "clock",
            "entropy",
            "telemetry",
            "policy",
            "config",
            "binding",
            "pki",
            "store",
            "ca",
            "ra",
            "est",
            "api",
            "admin",
            "http",
        ],
    ),
    ("client", &["types", "digest", "clock", "binding", "pki", "api"]),
    ("device", &["types", "clock", "durable", "pki", "client"]),
    (
        "cli",
        &[
            "types",
            "durable",
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
            "device",
        ],
    ),
    ("bin", &["cli", "device"]),
];

/// Libraries that have a home, and the modules that may name them.
const LIBRARIES: [(&str, &[&str]); 28] = [
    ("hyper", &["http", "server", "client", "cli"]),
    ("hyper_util", &["server", "client"]),
    ("http_body_util", &["http", "client"]),
    ("httparse", &["http", "client"]),
    ("http_auth", &["digest"]),
    ("md5", &["digest"]),
    ("rustls", &["binding", "server", "client", "store"]),
    ("tokio_rustls", &["server", "client"]),
    ("webpki", &["server"]),
    ("hashbrown", &["store"]),
    ("sled", &["store"]),
    ("tokio_postgres", &["store", "config"]),
    ("tokio_postgres_rustls", &["store"]),
    ("deadpool_postgres", &["store"]),
    ("postcard", &["store"]),
    ("rustix", &["failpoint", "store", "telemetry", "server"]),
    ("clap", &["cli", "device"]),
    ("indicatif", &["cli"]),
    ("sd_notify", &["cli"]),
    ("toml", &["config"]),
    (
        "aws_lc_rs",
        &["digest", "entropy", "binding", "pki", "lint", "store", "ra", "server", "client"],
    ),
    ("cms", &["pki"]),
    ("x509_cert", &["pki", "config", "client"]),
    ("rsa", &["pki"]),
    ("pkcs8", &["pki"]),
    ("argon2", &["ra"]),
    ("tracing_subscriber", &["telemetry"]),
    ("unicode_properties", &["types"]),
];

/// The module that a file belongs to: the first folder or file name below `src/`.
fn module_of(path: &str) -> &str {
    let first = path.split('/').next().unwrap();
    first.strip_suffix(".rs").unwrap_or(first)
}

/// The names that follow `root::`, with their lines: one, or each first name of a `{…}` list.
pub(crate) fn first_names(tokens: &[(usize, String)]) -> Vec<(usize, String)> {
    let Some((_, first)) = tokens.first() else { return Vec::new() };
    if first != "{" {
        return tokens[..1].to_vec();
    }
    let (mut out, mut depth) = (Vec::new(), 0);
    for pair in tokens.windows(2) {
        let (before, (line, word)) = (pair[0].1.as_str(), &pair[1]);
        match before {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
        if depth == 1 && matches!(before, "{" | ",") && word != "}" {
            out.push((*line, word.clone()));
        }
    }
    out
}

/// Returns what breaks the tables in one file, as `path:line: …`.
fn errors(path: &str, source: &str) -> Vec<String> {
    let own = module_of(path);
    if own == "lib" {
        return Vec::new();
    }
    let Some((_, allowed)) = MODULES.iter().find(|(module, _)| *module == own) else {
        return vec![format!(
            "src/{path}:1: module {own} is not on the map: add it to MODULES in tests/layering/main.rs"
        )];
    };
    let tokens = code(source);
    let word = |i: usize| tokens.get(i).map_or("", |(_, word)| word.as_str());
    let root = if own == "bin" { "estd" } else { "crate" };
    // With this many `super`, a path leaves the top-level module of this file.
    let depth = path.split('/').count() - usize::from(path.ends_with("/mod.rs"));
    let mut out = Vec::new();
    // Names of libraries that stand for a module of this crate in this file.
    let mut local: Vec<&str> = Vec::new();
    let mut inside_own_use = false;
    for i in 0..tokens.len() {
        let before = if i == 0 { "" } else { word(i - 1) };
        match word(i) {
            "use" => inside_own_use = matches!(word(i + 1), "crate" | "super" | "self"),
            ";" => inside_own_use = false,
            name if inside_own_use || before == "mod" => local.push(name),
            _ => {}
        }
    }
    inside_own_use = false;
    for (i, (line, token)) in tokens.iter().enumerate() {
        let before = if i == 0 { "" } else { word(i - 1) };
        let supers =
            (0..).take_while(|n| word(i + 2 * n) == "super" && word(i + 2 * n + 1) == "::");
        let skipped = match token.as_str() {
            "super" if before != "::" => Some(supers.count()).filter(|n| *n >= depth),
            _ if token == root && before != "::" => Some(1).filter(|_| word(i + 1) == "::"),
            _ => None,
        };
        for (line, name) in skipped.map_or(Vec::new(), |n| first_names(&tokens[i + 2 * n..])) {
            if matches!(name.as_str(), "*" | "self") {
                out.push(format!("src/{path}:{line}: {own} names the whole crate; name modules"));
            }
            let known = MODULES.iter().any(|(module, _)| *module == name);
            if known && name != own && !allowed.contains(&name.as_str()) {
                out.push(format!(
                    "src/{path}:{line}: {own} names {name}; it may name: {}",
                    allowed.join(" ")
                ));
            }
        }
        match token.as_str() {
            "use" => inside_own_use = matches!(word(i + 1), "crate" | "super" | "self"),
            ";" => inside_own_use = false,
            _ => {}
        }
        let Some((library, homes)) = LIBRARIES.iter().find(|(library, _)| library == token) else {
            continue;
        };
        // `::sled` at the start of a path is the library whatever else is called so.
        let path_before = i > 1
            && word(i - 2).starts_with(|c: char| c.is_alphanumeric() || c == '_')
            && !matches!(word(i - 2), "use" | "return" | "in" | "as" | "dyn" | "impl" | "mut");
        let global = before == "::" && !path_before && (i < 2 || word(i - 2) != ">");
        let extern_crate = before == "crate" && i > 1 && word(i - 2) == "extern";
        let starts = before != "::" && !inside_own_use && !local.contains(&token.as_str());
        let named = word(i + 1) == "::" || before == "use" || extern_crate;
        if (global || starts && named) && !homes.contains(&own) {
            out.push(format!(
                "src/{path}:{line}: {own} names {library}, which lives in: {}",
                homes.join(" ")
            ));
        }
    }
    out
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
        all.extend(errors(&path, &fs::read_to_string(&file).unwrap()));
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

/// Bar: the rules do not depend on the file that they are read from.
#[test]
fn only_the_edge_names_the_configuration() {
    let naming = MODULES.iter().filter(|(_, allowed)| allowed.contains(&"config"));
    assert_eq!(naming.map(|(module, _)| *module).collect::<Vec<_>>(), ["server", "cli"]);
}

/// Bar: one file chooses HTTP statuses.
#[test]
fn one_file_chooses_http_statuses() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root.join("http"), &mut files);
    sources(&root.join("server"), &mut files);
    let naming = files.iter().filter(|file| {
        let source = fs::read_to_string(file).unwrap();
        let own = source.split("#[cfg(test)]").next().unwrap();
        own.contains("StatusCode") || own.contains(".status(")
    });
    let naming: Vec<_> = naming.map(|file| file.strip_prefix(&root).unwrap().to_owned()).collect();
    assert_eq!(naming, [Path::new("http/error.rs")]);
}

/// The string literals of a source, roughly: the text between two quotation marks of a line.
fn literals(source: &str) -> impl Iterator<Item = &str> {
    let code = source.lines().filter(|line| !line.trim_start().starts_with("//"));
    code.flat_map(|line| line.split('"').skip(1).step_by(2))
}

/// Whether a literal is the text of a code, or where the texts of some begin. (A whole line of an answer,
/// `code: rule; ...`, is neither.)
fn is_a_code(literal: &str) -> bool {
    literal.contains('.')
        && estd::types::Code::ALL.iter().any(|code| code.as_str().starts_with(literal))
}

/// Bar: codes are values of `types::Code` wherever they are created or compared.
#[test]
fn no_code_of_a_rejection_is_written_as_text() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    // The table itself; and events, whose details are text.
    let edge = [root.join("types/code.rs"), root.join("telemetry")];
    let mut found = Vec::new();
    for file in files.iter().filter(|file| !edge.iter().any(|edge| file.starts_with(edge))) {
        let source = fs::read_to_string(file).unwrap();
        let texts = literals(&source).filter(|text| is_a_code(text));
        found.extend(texts.map(|text| format!("{}: {text}", file.display())));
    }
    assert_eq!(found, Vec::<String>::new());
    for planted in ["code == \"csr.ca\"", "x.starts_with(\"csr.key\")"] {
        assert!(literals(planted).any(is_a_code), "{planted}");
    }
}

#[test]
fn planted_errors_are_found() {
    for (path, source, expected) in [
        ("pki/a.rs", "use crate::store::Store;", "src/pki/a.rs:1: pki names store"),
        ("pki/a.rs", "\nfn a() { crate::ca::x(); }", "src/pki/a.rs:2: pki names ca"),
        ("ca/a.rs", "use crate::{\n    pki::x,\n    ra::{Y, z},\n};", "src/ca/a.rs:3: ca names ra"),
        ("ca/a.rs", "use crate::{pki::x, est::Y};", "src/ca/a.rs:1: ca names est"),
        ("ra/a.rs", "use crate::config::Settings;", "src/ra/a.rs:1: ra names config"),
        ("client/a.rs", "use crate::server;", "src/client/a.rs:1: client names server"),
        ("bin/a.rs", "use estd::store::Store;", "src/bin/a.rs:1: bin names store"),
        ("ra/a.rs", "use hyper::Method;", "src/ra/a.rs:1: ra names hyper"),
        ("ca/a.rs", "let x = sled::open();", "src/ca/a.rs:1: ca names sled"),
        ("est/a.rs", "use rustls::ServerConfig;", "src/est/a.rs:1: est names rustls"),
        ("new/a.rs", "", "src/new/a.rs:1: module new is not on the map"),
        (
            "client/mod.rs",
            "#[cfg(test)]\npub(crate) mod tests;\nuse crate::store::Store;",
            "src/client/mod.rs:3: client names store",
        ),
        (
            "pki/a.rs",
            "#[cfg(test)]\nmod tests { fn a() { [0; 2]; } }\nuse crate::ca;",
            "src/pki/a.rs:3: pki names ca",
        ),
        (
            "pki/a.rs",
            "fn a() -> bool { b == '\"' && crate::ca::x() }",
            "src/pki/a.rs:1: pki names ca",
        ),
        ("pki/a.rs", "let x = r#\"\n\"#;\ncrate::ca::x();", "src/pki/a.rs:3: pki names ca"),
        ("pki/a.rs", "use super::super::ca::Ca;", "src/pki/a.rs:1: pki names ca"),
        ("pki/mod.rs", "use super::{types::Serial, ca::Ca};", "src/pki/mod.rs:1: pki names ca"),
        ("pki/a.rs", "use crate::*;", "src/pki/a.rs:1: pki names the whole crate"),
        ("est/a.rs", "use rustls as tls;", "src/est/a.rs:1: est names rustls"),
        ("ca/a.rs", "use ::cms::X;\nuse crate::pki::cms;", "src/ca/a.rs:1: ca names cms"),
    ] {
        let found = errors(path, source);
        assert_eq!(found.len(), 1, "{path} {source}: {found:?}");
        assert!(found[0].starts_with(expected), "{found:?}");
    }
}

#[test]
fn what_is_right_is_no_error() {
    for (path, source) in [
        ("ca/a.rs", "use crate::{\n    pki::{a, b::c},\n    store::Store,\n};"),
        ("ca/a.rs", "// use crate::ra;\nlet x = \"crate::ra::x\";"),
        ("pki/a.rs", "//! [`crate::store`]\nuse crate::types::Rejection;"),
        ("store/a.rs", "use ::sled::Db; use crate::telemetry::audit::Event;"),
        ("ca/a.rs", "/* crate::ra /* nested */ sled::x */ let x = r\"crate::ra\";"),
        ("ca/a.rs", "use crate::pki::{cms::certs_only, x};\nfn a() { cms::b(); }"),
        ("store/sled/format.rs", "use super::super::{Account, Error};"),
        ("pki/a.rs", "fn a<'ca>(x: &'ca str) -> char { '\\'' }"),
        ("ca/a.rs", "use super::signer;\n#[cfg(test)]\nmod tests { use crate::server; }"),
    ] {
        assert_eq!(errors(path, source), Vec::<String>::new(), "{source}");
    }
}
