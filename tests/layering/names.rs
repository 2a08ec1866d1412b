//! No name of a type or of a public function has two meanings.

use std::{collections::BTreeMap, fs, path::Path};

use crate::tokens::{code, sources};

/// Names that several modules have by convention: a type one in a folder, a function one in a file.
///
/// A file is a module of its own, and its functions are called by its name: `enroll::answer` in
/// `http/est/enroll.rs`. Types are re-exported by the folder and read without the file's name.
const CONVENTIONAL: [&str; 13] = [
    "Error", "parse", "encode", "decode", "verify", "decide", "issue", "revoke", "run", "handle",
    "answer", "open", "read",
];

/// An item outside functions: its kind, its name, and the file and line.
pub(crate) struct Item {
    pub(crate) is_type: bool,
    pub(crate) name: String,
    pub(crate) place: String,
}

/// The types and the public free functions of a source.
pub(crate) fn items(path: &str, source: &str) -> Vec<Item> {
    let tokens = code(source);
    let word = |i: usize| tokens.get(i).map_or("", |(_, word)| word.as_str());
    let (mut out, mut depth) = (Vec::new(), 0_usize);
    let mut public = false;
    for (i, (line, _)) in tokens.iter().enumerate() {
        match word(i) {
            "{" => depth += 1,
            "}" => {
                depth = depth.saturating_sub(1);
                public = false;
            }
            ";" => public = false,
            "pub" if depth == 0 => public = true,
            kind @ ("struct" | "enum" | "trait" | "type" | "fn") if depth == 0 => {
                let is_type = kind != "fn";
                let named = word(i + 1).starts_with(|c: char| c.is_alphabetic());
                if named && (is_type || public) {
                    let place = format!("src/{path}:{}", line);
                    out.push(Item { is_type, name: word(i + 1).to_owned(), place });
                }
            }
            _ => {}
        }
    }
    out
}

/// All items of `src/`, tests left out.
pub(crate) fn all_items() -> Vec<Item> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    files.sort();
    let mut out = Vec::new();
    for file in files {
        let path = file.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        if !path.ends_with("tests.rs") && !path.ends_with("/contract.rs") {
            out.extend(items(&path, &fs::read_to_string(&file).unwrap()));
        }
    }
    out
}

/// Each name with two meanings, and the places. Of conventional names, types used twice in one folder
/// and functions used twice in one file.
fn doubles(items: &[Item]) -> Vec<String> {
    let mut by_name = BTreeMap::<(bool, &str), Vec<&str>>::new();
    for item in items {
        by_name.entry((item.is_type, &item.name)).or_default().push(&item.place);
    }
    let mut out = Vec::new();
    for ((is_type, name), places) in by_name {
        let end = if is_type { '/' } else { ':' };
        let mut modules: Vec<_> =
            places.iter().map(|place| place.rsplit_once(end).unwrap().0).collect();
        modules.dedup();
        let conventional = CONVENTIONAL.contains(&name) && modules.len() == places.len();
        if places.len() > 1 && !conventional {
            out.push(format!("{name}: {}", places.join(" ")));
        }
    }
    out
}

#[test]
fn no_name_stands_for_two_things() {
    let items = all_items();
    assert!(items.len() > 500);
    let found = doubles(&items);
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn planted_doubles_are_found() {
    let of = |sources: &[(&str, &str)]| {
        let items: Vec<_> = sources.iter().flat_map(|(path, text)| items(path, text)).collect();
        doubles(&items)
    };
    assert_eq!(
        of(&[("a/x.rs", "pub struct Peer;"), ("b/y.rs", "\nenum Peer {}")]),
        ["Peer: src/a/x.rs:1 src/b/y.rs:2"]
    );
    assert_eq!(
        of(&[("a/x.rs", "pub fn find() {}"), ("b.rs", "pub(crate) async fn find() {}")]),
        ["find: src/a/x.rs:1 src/b.rs:1"]
    );
    let none = [
        ("a/x.rs", "pub enum Error {} impl T for X { type Y = u8; } fn find() {} mod t;"),
        ("b/y.rs", "enum Error {} impl X { pub fn find() {} type Y = u8; } // struct Peer;"),
        ("c/z.rs", "pub fn find() { struct Error; } #[cfg(test)] mod t { enum Error {} }"),
    ];
    assert_eq!(of(&none), Vec::<String>::new());
    assert_eq!(of(&[("a/x.rs", "enum Error {}"), ("a/y.rs", "enum Error {}")]).len(), 1);
    let of_files = [("a/x.rs", "pub fn answer() {}"), ("a/y.rs", "pub fn answer() {}")];
    assert_eq!(of(&of_files), Vec::<String>::new());
    let of_one = [("a/x.rs", "pub fn answer() {} pub fn answer() {}")];
    assert_eq!(of(&of_one), ["answer: src/a/x.rs:1 src/a/x.rs:1"]);
    let other = [("a/x.rs", "pub fn find() {}"), ("a/y.rs", "pub fn find() {}")];
    assert_eq!(of(&other).len(), 1);
}
