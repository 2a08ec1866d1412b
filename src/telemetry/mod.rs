//! What the server tells about itself: audit events, and the text on the terminal.

pub mod audit;
