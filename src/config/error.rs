//! Errors of a configuration.

use std::{fmt, path::PathBuf};

/// One error: its place, the value, what was expected, and the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingError {
    /// Stable code, `E-CONFIG-…`.
    pub code: &'static str,
    /// The file.
    pub file: PathBuf,
    /// Section and key, `[server] listen`; empty for an error of the whole file.
    pub key: String,
    /// The value as TOML; empty if the key has none.
    pub value: String,
    /// The error: `got …; expected: …`.
    pub text: String,
    /// The remedy.
    pub remedy: String,
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: ", self.code, self.file.display())?;
        match (self.key.is_empty(), self.value.is_empty()) {
            (true, _) => {}
            (false, true) => write!(f, "{}: ", self.key)?,
            (false, false) => write!(f, "{} = {}: ", self.key, self.value)?,
        }
        write!(f, "{}\n  remedy: {}", self.text, self.remedy)
    }
}

/// All errors of a configuration, in the order of the file's sections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingErrors(pub Vec<SettingError>);

impl fmt::Display for SettingErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().enumerate().try_for_each(|(position, error)| {
            if position > 0 {
                writeln!(f)?;
            }
            write!(f, "{error}")
        })
    }
}

impl std::error::Error for SettingErrors {}
