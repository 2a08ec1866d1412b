//! No two files name each other.

use crate::{
    first_names,
    tokens::{code, sources},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// The files that a file names by `super::`, apart from the `mod.rs` above it, which hands names on.
fn neighbors(path: &str, source: &str, files: &BTreeSet<String>) -> Vec<String> {
    let tokens = code(source);
    let word = |i: usize| tokens.get(i).map_or("", |(_, word)| word.as_str());
    // The folder whose modules `super::` names from here.
    let mut folder: Vec<&str> = path.split('/').collect();
    folder.pop();
    let mut out = Vec::new();
    for i in 0..tokens.len() {
        if word(i) != "super" || i > 0 && word(i - 1) == "::" {
            continue;
        }
        let n =
            (0..).take_while(|n| word(i + 2 * n) == "super" && word(i + 2 * n + 1) == "::").count();
        if n == 0 {
            continue;
        }
        let Some(kept) = (folder.len() + 1).checked_sub(n) else { continue };
        for (_, name) in first_names(&tokens[(i + 2 * n).min(tokens.len())..]) {
            let place = folder[..kept].iter().fold(String::new(), |place, part| place + part + "/");
            let found = [format!("{place}{name}.rs"), format!("{place}{name}/mod.rs")];
            out.extend(found.into_iter().filter(|file| file != path && files.contains(file)));
        }
    }
    out
}

/// Each pair of files that name each other, directly or by way of others.
fn circles(sources: &BTreeMap<String, String>) -> Vec<String> {
    let files: BTreeSet<String> = sources.keys().cloned().collect();
    let edges: BTreeMap<&str, Vec<String>> = sources
        .iter()
        .map(|(path, source)| (path.as_str(), neighbors(path, source, &files)))
        .collect();
    let reached = |start: &str| {
        let mut reached: BTreeSet<&str> = BTreeSet::new();
        let mut next = vec![start];
        while let Some(file) = next.pop() {
            for other in &edges[file] {
                if reached.insert(other) {
                    next.push(other);
                }
            }
        }
        reached.into_iter().map(str::to_owned).collect::<BTreeSet<String>>()
    };
    let all: BTreeMap<&str, BTreeSet<String>> =
        edges.keys().map(|file| (*file, reached(file))).collect();
    let mut out = Vec::new();
    for (file, reached) in &all {
        for other in reached.iter().filter(|other| file < &other.as_str()) {
            if all[other.as_str()].contains(*file) {
                out.push(format!("{file} <-> {other}"));
            }
        }
    }
    out
}

#[test]
fn no_two_files_name_each_other() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let name = |file: &Path| file.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
    let all: BTreeMap<String, String> = files
        .iter()
        .filter(|file| !file.ends_with("tests.rs") && !file.ends_with("contract.rs"))
        .map(|file| (name(file), fs::read_to_string(file).unwrap()))
        .collect();
    assert_eq!(circles(&all), Vec::<String>::new());
    for (one, other, expected) in [
        ("use super::b::X;", "use super::{a::Y, c};", vec!["m/a.rs <-> m/b.rs"]),
        ("use super::b::X;", "// super::a\nuse super::X;", vec![]),
        ("use super::b::X;", "#[cfg(test)]\nuse super::a;", vec![]),
    ] {
        let planted = [("m/a.rs", one), ("m/b.rs", other), ("m/mod.rs", "pub mod a; pub mod b;")];
        let planted = planted.map(|(path, source)| (path.to_owned(), source.to_owned()));
        assert_eq!(circles(&planted.into_iter().collect()), expected);
    }
}
