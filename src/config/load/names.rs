//! `[label.NAME.names]`.

use crate::{
    config::section::Section,
    naming::{NameMode, NameRules},
};

/// Reads the rule about names. With an error in it, no client gets other names than its own.
pub(super) fn names(section: Section<'_>) -> NameRules {
    let modes = NameMode::ALL.map(|mode| (mode.as_str(), mode));
    let mode = section.one_of("mode", &modes, NameMode::Own);
    let list = |key| -> Vec<String> {
        section.strings(key).unwrap_or_default().into_iter().map(str::to_owned).collect()
    };
    let (san, allow_san) = (list("san"), list("allow_san"));
    let rules = NameRules::parse(mode, section.string("subject"), &san, &allow_san);
    let rules = rules.unwrap_or_else(|errors| {
        for error in errors {
            section.error(error.key, error.text, error.remedy);
        }
        NameRules::Own
    });
    section.finish();
    rules
}
