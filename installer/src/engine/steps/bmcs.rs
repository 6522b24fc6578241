//! All BMCs at once: certificate, password, power state, virtual media. Every problem in one report.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::{BoxFuture, join_all};

use super::{Outcome, Step};
use crate::engine::Engine;
use crate::engine::drive::controller;
use crate::engine::handle::Handle;
use crate::engine::host::{Purpose, State};
use crate::failure::Failure;

pub const STEP: Step = Step { id: "bmcs", title: "Checking the BMCs of all hosts", run };

fn run(engine: Arc<Engine>) -> BoxFuture<'static, Result<Outcome, Failure>> {
    async move {
        let needed: Vec<Arc<Handle>> =
            engine.hosts.values().filter(|handle| is_needed(handle)).cloned().collect();
        if needed.is_empty() {
            return Ok(Outcome::Skipped { because: "no host has to be driven any more".into() });
        }
        let ends = join_all(needed.iter().map(|handle| check(handle))).await;
        let failures: Vec<Failure> = ends.into_iter().filter_map(Result::err).collect();
        if failures.is_empty() { Ok(Outcome::Done) } else { Err(Failure::several(failures)) }
    }
    .boxed()
}

fn is_needed(handle: &Handle) -> bool {
    handle.purpose == Purpose::Wipe || !matches!(handle.state(), State::Ready | State::Removed)
}

async fn check(handle: &Handle) -> Result<(), Failure> {
    let bmc = controller(handle).await?;
    bmc.is_on().await?;
    bmc.medium().await?;
    Ok(())
}
