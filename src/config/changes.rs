//! What differs between two configurations, section by section.

use super::Settings;
use std::{collections::BTreeMap, fmt::Display};

impl Settings {
    /// The sections in which `new` differs, labels and profiles by name.
    #[must_use]
    pub fn differences(&self, new: &Self) -> Vec<String> {
        let (old, now) = (&self.policies, &new.policies);
        let sections = [
            ("data", self.data != new.data),
            ("[server]", self.server != new.server),
            ("[server.certificate]", self.server_certificate != new.server_certificate),
            ("[client_trust]", self.client_trust != new.client_trust),
            ("[serverkeygen]", self.decrypt_keys != new.decrypt_keys),
            ("[keys]", self.keys != new.keys),
            ("[passwords]", self.passwords != new.passwords),
            ("[audit]", self.audit != new.audit),
            ("[store]", self.store != new.store),
            ("[ca]", self.cas != new.cas),
            ("[est]", old.unlabelled != now.unlabelled),
        ];
        let sections = sections.into_iter().filter(|(_, differs)| *differs);
        sections
            .map(|(name, _)| name.to_owned())
            .chain(named("profile", &old.profiles, &now.profiles))
            .chain(named("label", &old.labels, &now.labels))
            .collect()
    }
}

/// The names of what was added, removed or changed.
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
    fn each_difference_is_named() {
        let old = read("[label.a]\n[label.b]\n[profile.p]\n");
        assert!(old.differences(&old).is_empty());
        let new = read(
            "[server]\nmax_body = 2048\n[est]\nrenew = false\n[label.a]\nrekey = false\n[label.c]\n[profile.p]\nvalidity = \"3d\"\n",
        );
        assert_eq!(
            old.differences(&new),
            [
                "[server]",
                "[est]",
                "[profile.p]",
                "[label.b] (removed)",
                "[label.a]",
                "[label.c] (added)"
            ]
        );
    }
}
