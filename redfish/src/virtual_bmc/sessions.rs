//! Login sessions: few, as on real BMCs, and ended by disuse. They do not survive a restart.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub(super) struct Sessions {
    open: Mutex<BTreeMap<u64, Session>>,
    limit: usize,
    timeout: Duration,
}

struct Session {
    token: String,
    used: Instant,
}

pub(super) struct TooMany;

impl Sessions {
    pub(super) fn new(limit: usize, timeout: Duration) -> Self {
        Self { open: Mutex::default(), limit, timeout }
    }

    /// Id and token of a new session.
    pub(super) fn open(&self) -> Result<(u64, String), TooMany> {
        let mut open = self.alive();
        if open.len() >= self.limit {
            return Err(TooMany);
        }
        let id = open.keys().next_back().map_or(1, |last| last + 1);
        let token = hex::encode(rand::random::<[u8; 16]>());
        open.insert(id, Session { token: token.clone(), used: Instant::now() });
        Ok((id, token))
    }

    pub(super) fn accepts(&self, token: &str) -> bool {
        let mut open = self.alive();
        let found = open.values_mut().find(|session| session.token == token);
        found.map(|session| session.used = Instant::now()).is_some()
    }

    /// False when there is no such session.
    pub(super) fn end(&self, id: u64) -> bool {
        self.alive().remove(&id).is_some()
    }

    pub(super) fn ids(&self) -> Vec<u64> {
        self.alive().keys().copied().collect()
    }

    pub(super) fn clear(&self) {
        self.alive().clear();
    }

    fn alive(&self) -> MutexGuard<'_, BTreeMap<u64, Session>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, session| session.used.elapsed() < self.timeout);
        open
    }
}
