//! Long operations: 202 with a task monitor, followed until it says how it ended.

use super::Error;
use super::connection::{Connection, Reply};
use super::extended_info::Explanation;
use serde_json::Value;
use std::time::{Duration, Instant};

enum Progress {
    Done,
    Failed(String),
    Running(String),
}

impl Connection {
    /// Returns at once unless `reply` is a 202 that names a task.
    pub(super) async fn follow(&self, reply: Reply) -> Result<Reply, Error> {
        let Some(monitor) = monitor_of(&reply) else { return Ok(reply) };
        let start = Instant::now();
        let mut pause = reply.retry_after();
        loop {
            tokio::time::sleep(pause.unwrap_or(self.timeouts.poll).min(self.timeouts.longest_pause)).await;
            let reply = match self.get(&monitor).await {
                // Monitors of finished tasks may vanish before they are first asked.
                Err(error) if matches!(error.status(), Some(404 | 410)) => return Ok(gone()),
                answer => answer?,
            };
            match progress(&reply) {
                Progress::Done => return Ok(reply),
                Progress::Failed(state) => {
                    let explanation = Explanation::of_body(&messages(&reply.body));
                    return Err(Error::TaskFailed {
                        bmc: self.bmc.clone(),
                        task: monitor,
                        state,
                        explanation,
                    });
                }
                Progress::Running(state) if start.elapsed() >= self.timeouts.task => {
                    return Err(Error::TimedOut {
                        bmc: self.bmc.clone(),
                        what: format!("task {monitor}"),
                        after: self.timeouts.task,
                        last: state,
                    });
                }
                Progress::Running(_) => pause = reply.retry_after().filter(|pause| *pause > Duration::ZERO),
            }
        }
    }
}

fn monitor_of(reply: &Reply) -> Option<String> {
    if reply.status != 202 {
        return None;
    }
    let is_task =
        reply.body.get("@odata.type").and_then(Value::as_str).is_some_and(|kind| kind.contains("Task"));
    let in_body = is_task.then(|| reply.body.get("@odata.id")?.as_str()).flatten();
    reply.location().or(in_body).map(str::to_owned)
}

fn progress(reply: &Reply) -> Progress {
    let state = reply.body.get("TaskState").and_then(Value::as_str);
    match state {
        Some("Completed") => Progress::Done,
        Some(state @ ("Exception" | "Killed" | "Cancelled" | "Suspended" | "Interrupted")) => {
            Progress::Failed(state.into())
        }
        Some(state) => Progress::Running(state.into()),
        None if reply.status == 202 => Progress::Running("no task state".into()),
        None => Progress::Done,
    }
}

fn messages(task: &Value) -> Value {
    serde_json::json!({"@Message.ExtendedInfo": task.get("Messages")})
}

fn gone() -> Reply {
    Reply::empty(204)
}
