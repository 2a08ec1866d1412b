//! What the server tells about itself: audit events, and the text on the terminal.

pub mod audit;
mod terminal;
mod trail;

pub use terminal::start_terminal;
pub use trail::{FileTrail, json_line, text_line};
