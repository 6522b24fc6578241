//! Attempts at fetching: which failures are final, how long the others are repeated.

use std::time::{Duration, Instant};

use super::report::Failure;
use crate::resource::{Request, shown};

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A wait that goes on for the same reason is told again this often.
const REMINDER: Duration = Duration::from_secs(30);

/// Why one attempt failed.
pub(super) enum Attempt {
    Again(String),
    Final { cause: String, remedy: &'static str },
}

pub(super) fn never(cause: &str) -> Attempt {
    Attempt::Final { cause: cause.to_owned(), remedy: "correct the configuration and install the host again" }
}

fn failure(request: &Request, cause: String, remedy: &str) -> Failure {
    Failure::because("fetch", shown(&request.url), cause, remedy)
}

/// Waits between attempts: longer each time, and says so now and then.
pub(super) struct Patience<'a> {
    request: &'a Request,
    say: fn(&str),
    began: Instant,
    pause: Duration,
    told: Option<(String, Instant)>,
}

impl<'a> Patience<'a> {
    pub fn new(request: &'a Request, say: fn(&str)) -> Self {
        Self { request, say, began: Instant::now(), pause: FIRST_PAUSE, told: None }
    }

    /// Cuts an attempt off when the configuration's total time is over.
    pub async fn limit<T>(&self, attempt: impl Future<Output = Result<T, Attempt>>) -> Result<T, Attempt> {
        let total = Duration::from_secs(self.request.timeouts.total);
        if total.is_zero() {
            return attempt.await;
        }
        match tokio::time::timeout(total.saturating_sub(self.began.elapsed()), attempt).await {
            Ok(result) => result,
            Err(_) => Err(Attempt::Again("it was not complete".to_owned())),
        }
    }

    /// # Errors
    /// The attempt was final, or there is no time left.
    pub async fn after(&mut self, attempt: Attempt) -> Result<(), Failure> {
        let cause = match attempt {
            Attempt::Final { cause, remedy } => return Err(failure(self.request, cause, remedy)),
            Attempt::Again(cause) => cause,
        };
        let total = Duration::from_secs(self.request.timeouts.total);
        if !total.is_zero() && self.began.elapsed() >= total {
            let cause = format!("no answer in {} s (ignition.timeouts.httpTotal): {cause}", total.as_secs());
            let remedy = "check the network and the server, then try again";
            return Err(Failure { may_pass: true, ..failure(self.request, cause, remedy) });
        }
        let is_new = self.told.as_ref().is_none_or(|(last, at)| *last != cause || at.elapsed() >= REMINDER);
        if is_new {
            let seconds = self.began.elapsed().as_secs();
            (self.say)(&format!("waiting for {} since {seconds} s: {cause}", shown(&self.request.url)));
            self.told = Some((cause, Instant::now()));
        }
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Ok(())
    }
}
