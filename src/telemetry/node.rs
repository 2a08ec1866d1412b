//! The name of the machine.

/// Returns the machine's host name, by which events of several nodes are told apart.
#[must_use]
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
