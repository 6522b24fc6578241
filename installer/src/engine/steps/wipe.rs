//! The end of a cluster: every host that was installed is booted from the medium, its disk wiped and read back, and
//! switched off. Hosts whose disks were never written are only switched off.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::{BoxFuture, join_all};

use super::{Outcome, Step};
use crate::engine::handle::{Handle, Record};
use crate::engine::{Engine, drive};
use crate::failure::{Fails, Failure};

pub const STEP: Step = Step { id: "wipe", title: "Wiping the disks and switching the hosts off", run };

fn run(engine: Arc<Engine>) -> BoxFuture<'static, Result<Outcome, Failure>> {
    async move {
        let ends = join_all(engine.hosts.values().map(|handle| end(&engine, handle))).await;
        let failures: Vec<Failure> = ends.into_iter().filter_map(Result::err).collect();
        if failures.is_empty() { Ok(Outcome::Done) } else { Err(Failure::several(failures)) }
    }
    .boxed()
}

async fn end(engine: &Arc<Engine>, handle: &Arc<Handle>) -> Result<(), Failure> {
    let name = handle.name();
    let installed: Option<Record> =
        engine.journal.get(&format!("host/{name}")).failing(|| format!("reading what is known of {name}"))?;
    match installed.filter(|record| record.touched).and_then(|record| record.disk) {
        Some(disk) => {
            if handle.record().disk.is_none() {
                handle.update(engine, |record| record.disk = Some(disk))?;
            }
            drive::drive(engine.clone(), handle.clone(), engine.stop.clone()).await
        }
        None => {
            engine.events.note(Some(name), "its disk was never written; only switching it off");
            let bmc = drive::controller(handle).await?;
            bmc.force_off().await?;
            bmc.eject().await
        }
    }
}
