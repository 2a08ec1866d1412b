//! `[audit]`.

use crate::config::{Audit, Terminal, section::Section};
use std::path::Path;

pub(super) fn audit(section: Section<'_>, data: &Path) -> Audit {
    let mebibytes =
        |key: &str, default, most| (section.number(key, default, 0..=most) as u64) << 20;
    let audit = Audit {
        file: section.file("file").unwrap_or_else(|| data.join("audit.jsonl")),
        terminal: section.one_of(
            "terminal",
            &[("text", Terminal::Text), ("quiet", Terminal::Quiet)],
            Terminal::Text,
        ),
        node: node(&section),
        max: mebibytes("max_mib", 32, 1 << 20),
        keep: u32::try_from(section.number("keep", 4, 1..=1000)).unwrap_or(4),
        reserve: mebibytes("reserve_mib", 64, 1 << 20),
    };
    section.finish();
    audit
}

/// Reads the name of this node, as events and lists of them show it.
fn node(section: &Section<'_>) -> Option<String> {
    let name = section.string("node")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
        section.error(
            "node",
            format!("got {name:?}; expected: the name of a node"),
            "use 1 to 64 of A-Z a-z 0-9 . _ -",
        );
    }
    Some(name.to_owned())
}
