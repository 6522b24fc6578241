//! No host has a medium left: each BMC is asked, not remembered.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::{BoxFuture, join_all};

use super::{Outcome, Step};
use crate::engine::Engine;
use crate::engine::drive::controller;
use crate::engine::handle::Handle;
use crate::failure::Failure;

pub const STEP: Step = Step { id: "media", title: "Seeing that no medium is left in a host", run };

fn run(engine: Arc<Engine>) -> BoxFuture<'static, Result<Outcome, Failure>> {
    async move {
        let ends = join_all(engine.hosts.values().map(|handle| empty(handle))).await;
        let failures: Vec<Failure> = ends.into_iter().filter_map(Result::err).collect();
        if failures.is_empty() { Ok(Outcome::Done) } else { Err(Failure::several(failures)) }
    }
    .boxed()
}

async fn empty(handle: &Handle) -> Result<(), Failure> {
    let bmc = controller(handle).await?;
    if bmc.medium().await?.is_some() {
        bmc.eject().await?;
    }
    match bmc.medium().await? {
        None => Ok(()),
        Some(url) => Err(Failure::environment(format!("{} still has the medium {url}", handle.name()))
            .hint("take it out on the BMC's own page")),
    }
}
