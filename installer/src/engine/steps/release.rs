//! Signature and medium of the release. One install has one release from its first run to its last.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::{Outcome, Step};
use crate::engine::Engine;
use crate::engine::release::{OpenRelease, locate};
use crate::failure::{Fails, Failure};

pub const STEP: Step = Step { id: "release", title: "Checking the release", run };

/// Journal key: folder and version.
const RELEASE: &str = "release";

fn run(engine: Arc<Engine>) -> BoxFuture<'static, Result<Outcome, Failure>> {
    async move {
        let known: Option<(std::path::PathBuf, String)> =
            engine.journal.get(RELEASE).failing(|| "reading the journal".into())?;
        let asked = engine.options.release.clone();
        let path = locate(asked.as_deref().or(known.as_ref().map(|(path, _)| path.as_path())))?;
        let open = OpenRelease::open(&path, engine.options.release_key.as_deref(), &engine.journal).await?;
        let version = open.release.version.clone();
        if let Some((path, begun)) = known.filter(|(_, begun)| *begun != version) {
            return Err(Failure::user(format!("this install began with release {begun}, not {version}"))
                .hint(format!(
                    "leave --release away (the release is in {}), or destroy the cluster first",
                    path.display()
                )));
        }
        engine.journal.put(RELEASE, &(path, version)).failing(|| "writing the journal".into())?;
        engine.events.note(
            None,
            format!("release {} with Kubernetes {}", open.release.version, open.release.kubernetes_version),
        );
        let _ = engine.release.set(open);
        Ok(Outcome::Done)
    }
    .boxed()
}
