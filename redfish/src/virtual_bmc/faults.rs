//! Faults that a test or the lab injects; each counts down as requests come in.

use std::time::Duration;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults {
    /// Requests answered with 503 and Retry-After 0.
    pub unavailable: u32,
    /// Requests answered with 200 and a page of HTML.
    pub wrong_answers: u32,
    /// Requests whose connection is closed without an answer.
    pub dropped_connections: u32,
    /// POST requests that are carried out, and whose answer is lost with the connection.
    pub lost_answers: u32,
    /// Requests answered only after `delay`.
    pub slow_answers: u32,
    pub delay: Duration,
    /// Inserts answered with 500.
    pub failing_inserts: u32,
    /// Inserts that are accepted and then do not show.
    pub forgotten_inserts: u32,
    /// Resets answered with 409.
    pub refused_resets: u32,
    /// New sessions refused with 503, as when too many are open.
    pub refused_sessions: u32,
}

/// What becomes of one request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Normal,
    Unavailable,
    WrongAnswer,
    Drop,
    Slow(Duration),
}

impl Faults {
    pub(super) fn fate(&mut self) -> Fate {
        if take(&mut self.dropped_connections) {
            Fate::Drop
        } else if take(&mut self.unavailable) {
            Fate::Unavailable
        } else if take(&mut self.wrong_answers) {
            Fate::WrongAnswer
        } else if take(&mut self.slow_answers) {
            Fate::Slow(self.delay)
        } else {
            Fate::Normal
        }
    }
}

/// Uses up one of `count`.
pub(super) fn take(count: &mut u32) -> bool {
    let left = *count > 0;
    *count = count.saturating_sub(1);
    left
}
