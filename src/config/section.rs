//! A section of the file, read key by key. Errors are collected and reported together.

use super::{Secrets, SettingError};
use humantime::format_duration;
use std::{
    cell::RefCell,
    collections::BTreeSet,
    fmt::Display,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};
use toml::{Table, Value};

/// The errors found so far in a file.
pub(super) struct FileReport<'a> {
    pub(super) file: &'a Path,
    pub(super) errors: RefCell<Vec<SettingError>>,
    /// Every key that was read: a test holds est.toml against it.
    pub(super) known: RefCell<BTreeSet<String>>,
    /// The secrets to read.
    pub(super) secrets: Secrets,
}

impl<'a> FileReport<'a> {
    pub(super) fn new(file: &'a Path) -> Self {
        let (errors, known) = (RefCell::default(), RefCell::default());
        Self { file, errors, known, secrets: Secrets::All }
    }

    pub(super) fn add(
        &self,
        code: &'static str,
        key: &str,
        value: Option<&Value>,
        text: impl Display,
        remedy: impl Display,
    ) {
        self.errors.borrow_mut().push(SettingError {
            code,
            file: self.file.to_owned(),
            key: key.to_owned(),
            value: value.map(ToString::to_string).unwrap_or_default(),
            text: text.to_string(),
            remedy: remedy.to_string(),
        });
    }
}

/// One table of the file. [`Section::finish`] reports the keys that were not read.
pub(super) struct Section<'a> {
    pub(super) report: &'a FileReport<'a>,
    name: String,
    table: Table,
    known: RefCell<BTreeSet<String>>,
}

impl<'a> Section<'a> {
    pub(super) fn new(report: &'a FileReport<'a>, name: impl Into<String>, table: Table) -> Self {
        Self { report, name: name.into(), table, known: RefCell::default() }
    }

    /// Returns `[section] key`, or `key` at the top.
    pub(super) fn path(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("[{}] {key}", self.name) }
    }

    pub(super) fn value(&self, key: &str) -> Option<&Value> {
        self.known.borrow_mut().insert(key.to_owned());
        self.table.get(key)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    pub(super) fn error(&self, key: &str, text: impl Display, remedy: impl Display) {
        self.report.add("E-CONFIG-VALUE", &self.path(key), self.table.get(key), text, remedy);
    }

    fn wrong_type(&self, key: &str, wanted: &str, example: &str) {
        let seen = self.table.get(key).map_or("nothing", Value::type_str);
        self.report.add(
            "E-CONFIG-TYPE",
            &self.path(key),
            self.table.get(key),
            format!("got {seen}; expected: {wanted}"),
            format!("write it as {key} = {example}"),
        );
    }

    /// Returns a section inside this one; an empty one if the file has none.
    pub(super) fn section(&self, key: &str) -> Self {
        let name =
            if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) };
        let table = match self.value(key) {
            None => Table::new(),
            Some(Value::Table(table)) => table.clone(),
            Some(_) => {
                self.wrong_type(key, "a section", &format!("..., under a line [{name}]"));
                Table::new()
            }
        };
        Section::new(self.report, name, table)
    }

    /// Returns the named sections under this one: `[key.NAME]`.
    pub(super) fn named<N: FromStr + Ord>(&self, key: &str) -> Vec<(N, Self)>
    where
        N::Err: Display,
    {
        let all = self.section(key);
        let mut out = Vec::new();
        for name in all.table.keys() {
            let section = all.section(name);
            match name.parse() {
                Ok(parsed) => out.push((parsed, section)),
                Err(error) => self.report.add(
                    "E-CONFIG-VALUE",
                    &format!("[{key}.{name}]"),
                    None,
                    error,
                    "choose another name",
                ),
            }
        }
        out
    }

    pub(super) fn string(&self, key: &str) -> Option<&str> {
        match self.value(key)? {
            Value::String(text) => Some(text),
            _ => {
                self.wrong_type(key, "a string", "\"...\"");
                None
            }
        }
    }

    /// Reads a string and parses it.
    pub(super) fn parsed<T: FromStr>(&self, key: &str, default: T, remedy: &str) -> T
    where
        T::Err: Display,
    {
        match self.string(key).map(str::parse) {
            None => default,
            Some(Ok(value)) => value,
            Some(Err(error)) => {
                self.error(key, error, remedy);
                default
            }
        }
    }

    /// Reads one of these words.
    pub(super) fn one_of<T: Copy>(&self, key: &str, words: &[(&str, T)], default: T) -> T {
        let Some(text) = self.string(key) else { return default };
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return *value;
        }
        let all: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        self.error(
            key,
            format!("got {text:?}; expected: {}", all.join(", ")),
            "write one of these",
        );
        default
    }

    pub(super) fn boolean(&self, key: &str, default: bool) -> bool {
        match self.value(key) {
            None => default,
            Some(Value::Boolean(value)) => *value,
            Some(_) => {
                self.wrong_type(key, "true or false", &format!("true or {key} = false"));
                default
            }
        }
    }

    pub(super) fn number(&self, key: &str, default: usize, range: RangeInclusive<usize>) -> usize {
        match self.value(key) {
            None => default,
            Some(Value::Integer(value)) => match usize::try_from(*value) {
                Ok(value) if range.contains(&value) => value,
                _ => {
                    let (least, most) = range.into_inner();
                    let text = format!("got {value}; expected: {least} to {most}");
                    self.error(key, text, "choose a number in this range");
                    default
                }
            },
            Some(_) => {
                self.wrong_type(key, "a whole number", &default.to_string());
                default
            }
        }
    }

    /// Reads a duration such as `"90d"`, `"10m"` or `"30s"`.
    pub(super) fn duration(
        &self,
        key: &str,
        default: Duration,
        range: RangeInclusive<Duration>,
    ) -> Duration {
        let text = match self.value(key) {
            None => return default,
            Some(Value::String(text)) => text,
            Some(_) => {
                self.wrong_type(key, "a duration", "\"90d\", \"10m\" or \"30s\"");
                return default;
            }
        };
        match humantime::parse_duration(text) {
            Ok(value) if range.contains(&value) => return value,
            Ok(_) => {
                let [least, most] = [range.start(), range.end()].map(|one| format_duration(*one));
                let text = format!("got {text:?}; expected: {least} to {most}");
                self.error(key, text, "choose a duration in this range");
            }
            Err(error) => {
                let text = format!("got {text:?}; expected: a duration; {error}");
                self.error(key, text, "write it as \"90d\", \"10m\" or \"30s\"");
            }
        }
        default
    }

    /// Reads a list of strings.
    pub(super) fn strings(&self, key: &str) -> Option<Vec<&str>> {
        let Value::Array(list) = self.value(key)? else {
            self.wrong_type(key, "a list of strings", "[\"...\"]");
            return None;
        };
        let strings: Option<Vec<&str>> = list.iter().map(Value::as_str).collect();
        if strings.is_none() {
            self.wrong_type(key, "a list of strings", "[\"...\"]");
        }
        strings
    }

    /// Reads a list of strings and parses each. `parse` returns the accepted values as its error.
    pub(super) fn list<T>(
        &self,
        key: &str,
        default: Vec<T>,
        remedy: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let Some(strings) = self.strings(key) else { return default };
        let mut out = Vec::new();
        for text in strings {
            match parse(text) {
                Ok(value) => out.push(value),
                Err(error) => self.error(key, format!("got {text:?}; expected: {error}"), remedy),
            }
        }
        out
    }

    /// Reads a path; a relative one starts from the folder of the file.
    pub(super) fn file(&self, key: &str) -> Option<PathBuf> {
        let text = self.string(key)?;
        if text.is_empty() || text.contains('\0') {
            self.error(key, format!("got {text:?}; expected: a path"), "name a file or folder");
            return None;
        }
        Some(self.resolve(text))
    }

    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        self.report.file.parent().unwrap_or_else(|| Path::new("")).join(path)
    }

    /// Reports the keys that were not read.
    pub(super) fn finish(self) {
        let known = self.known.borrow();
        self.report.known.borrow_mut().extend(known.iter().cloned());
        for key in self.table.keys().filter(|key| !known.contains(*key)) {
            let nearest = known
                .iter()
                .map(|known| (strsim::damerau_levenshtein(known, key), known))
                .min()
                // A short key with half of its letters changed is another word.
                .filter(|(distance, _)| *distance <= 3.min(key.len().div_ceil(2) - 1));
            let remedy = match nearest {
                Some((_, nearest)) => format!("did you mean {nearest:?}? Otherwise remove it"),
                None => format!(
                    "remove it; known keys: {}",
                    known.iter().cloned().collect::<Vec<_>>().join(", ")
                ),
            };
            self.report.add("E-CONFIG-UNKNOWN-KEY", &self.path(key), None, "unknown key", remedy);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{load, parse};
    use std::path::Path;

    #[test]
    fn each_remedy_fits_the_error() {
        for (keys, expected) in [
            ("[server]\nhttp2 = \"yes\"", "write it as http2 = true or http2 = false"),
            (
                "[server]\nidle_timeout = 30",
                "write it as idle_timeout = \"90d\", \"10m\" or \"30s\"",
            ),
            (
                "[profile.p]\nvalidity = \"2m\"",
                "backdate: got 5m by default; expected: less than validity, which is 2m",
            ),
            (
                "[profile.p]\nvalidity = \"2m\"\nbackdate = \"3m\"",
                "backdate = \"3m\": got 3m; expected: less than validity, which is 2m\n  remedy: set backdate below 2m, or a longer validity",
            ),
        ] {
            let errors = parse(&format!("version = 1\n{keys}"), Path::new("est.toml"), &|_| None);
            let errors = errors.unwrap_err().to_string();
            assert!(errors.contains(expected), "{errors}");
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("est.toml");
        std::fs::write(&file, b"version = 1 # caf\xe9").unwrap();
        for (path, text, remedy) in [
            (file.as_path(), "not UTF-8", "iconv"),
            (folder.path(), "directory", "name the file in that folder"),
            (&folder.path().join("none.toml"), "No such file", "--config FILE"),
        ] {
            let errors = load(path, &|_| None).unwrap_err().to_string();
            assert!(errors.contains(text) && errors.contains(remedy), "{errors}");
        }
    }
}
