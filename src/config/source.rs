//! The search for the configuration file, and the defaults without one.

use super::{Secrets, SettingErrors, Settings, load_for, parse};
use std::path::{Path, PathBuf};

/// The source of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingsSource {
    /// This file.
    File(PathBuf),
    /// The first of [`PLACES`] that exists, or the built-in defaults.
    Search,
    /// The built-in defaults: the search found no file.
    BuiltIn,
}

/// Files that the search tries, in this order.
pub const PLACES: [&str; 2] = ["est.toml", "/etc/estd/est.toml"];

/// The defaults without any file: loopback only, until an operator configures more.
const BUILT_IN: &str = "version = 1\n[server]\nlisten = [\"127.0.0.1:8443\"]\n";

impl SettingsSource {
    /// Finds the file. None: the built-in defaults.
    #[must_use]
    pub fn find(&self) -> Option<PathBuf> {
        match self {
            Self::File(file) => Some(file.clone()),
            Self::Search | Self::BuiltIn => {
                PLACES.iter().map(PathBuf::from).find(|file| file.exists())
            }
        }
    }

    /// Reads the configuration, and only these of the secrets that it names. `environment` returns the value
    /// of an environment variable.
    ///
    /// # Errors
    /// Returns all errors together.
    pub fn read(
        &self,
        environment: &dyn Fn(&str) -> Option<String>,
        secrets: Secrets,
    ) -> Result<Settings, SettingErrors> {
        match self.find() {
            Some(file) => load_for(&file, environment, secrets),
            None => built_in(environment),
        }
    }
}

/// Returns the defaults without any file. The data folder is `data` in the working directory.
///
/// # Errors
/// None: a test parses them.
pub fn built_in(environment: &dyn Fn(&str) -> Option<String>) -> Result<Settings, SettingErrors> {
    let [first, ..] = PLACES;
    let settings = parse(BUILT_IN, Path::new(first), environment)?;
    Ok(Settings { source: SettingsSource::BuiltIn, ..settings })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BootSettings;

    #[test]
    fn without_a_file_only_this_machine_is_served() {
        let settings = built_in(&|_| None).unwrap();
        assert!(settings.boot.listen.iter().all(|address| address.ip().is_loopback()));
        assert_eq!(settings.boot.data, Path::new("data"));
        let file = parse("version = 1", Path::new("est.toml"), &|_| None).unwrap();
        let boot = BootSettings { listen: file.boot.listen.clone(), ..settings.boot.clone() };
        assert_eq!(
            Settings { source: file.source.clone(), boot, ..settings },
            file,
            "nothing else differs"
        );
    }

    #[test]
    fn a_named_file_is_not_searched_for() {
        let named = SettingsSource::File(PathBuf::from("/nonexistent/est.toml"));
        assert_eq!(named.read(&|_| None, Secrets::All).unwrap_err().0.len(), 1);
    }
}
