//! Group commit: the delay that gathers concurrent writes into one commit.

use std::time::Duration;

/// Pause after which the committer looks at its queue again.
pub(super) const TICK: Duration = Duration::from_micros(500);

/// The most ticks that a commit is delayed.
const TICKS: usize = 8;

/// Estimates from the last commits how many callers write at once.
///
/// The cost of a commit does not depend on the number of its changes: sled wakes all its threads
/// twice for each. So a commit is delayed while more callers are expected than have arrived. The
/// delay grows with their number; a single caller is never delayed. docs/performance.md has the
/// gain.
#[derive(Default)]
pub(super) struct GroupCommit {
    last: [usize; 8],
    next: usize,
}

impl GroupCommit {
    /// Returns whether to wait another tick before `queued` changes are committed.
    pub(super) fn should_wait(&self, queued: usize, ticks: usize) -> bool {
        let most = self.last.iter().copied().max().unwrap_or_default();
        queued > 0 && queued < most && ticks < TICKS.min(most / 3)
    }

    /// Records the number of changes of a commit.
    pub(super) fn record(&mut self, committed: usize) {
        if committed == 0 {
            return;
        }
        if let Some(place) = self.last.get_mut(self.next) {
            *place = committed;
        }
        self.next = (self.next + 1) % self.last.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_caller_never_waits_and_several_wait_for_as_many_as_recently_wrote() {
        let mut group = GroupCommit::default();
        assert!(!group.should_wait(1, 0), "nothing is known yet");
        for _ in 0..20 {
            group.record(1);
        }
        assert!(!group.should_wait(1, 0));
        group.record(12);
        assert!(!group.should_wait(0, 0), "reads are not delayed");
        assert!(group.should_wait(1, 3) && group.should_wait(11, 0));
        assert!(!group.should_wait(12, 0) && !group.should_wait(1, 4));
        group.record(0);
        group.record(500);
        assert!(group.should_wait(1, 7) && !group.should_wait(1, TICKS));
        for _ in 0..8 {
            group.record(1);
        }
        assert!(!group.should_wait(1, 0), "there is one caller again");
    }
}
