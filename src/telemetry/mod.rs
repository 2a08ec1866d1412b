//! The server's reports about itself: audit events, and the text on the terminal.

pub mod audit;
mod limited;
mod lines;
mod node;
mod show;
mod strangers;
mod terminal;
mod trail;

pub use limited::LimitedTrail;
pub use lines::FileOptions;
pub use node::host_name;
pub use show::{details, json_line, text_line};
pub use terminal::{start_terminal, summarize_terminal};
pub use trail::{FileTrail, LateTrail};

/// The target of log lines that are audit events: they are limited by [`LimitedTrail`].
const AUDIT: &str = "estd::audit";
