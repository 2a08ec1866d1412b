//! Holds the documents against the sources: names, decisions, links, commits.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    names::all_items,
    tokens::{code, sources},
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap()
}

/// The documents: those of the root, and of docs/.
fn pages() -> Vec<PathBuf> {
    fn add(folder: &Path, deep: bool, out: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() && deep {
                add(&path, true, out);
            } else if path.extension().is_some_and(|ending| ending == "md") {
                out.push(path);
            }
        }
    }
    let mut out = Vec::new();
    add(root(), false, &mut out);
    add(&root().join("docs"), true, &mut out);
    assert!(out.len() > 20);
    out
}

/// The sources of these folders, as one text.
fn all(folders: &[&str]) -> String {
    let mut files = Vec::new();
    for folder in folders {
        sources(&root().join(folder), &mut files);
    }
    files.iter().map(|file| fs::read_to_string(file).unwrap()).collect()
}

/// Text between backticks, outside code blocks.
fn quoted(text: &str) -> Vec<String> {
    let mut fenced = false;
    let lines = text.lines().filter(|line| {
        fenced ^= line.starts_with("```");
        !fenced && !line.starts_with("```")
    });
    let text: String = lines.flat_map(|line| [line, "\n"]).collect();
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The sources below `src/` of a module path: its file, or its folder.
fn files_of(modules: &[&str]) -> Vec<PathBuf> {
    let mut path = root().join("src");
    modules.iter().for_each(|module| path.push(module));
    let mut out = Vec::new();
    if path.is_dir() {
        sources(&path, &mut out);
    }
    path.set_extension("rs");
    if path.exists() {
        out.push(path);
    }
    out
}

/// Whether `a::b::Type::function`, `a::b::function` or `a::b::Type` exists.
fn exists(path: &str) -> bool {
    let parts: Vec<&str> = path.split("::").collect();
    let is_type = |part: &str| part.starts_with(|letter: char| letter.is_uppercase());
    // `Type` and `Type::function`, or a function, or nothing more than modules.
    let types = parts.iter().position(|part| is_type(part));
    let functions = parts.len() - usize::from(files_of(&parts).is_empty());
    let (modules, rest) = parts.split_at(types.unwrap_or(functions));
    let files = files_of(modules);
    let declares = |kinds: &[&str], name: &str, tokens: &[(usize, String)]| {
        let pairs = tokens.windows(2);
        pairs.into_iter().any(|pair| kinds.contains(&pair[0].1.as_str()) && pair[1].1 == name)
    };
    const TYPES: [&str; 4] = ["struct", "enum", "trait", "type"];
    let files: Vec<_> = files.iter().map(|file| code(&fs::read_to_string(file).unwrap())).collect();
    match rest {
        [] => !files.is_empty(),
        [name] if is_type(name) => files.iter().any(|file| declares(&TYPES, name, file)),
        [name] => files.iter().any(|file| declares(&["fn"], name, file)),
        [name, function] => {
            files.iter().any(|file| declares(&TYPES, name, file))
                && files.iter().any(|file| {
                    declares(&["fn"], function, file) && file.iter().any(|(_, word)| word == name)
                })
        }
        _ => false,
    }
}

/// Whether a text is a path of modules and names, and not a file or a command.
fn is_path(text: &str) -> bool {
    let module = text.split("::").next().unwrap();
    text.contains("::")
        && text.chars().all(|letter| letter.is_alphanumeric() || matches!(letter, ':' | '_'))
        && !matches!(module, "SystemTime" | "thread" | "env" | "process")
}

#[test]
fn the_functions_of_the_documents_exist() {
    let mut named = 0;
    let mut missing = Vec::new();
    for name in ["ARCHITECTURE.md", "CONTRIBUTING.md", "docs/conventions.md"] {
        for path in quoted(&page(name)).iter().filter(|text| is_path(text)) {
            named += 1;
            if !exists(path) {
                missing.push(format!("{name}: {path}"));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(named > 30, "{named}");
    // Files and folders, too.
    for text in quoted(&(page("ARCHITECTURE.md") + &page("CONTRIBUTING.md"))) {
        let file =
            text.starts_with("src/") || text.starts_with("tests/") || text.starts_with("fuzz/");
        let place = text.contains("NAME") || text.contains(' ') || root().join(&text).exists();
        assert!(!file || place, "{text} does not exist");
    }
}

#[test]
fn planted_names_are_missed() {
    for path in ["pki::Csr::verify", "http::est::handle", "server::connections", "store::Store"] {
        assert!(exists(path), "{path}");
    }
    for path in ["pki::Csr::verified", "http::est::handled", "server::nothing", "store::Shop"] {
        assert!(!exists(path), "{path}");
    }
}

/// The cells of the table under a heading.
fn table(page: &str, heading: &str) -> Vec<Vec<String>> {
    let (_, rest) = page.split_once(&format!("\n{heading}\n")).unwrap();
    let rows = rest.lines().skip_while(|line| !line.starts_with('|')).skip(2);
    let rows = rows.take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect())
        .collect()
}

#[test]
fn the_glossary_and_the_code_agree() {
    let items = all_items();
    let types: BTreeSet<&str> =
        items.iter().filter(|item| item.is_type).map(|item| item.name.as_str()).collect();
    let sources = all(&["src"]);
    let rows = table(&page("docs/conventions.md"), "## Words");
    assert!(rows.len() > 15);
    let (mut words, mut synonyms) = (0, 0);
    for row in rows {
        let [word, _, not] = row.as_slice() else { panic!("{row:?}") };
        for name in quoted(word) {
            words += 1;
            // Or a name that a macro declares.
            let declared = [format!("fn {name}("), format!("impl fmt::Display for {name} ")];
            let declared = declared.iter().any(|text| sources.contains(text));
            assert!(types.contains(name.as_str()) || declared, "{name} is in no source");
        }
        for name in quoted(not) {
            synonyms += 1;
            assert!(!types.contains(name.as_str()), "{name} is a type; the word is {word}");
        }
    }
    assert!(words > 12 && synonyms > 12);
}

/// Numbers of decisions in a text: D-01.
fn decisions(text: &str) -> BTreeSet<String> {
    let parts = text.split("D-").skip(1);
    let numbers =
        parts.map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>());
    numbers.filter(|number| number.len() == 2).collect()
}

#[test]
fn each_decision_that_the_code_names_is_documented() {
    let named = decisions(&all(&["src", "tests/est", "tests/interop", "tests/common"]));
    let page = page("docs/decisions.md");
    let headings: String = page.lines().filter(|line| line.starts_with("- **D-")).collect();
    assert_eq!(named, decisions(&headings));
}

#[test]
fn links_lead_to_files() {
    let mut dead = Vec::new();
    for path in pages() {
        let text = fs::read_to_string(&path).unwrap();
        for link in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            let file = link.split('#').next().unwrap();
            let target = path.parent().unwrap().join(file);
            if !file.is_empty() && !file.contains("://") && !target.exists() {
                dead.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
    let index = page("docs/README.md");
    let shown = |path: &PathBuf| path.strip_prefix(root().join("docs")).unwrap().to_owned();
    let unlisted: Vec<_> = pages()
        .iter()
        .filter(|path| path.starts_with(root().join("docs")) && !path.ends_with("docs/README.md"))
        .map(shown)
        .filter(|path| !path.starts_with("adr") && !index.contains(path.to_str().unwrap()))
        .collect();
    assert!(unlisted.is_empty(), "the index misses {unlisted:?}");
}

/// Commits that CONTRIBUTING.md names are in the history, if the history is complete.
#[test]
fn commits_of_the_documents_exist() {
    let git = |arguments: &[&str]| {
        Command::new("git").args(arguments).current_dir(root()).output().unwrap()
    };
    let shallow = git(&["rev-parse", "--is-shallow-repository"]);
    if shallow.stdout != b"false\n" {
        return;
    }
    let page = page("CONTRIBUTING.md");
    let words = page.split(|letter: char| !letter.is_alphanumeric());
    let hash = |word: &&str| {
        word.len() == 7
            && word.chars().all(|letter| letter.is_ascii_hexdigit())
            && word.chars().any(|letter| letter.is_ascii_digit())
    };
    let hashes: Vec<_> = words.filter(hash).collect();
    assert!(hashes.len() >= 6, "{hashes:?}");
    for hash in hashes {
        assert!(git(&["merge-base", "--is-ancestor", hash, "HEAD"]).status.success(), "{hash}");
    }
}
/// The findings of docs/testing.md name tests; each is a function.
#[test]
fn the_tests_of_the_findings_exist() {
    let sources = all(&["src", "tests"]);
    let mut missing = Vec::new();
    let rows = table(&page("docs/testing.md"), "## Findings");
    assert!(rows.len() > 60);
    for row in rows {
        let words = row[1].split(|letter: char| !letter.is_alphanumeric() && letter != '_');
        for word in words.filter(|word| word.matches('_').count() > 2) {
            let name = word.trim_end_matches('_');
            let begins = sources.contains(&format!("fn {name}"));
            if !begins && word.chars().all(|letter| !letter.is_uppercase()) {
                missing.push(format!("{}: {name}", row[0]));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}
