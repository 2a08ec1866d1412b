//! Names the sections that a reload changes, and those that wait for a restart.

use super::{BootSettings, LiveSettings};
use crate::policy::Policies;
use std::{collections::BTreeMap, fmt::Display};

// Both patterns name every field: a new one does not compile until it has a name here.

impl BootSettings {
    /// Returns the sections and keys in which `new` differs.
    #[must_use]
    pub fn differences(&self, new: &Self) -> Vec<&'static str> {
        let Self {
            data,
            listen,
            max_connections,
            server_certificate,
            keys,
            passwords,
            audit,
            store,
            cas,
        } = self;
        differing([
            ("data", *data != new.data),
            ("[server] listen", *listen != new.listen),
            ("[server] max_connections", *max_connections != new.max_connections),
            ("[server.certificate]", *server_certificate != new.server_certificate),
            ("[keys]", *keys != new.keys),
            ("[passwords]", *passwords != new.passwords),
            ("[audit]", *audit != new.audit),
            ("[store]", *store != new.store),
            ("[ca]", *cas != new.cas),
        ])
    }
}

impl LiveSettings {
    /// Returns the sections in which `new` differs, labels and profiles by name.
    #[must_use]
    pub fn differences(&self, new: &Self) -> Vec<String> {
        let Self { server, decrypt_keys, policies } = self;
        let Policies { manufacturers, profiles, unlabeled, labels } = policies;
        let sections = differing([
            ("[server]", *server != new.server),
            ("[serverkeygen]", *decrypt_keys != new.decrypt_keys),
            ("[est]", *unlabeled != new.policies.unlabeled),
        ]);
        sections
            .into_iter()
            .map(str::to_owned)
            .chain(named("manufacturer", manufacturers, &new.policies.manufacturers))
            .chain(named("profile", profiles, &new.policies.profiles))
            .chain(named("label", labels, &new.policies.labels))
            .collect()
    }
}

fn differing<const N: usize>(sections: [(&'static str, bool); N]) -> Vec<&'static str> {
    sections.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
}

/// Returns the names that were added, removed or changed.
fn named<N: Ord + Display, V: PartialEq>(
    section: &str,
    old: &BTreeMap<N, V>,
    new: &BTreeMap<N, V>,
) -> Vec<String> {
    let gone = old.keys().filter(|name| !new.contains_key(name));
    let gone = gone.map(|name| format!("[{section}.{name}] (removed)"));
    let there = new.iter().filter_map(|(name, value)| match old.get(name) {
        None => Some(format!("[{section}.{name}] (added)")),
        Some(before) if before != value => Some(format!("[{section}.{name}]")),
        Some(_) => None,
    });
    gone.chain(there).collect()
}

#[cfg(test)]
mod tests {
    use crate::config::{Settings, parse};
    use std::path::Path;

    fn read(text: &str) -> Settings {
        parse(&format!("version = 1\n{text}"), Path::new("est.toml"), &|_| None).unwrap()
    }

    #[test]
    fn names_each_section_that_needs_a_restart() {
        let (old, new) = (
            read(""),
            read(
                "[server]\nlisten = [\"127.0.0.1:1\"]\nmax_body = 2048\n[store]\nbackend = \"memory\"",
            ),
        );
        assert_eq!(old.boot.differences(&new.boot), ["[server] listen", "[store]"]);
    }

    #[test]
    fn names_each_section_that_a_reload_changes() {
        let old = read("[label.a]\n[label.b]\n[profile.p]\n");
        assert!(old.live.differences(&old.live).is_empty());
        assert!(old.boot.differences(&old.boot).is_empty());
        let new = read(
            "[server]\nmax_body = 2048\n[est]\nidevid_key = true\n[label.a]\nrenewal.key = \"new\"\n[label.c]\n[profile.p]\nvalidity = \"3d\"\n",
        );
        assert_eq!(
            old.live.differences(&new.live),
            [
                "[server]",
                "[est]",
                "[profile.p]",
                "[label.b] (removed)",
                "[label.a]",
                "[label.c] (added)"
            ]
        );
        assert!(old.boot.differences(&new.boot).is_empty());
    }
}
