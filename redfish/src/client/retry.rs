//! The one place where the client waits: tries with growing, jittered pauses, and polling up to a deadline.

use super::{Error, Timeouts};
use std::time::{Duration, Instant};

/// What a failed try means for the next one.
pub(super) enum Verdict {
    Final(Error),
    /// The reason goes to the log; `after` is what the BMC asked for.
    Again {
        error: Error,
        reason: &'static str,
        after: Option<Duration>,
    },
}

/// Runs `act` until it succeeds, fails for good, or `timeouts.attempts` are used up.
pub(super) async fn with_retries<T, F>(
    timeouts: &Timeouts,
    what: &str,
    mut act: impl FnMut() -> F,
) -> Result<T, Error>
where
    F: Future<Output = Result<T, Verdict>>,
{
    let mut attempt = 1;
    loop {
        let (error, reason, after) = match act().await {
            Ok(value) => return Ok(value),
            Err(Verdict::Final(error)) => return Err(error),
            Err(Verdict::Again { error, reason, after }) => (error, reason, after),
        };
        if attempt >= timeouts.attempts {
            return Err(error);
        }
        let pause = pause(timeouts, attempt, after);
        tracing::debug!(what, attempt, reason, %error, ?pause, "trying again");
        tokio::time::sleep(pause).await;
        attempt += 1;
    }
}

/// Looks every `timeouts.poll` until `look` finds a value; `Err(seen)` in it is what is there instead.
pub(super) async fn poll_until<T, F>(
    timeouts: &Timeouts,
    bmc: &str,
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> F,
) -> Result<T, Error>
where
    F: Future<Output = Result<Result<T, String>, Error>>,
{
    let start = Instant::now();
    loop {
        let last = match look().await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(seen)) => seen,
            Err(error) if error.may_pass() => error.to_string(),
            Err(error) => return Err(error),
        };
        if start.elapsed() >= limit {
            return Err(Error::TimedOut { bmc: bmc.into(), what: what.into(), after: limit, last });
        }
        tokio::time::sleep(timeouts.poll).await;
    }
}

fn pause(timeouts: &Timeouts, attempt: u32, after: Option<Duration>) -> Duration {
    let doubled = timeouts.pause.saturating_mul(1 << attempt.saturating_sub(1).min(16));
    let longest = doubled.max(after.unwrap_or_default()).min(timeouts.longest_pause);
    longest.mul_f64(rand::random_range(0.75..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_follow_the_bmc_and_are_capped() {
        let timeouts = Timeouts {
            pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(8),
            ..Timeouts::default()
        };
        assert!(pause(&timeouts, 1, None) <= Duration::from_secs(1));
        assert!(pause(&timeouts, 3, None) >= Duration::from_secs(3));
        assert!(pause(&timeouts, 1, Some(Duration::from_secs(6))) >= Duration::from_secs_f64(4.5));
        assert!(pause(&timeouts, 30, Some(Duration::from_secs(900))) <= Duration::from_secs(8));
    }
}
