//! How long to wait before trying again: doubling with a cap and jitter, so that a rack does not call in step.

use std::time::Duration;

use rand::Rng;

#[derive(Debug)]
pub struct Backoff {
    next: Duration,
    cap: Duration,
}

impl Backoff {
    pub fn new(first: Duration, cap: Duration) -> Self {
        Self { next: first, cap }
    }

    /// Sleeps between half and all of the current interval, then doubles it.
    pub async fn wait(&mut self) {
        let full = self.next;
        self.next = (self.next * 2).min(self.cap);
        tokio::time::sleep(full.mul_f64(rand::rng().random_range(0.5..=1.0))).await;
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new(Duration::from_millis(250), Duration::from_secs(5))
    }
}
