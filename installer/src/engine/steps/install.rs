//! Every host from powered off to node, the bootstrap from medium to gone, all at the same time.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::task::JoinSet;

use super::{Outcome, Step};
use crate::engine::host::State;
use crate::engine::{Engine, bootstrap, drive, status_file};
use crate::failure::Failure;

pub const STEP: Step = Step { id: "install", title: "Installing the hosts", run };

/// After a first failure the others get this long to say theirs, so that one run reports all of them.
const GRACE: Duration = Duration::from_secs(20);

fn run(engine: Arc<Engine>) -> BoxFuture<'static, Result<Outcome, Failure>> {
    async move {
        let stop = engine.stop.child_token();
        let _stop_all = stop.clone().drop_guard();
        let mut tasks = JoinSet::new();
        for handle in engine.hosts.values() {
            tasks.spawn(drive::drive(engine.clone(), handle.clone(), stop.clone()));
        }
        tasks.spawn(bootstrap::watch(engine.clone(), stop.clone()));
        tasks.spawn(snapshot(engine.clone(), stop.clone()));
        let failures = collect(&engine, &mut tasks).await;
        stop.cancel();
        while tasks.join_next().await.is_some() {}
        status_file::write(&engine, None);
        if failures.is_empty() { Ok(Outcome::Done) } else { Err(Failure::several(failures)) }
    }
    .boxed()
}

/// Waits for all, or for the failures of those that fail about the same time.
async fn collect(engine: &Engine, tasks: &mut JoinSet<Result<(), Failure>>) -> Vec<Failure> {
    let mut failures = Vec::new();
    let mut deadline = None;
    let mut changed = engine.changed.subscribe();
    loop {
        let over = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            end = tasks.join_next() => match end {
                None => return failures,
                Some(Ok(Ok(()))) => {}
                Some(Ok(Err(failure))) => failures.push(failure),
                Some(Err(panic)) => failures.push(Failure::environment("a task of the engine broke").because(panic)),
            },
            _ = changed.changed() => {}
            () = over => return failures,
        }
        // The snapshot ends only when it is told to.
        if tasks.len() == 1 || (!failures.is_empty() && all_told(engine, failures.len())) {
            return failures;
        }
        if !failures.is_empty() && deadline.is_none() {
            deadline = Some(tokio::time::Instant::now() + GRACE);
        }
    }
}

/// Every host has reported, its disk was judged, and each that failed is among the `failures`: none will follow soon.
fn all_told(engine: &Engine, failures: usize) -> bool {
    let failed = engine.hosts.values().filter(|handle| matches!(handle.state(), State::Failed { .. }));
    if failed.count() > failures {
        return false;
    }
    engine.hosts.values().all(|handle| {
        let record = handle.record();
        match record.state {
            State::Registered | State::Booting { .. } => false,
            State::Enrolled { .. } => record.disk.is_some(),
            _ => true,
        }
    })
}

/// Keeps the status file fresh.
async fn snapshot(engine: Arc<Engine>, stop: tokio_util::sync::CancellationToken) -> Result<(), Failure> {
    let mut changed = engine.changed.subscribe();
    loop {
        let bootstrap = engine.bootstrap().map(|handle| handle.state());
        if !matches!(bootstrap, Some(State::Serving { .. })) {
            status_file::write(&engine, None);
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = changed.changed() => {}
        }
    }
}
