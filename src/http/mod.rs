//! HTTP: from a request's bytes to an operation, and back.
//!
//! Every EST request passes through [`est::handle`]. It adds to hyper: paths, media types, limits,
//! status codes, and quirks of clients in the field.

pub mod admin;
mod body;
mod error;
pub mod est;
pub mod framing;
mod headers;
pub mod progress;
mod response;
pub mod route;

pub use error::Error;
pub use response::Answer;
