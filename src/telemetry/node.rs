//! The name of the machine.

/// Returns the machine's host name, which distinguishes the events of several nodes.
#[must_use]
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
