//! Runs one task while its progress is streamed to the engine, at most twice a second.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ashlar_host::inventory::Machine;
use ashlar_model::agent_api::{HostView, Progress, Task, TaskResult};
use ashlar_model::keys::KeyPair;
use ashlar_model::slot::SlotSecret;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::done::Done;
use super::engine::Engine;
use super::{MEDIUM, bootstrap};
use crate::console::Console;
use crate::disk::{Report, install, wipe};
use crate::failure::Failure;

const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);

pub struct Worker<'a> {
    view: &'a HostView,
    identity: &'a KeyPair,
    console: &'a Console,
    done: Mutex<Done>,
}

impl<'a> Worker<'a> {
    pub fn new(view: &'a HostView, identity: &'a KeyPair, console: &'a Console) -> Self {
        Self { view, identity, console, done: Mutex::new(Done::load()) }
    }

    /// Always comes to a result; what failed is also on the console.
    pub async fn perform(&self, task: &Task, engine: &mut Engine<'_>) -> TaskResult {
        if let Some(result) = self.with_done(|done| done.result(task).cloned()) {
            tracing::info!(task = name(task), "was done before");
            return result;
        }
        tracing::info!(task = name(task), "begins");
        self.console.works_again();
        let (sender, receiver) = watch::channel(None);
        let report: Report = Arc::new(move |progress: Progress| {
            sender.send_replace(Some(progress));
            true
        });
        let result = {
            let work = self.run(task, &report);
            tokio::select! {
                result = work => result,
                never = self.stream(receiver, engine) => match never {},
            }
        };
        let result = match result {
            Ok(result) => {
                tracing::info!(task = name(task), ?result, "is done");
                result
            }
            Err(failure) => {
                tracing::error!(task = name(task), ?failure, "failed");
                self.console.failed(failure.clone());
                failure.into()
            }
        };
        self.with_done(|done| done.record(task, &result));
        result
    }

    fn with_done<T>(&self, act: impl FnOnce(&mut Done) -> T) -> T {
        act(&mut self.done.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    async fn run(&self, task: &Task, report: &Report) -> Result<TaskResult, Failure> {
        let machine = Machine::default();
        match task {
            Task::Wait => Err(Failure::new("task", "waiting is no work")),
            Task::Install(task) => install::run(&machine, self.source(), task, report).await,
            Task::Bootstrap(task) => bootstrap::run(&machine, task, report).await,
            Task::Wipe(task) => wipe::run(&machine, task, report).await,
        }
    }

    fn source(&self) -> install::Source {
        install::Source {
            image: Path::new(MEDIUM).join("disk.img"),
            manifest: Path::new(MEDIUM).join("disk.json"),
            host: self.view.host.clone(),
            secret: SlotSecret {
                token: self.view.token.clone(),
                certificate_pem: self.identity.certificate_pem.clone(),
                private_key_pem: self.identity.private_key_pem.clone(),
            },
        }
    }

    async fn stream(
        &self,
        mut receiver: watch::Receiver<Option<Progress>>,
        engine: &mut Engine<'_>,
    ) -> std::convert::Infallible {
        let mut ticks = tokio::time::interval(PROGRESS_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if receiver.changed().await.is_err() {
                // The work ends at any moment now.
                std::future::pending::<()>().await;
            }
            let progress = receiver.borrow_and_update().clone();
            if let Some(progress) = progress {
                self.console.works(progress.message.clone(), progress.bytes);
                engine.post_progress(&progress).await;
            }
        }
    }
}

fn name(task: &Task) -> &'static str {
    match task {
        Task::Wait => "wait",
        Task::Install(_) => "install",
        Task::Bootstrap(_) => "bootstrap",
        Task::Wipe(_) => "wipe",
    }
}
