//! How long a command retries while the server cannot answer yet: `--max-wait`.

use super::{DeviceFailure, outcome::note};
use crate::client::Error;
use std::time::Duration;
use tokio::time::Instant;

/// The first pause if the server names none. Each further one is twice as long, up to [`LONGEST`].
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);
/// The pause of a request that awaits a decision, if the server names none.
const PENDING: Duration = Duration::from_secs(5);

/// The time that is left for further tries, over all requests of a command.
#[derive(Debug)]
pub(super) struct Patience {
    end: Instant,
    next: Duration,
}

impl Patience {
    pub(super) fn new(max_wait: Duration) -> Self {
        let now = Instant::now();
        // A time too long to be added is a year.
        let end = now.checked_add(max_wait).unwrap_or(now + Duration::from_secs(365 * 86_400));
        Self { end, next: FIRST }
    }

    /// Repeats a request until it is answered.
    ///
    /// # Errors
    /// As [`Self::wait`].
    pub(super) async fn retry<T>(
        &mut self,
        request: impl AsyncFn() -> Result<T, Error>,
    ) -> Result<T, DeviceFailure> {
        loop {
            match request().await {
                Ok(answer) => return Ok(answer),
                Err(error) => self.wait(error).await?,
            }
        }
    }

    /// Waits until the next try, for the time that the server names, if any.
    ///
    /// # Errors
    /// The error itself if the same request cannot succeed later, or not before the time is up.
    pub(super) async fn wait(&mut self, error: Error) -> Result<(), DeviceFailure> {
        let left = self.end.saturating_duration_since(Instant::now());
        let Some(pause) = self.pause(&error, left) else { return Err(error.into()) };
        note(format_args!("{error}; trying again in {} s", pause.as_secs().max(1)));
        tokio::time::sleep(pause).await;
        Ok(())
    }

    fn pause(&mut self, error: &Error, left: Duration) -> Option<Duration> {
        if error.is_early() {
            return None;
        }
        let wanted = error.later()?;
        let pause = match (wanted, error) {
            (Some(wanted), _) => wanted.max(FIRST),
            (None, Error::Pending { .. }) => PENDING,
            // The server did not request this pause, so the last one may be shorter.
            (None, _) => {
                let pause = self.next.min(left.max(FIRST));
                self.next = (self.next * 2).min(LONGEST);
                pause
            }
        };
        (pause <= left).then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{client::ServerRejection, types::Code};

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn pauses_grow_and_end_with_the_time() {
        let mut patience = Patience::new(Duration::MAX);
        let unreachable =
            || Error::Connect { server: String::new(), source: std::io::Error::other("") };
        let mut pauses = Vec::new();
        let mut left = seconds(100);
        while let Some(pause) = patience.pause(&unreachable(), left) {
            left -= pause;
            pauses.push(pause.as_secs());
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30, 9]);
    }

    #[test]
    fn no_retry_before_the_time_that_the_server_names() {
        let mut patience = Patience::new(Duration::ZERO);
        let pending = |retry_after| Error::Pending { retry_after, request_id: None };
        assert_eq!(patience.pause(&pending(Some(seconds(60))), seconds(60)), Some(seconds(60)));
        assert_eq!(patience.pause(&pending(Some(seconds(61))), seconds(60)), None);
        assert_eq!(patience.pause(&pending(Some(seconds(0))), seconds(60)), Some(FIRST));
        assert_eq!(patience.pause(&pending(None), seconds(60)), Some(PENDING));
        let early = Error::Rejected(Box::new(ServerRejection {
            status: 403,
            text: format!("{}: too early", Code::RenewalEarly),
            request_id: None,
            retry_after: Some(FIRST),
            retry_at: None,
        }));
        assert_eq!((early.later(), patience.pause(&early, seconds(60))), (Some(Some(FIRST)), None));
        let malformed = Error::Malformed { operation: "cacerts", why: String::new() };
        assert_eq!(patience.pause(&malformed, seconds(60)), None);
    }
}
