//! kill -9 under load.
