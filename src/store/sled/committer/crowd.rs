//! How long a commit waits for company.

use std::time::Duration;

/// How often the committer looks who has come while it waits for company.
pub(super) const GLANCE: Duration = Duration::from_micros(500);

/// How often it looks at most, before it commits.
const GLANCES: usize = 8;

/// How many callers there are at once, as far as the last commits tell.
///
/// A commit costs what it costs, whoever shares it: sled wakes all its threads twice for each. So
/// where several callers come, a commit waits for more of them: a while that grows with their
/// number, and no longer than until as many are there as lately were. A caller that is alone
/// never waits. docs/performance.md has what that gives.
#[derive(Default)]
pub(super) struct Crowd {
    last: [usize; 8],
    next: usize,
}

impl Crowd {
    /// Whether to look once more before `here` changes are committed.
    pub(super) fn is_worth_waiting_for(&self, here: usize, glances: usize) -> bool {
        let most = self.last.iter().copied().max().unwrap_or_default();
        here > 0 && here < most && glances < GLANCES.min(most / 3)
    }

    /// Takes note of how many a commit was for.
    pub(super) fn note(&mut self, committed: usize) {
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
    fn one_caller_never_waits_and_many_wait_for_as_many_as_lately_came() {
        let mut crowd = Crowd::default();
        assert!(!crowd.is_worth_waiting_for(1, 0), "nothing is known yet");
        for _ in 0..20 {
            crowd.note(1);
        }
        assert!(!crowd.is_worth_waiting_for(1, 0));
        crowd.note(12);
        assert!(!crowd.is_worth_waiting_for(0, 0), "who only reads waits for nobody");
        assert!(crowd.is_worth_waiting_for(1, 3) && crowd.is_worth_waiting_for(11, 0));
        assert!(!crowd.is_worth_waiting_for(12, 0) && !crowd.is_worth_waiting_for(1, 4));
        crowd.note(0);
        crowd.note(500);
        assert!(crowd.is_worth_waiting_for(1, 7) && !crowd.is_worth_waiting_for(1, GLANCES));
        for _ in 0..8 {
            crowd.note(1);
        }
        assert!(!crowd.is_worth_waiting_for(1, 0), "the crowd has gone");
    }
}
