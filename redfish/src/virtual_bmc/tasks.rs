//! Operations that take longer than a client waits for an answer.

use super::message::general;
use jiff::{Timestamp, Unit};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio_util::task::TaskTracker;

/// Finished tasks that are remembered.
const KEPT: usize = 50;

#[derive(Default)]
pub(super) struct Tasks {
    known: Arc<Mutex<BTreeMap<u64, Task>>>,
    running: TaskTracker,
}

#[derive(Clone)]
pub(super) struct Task {
    name: String,
    start: Timestamp,
    end: Option<(Timestamp, Result<(), String>)>,
}

pub(super) enum Outcome {
    Done(Result<(), String>),
    /// Still going on; the id of the task.
    Running(u64),
}

impl Tasks {
    /// Runs `work` to its end whatever the client does, and waits for it for a while.
    pub(super) async fn run<F>(&self, name: String, wait: Duration, work: F) -> Outcome
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        let id = self.begin(name);
        let known = self.known.clone();
        let mut done = self.running.spawn(async move {
            let result = work.await;
            if let Some(task) = lock(&known).get_mut(&id) {
                task.end = Some((now(), result.clone()));
            }
            result
        });
        match tokio::time::timeout(wait, &mut done).await {
            Ok(joined) => {
                lock(&self.known).remove(&id);
                Outcome::Done(joined.unwrap_or_else(|panic| Err(panic.to_string())))
            }
            Err(_) => Outcome::Running(id),
        }
    }

    pub(super) fn get(&self, id: u64) -> Option<Task> {
        lock(&self.known).get(&id).cloned()
    }

    pub(super) fn ids(&self) -> Vec<u64> {
        lock(&self.known).keys().copied().collect()
    }

    pub(super) async fn wait(&self) {
        self.running.close();
        self.running.wait().await;
        self.running.reopen();
    }

    fn begin(&self, name: String) -> u64 {
        let mut known = lock(&self.known);
        while known.len() >= KEPT
            && let Some(oldest) = known.iter().find(|(_, task)| task.end.is_some()).map(|(id, _)| *id)
        {
            known.remove(&oldest);
        }
        let id = known.keys().next_back().map_or(1, |last| last + 1);
        known.insert(id, Task { name, start: now(), end: None });
        id
    }
}

impl Task {
    pub(super) fn is_running(&self) -> bool {
        self.end.is_none()
    }

    pub(super) fn to_value(&self, path: &str, id: u64) -> Value {
        let (state, status) = match &self.end {
            None => ("Running", "OK"),
            Some((_, Ok(()))) => ("Completed", "OK"),
            Some((_, Err(_))) => ("Exception", "Critical"),
        };
        let mut value = json!({
            "@odata.id": path,
            "@odata.type": "#Task.v1_7_4.Task",
            "Id": id.to_string(),
            "Name": self.name,
            "StartTime": self.start.to_string(),
            "TaskState": state,
            "TaskStatus": status,
            "Messages": [],
        });
        if let Some((end, result)) = &self.end {
            value["EndTime"] = end.to_string().into();
            if let Err(cause) = result {
                value["Messages"] = json!([general(cause.clone()).to_value()]);
            }
        }
        value
    }
}

pub(super) fn now() -> Timestamp {
    let now = Timestamp::now();
    now.round(Unit::Second).unwrap_or(now)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
