//! The cluster's keys and every host's token: made once, kept encrypted in the journal.

use std::sync::Arc;

use ashlar_model::keys::ClusterKeys;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::{Outcome, Step};
use crate::engine::Engine;
use crate::failure::{Fails, Failure};

pub const STEP: Step = Step { id: "keys", title: "Making keys and tokens", run };

const KEYS: &str = "cluster-keys";

fn run(engine: Arc<Engine>) -> BoxFuture<'static, Result<Outcome, Failure>> {
    async move {
        let known: Option<ClusterKeys> =
            engine.journal.get_secret(KEYS).failing(|| "reading the cluster's keys".into())?;
        let because = known.is_some().then(|| "they were made before".to_owned());
        let keys = match known {
            Some(keys) => keys,
            None => {
                let name = &engine.configuration.install.name;
                let keys = ashlar_pki::cluster_keys(name).failing(|| "making the cluster's keys".into())?;
                engine.journal.put_secret(KEYS, &keys).failing(|| "keeping the cluster's keys".into())?;
                keys
            }
        };
        let _ = engine.keys.set(keys);
        for handle in engine.hosts.values().filter(|handle| handle.secrets().is_none()) {
            handle.issue_secrets(&engine)?;
        }
        Ok(because.map_or(Outcome::Done, |because| Outcome::Skipped { because }))
    }
    .boxed()
}
