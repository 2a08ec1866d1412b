//! Limit of open files: each connection uses one, and some must remain for the store.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that are not connections of clients: store, logs, listeners, the operator's socket.
const OTHERS: usize = 128;

/// Raises the limit of open files as far as this process may, and returns it. None: unlimited.
pub(super) fn raise_limit() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return current;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum,
        Err(error) => {
            tracing::warn!("the limit of open files stays as it is: {error}");
            current
        }
    }
}

/// Returns how many connections of `wanted` fit within a limit of open files.
pub(super) fn room(wanted: usize, limit: Option<u64>) -> usize {
    let Some(limit) = limit.and_then(|limit| usize::try_from(limit).ok()) else { return wanted };
    let room = wanted.min(limit.saturating_sub(OTHERS).max(limit / 2)).max(1);
    if room < wanted {
        tracing::warn!(
            "max_connections = {wanted} exceeds the limit of {limit} open files: serving {room} connections at once; remedy: set LimitNOFILE={} in the systemd unit, raise ulimit -Hn, or lower max_connections",
            wanted.saturating_add(OTHERS)
        );
    }
    room
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_room_for_other_files() {
        for (wanted, limit, expected) in [
            (10_000, None, 10_000),
            (10_000, Some(524_288), 10_000),
            (10_000, Some(10_128), 10_000),
            (10_000, Some(10_127), 9_999),
            (10_000, Some(1024), 896),
            (10_000, Some(64), 32),
            (5, Some(1024), 5),
        ] {
            assert_eq!(room(wanted, limit), expected, "{wanted} of {limit:?}");
        }
    }

    #[test]
    fn the_limit_is_raised_to_the_maximum() {
        assert_eq!(raise_limit(), getrlimit(Resource::Nofile).maximum);
        assert_eq!(getrlimit(Resource::Nofile).current, getrlimit(Resource::Nofile).maximum);
    }
}
