//! The other ends: the operator's of the Unix socket, and the device's of EST.

pub mod operator;
