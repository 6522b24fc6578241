//! The cluster's own word: every node Ready and its kubelet reached, asked at the VIP.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;

use super::{Outcome, Step};
use crate::engine::{Engine, cluster};
use crate::failure::{Fails, Failure};

pub const STEP: Step = Step { id: "nodes", title: "Asking the cluster at its API address", run };

fn run(engine: Arc<Engine>) -> BoxFuture<'static, Result<Outcome, Failure>> {
    async move {
        let path = engine.directory.kubeconfig();
        let text = std::fs::read_to_string(&path).failing(|| format!("reading {}", path.display()))?;
        let client = cluster::client(&text).await?;
        let wanted: Vec<String> = engine.nodes().map(|node| node.name().to_owned()).collect();
        let start = Instant::now();
        loop {
            let missing = match cluster::nodes(&client).await {
                Ok(rows) => {
                    let ready = |name: &String| rows.iter().any(|row| row.name == *name && row.ready);
                    let missing: Vec<&str> =
                        wanted.iter().filter(|name| !ready(name)).map(String::as_str).collect();
                    if missing.is_empty() {
                        match cluster::unanswered(&client, &wanted).await {
                            None => return Ok(Outcome::Done),
                            Some((name, cause)) => {
                                format!("the kubelet of {name} to answer the API ({cause})")
                            }
                        }
                    } else {
                        format!("{} to be Ready", missing.join(", "))
                    }
                }
                Err(failure) => {
                    format!("the API at {} ({})", engine.configuration.install.api_vip, failure.cause())
                }
            };
            engine.events.waiting(None, &missing, start.elapsed().as_secs());
            if start.elapsed() > engine.options.join_timeout {
                return Err(Failure::timed_out(format!("waiting for {missing}")).hint(
                    "`kubectl get nodes` and `kubectl describe node` say more; the same command goes on",
                ));
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
    .boxed()
}
