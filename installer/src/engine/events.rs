//! Events: the only way the engine talks. Durable ones go to the journal; all of them to whoever listens.

use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use ashlar_model::event::{Event, What};
use tokio::sync::broadcast;

use super::journal::Journal;

/// Enough for a slow terminal to fall behind by some seconds; a listener that lags misses progress, nothing else.
const BACKLOG: usize = 4096;

pub struct Events {
    journal: Journal,
    listeners: broadcast::Sender<Event>,
    /// What was said last of each host's waiting, so that it is said again only when it changes.
    waiting: Mutex<std::collections::HashMap<String, String>>,
}

impl Events {
    pub fn new(journal: Journal) -> Self {
        Self { journal, listeners: broadcast::channel(BACKLOG).0, waiting: Mutex::default() }
    }

    pub fn listen(&self) -> broadcast::Receiver<Event> {
        self.listeners.subscribe()
    }

    /// Says it, and keeps it in the journal unless it is only of passing interest.
    pub fn emit(&self, host: Option<&str>, what: What) {
        let event = Event { time_ms: now_ms(), host: host.map(str::to_owned), what };
        let durable = !matches!(event.what, What::Progress { .. } | What::Waiting { .. });
        if durable && let Err(error) = self.journal.append(&event) {
            tracing::error!(error = crate::failure::chain(&error), "an event was not recorded");
        }
        // Nobody listening is fine: the journal has it.
        let _ = self.listeners.send(event);
    }

    pub fn note(&self, host: Option<&str>, message: impl Into<String>) {
        self.emit(host, What::Note { message: message.into() });
    }

    /// Says what is waited for, once per thing and then every half minute.
    pub fn waiting(&self, host: Option<&str>, for_what: &str, seconds: u64) {
        let key = host.unwrap_or_default().to_owned();
        let said = format!("{for_what}/{}", seconds / 30);
        let mut waiting = self.waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if waiting.insert(key, said.clone()).as_ref() != Some(&said) {
            self.emit(host, What::Waiting { for_what: for_what.to_owned(), seconds });
        }
    }
}

pub fn now_ms() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}
