//! The steps of a run, as data. To add one: write a function in a file of this folder and name it in a list.
//!
//! A step is idempotent and at most 60 lines; steps of one stage run at the same time.

mod bmcs;
mod credentials;
mod install;
mod keys;
mod left_media;
mod nodes;
mod release;
pub mod serve;
mod wipe;

use std::sync::Arc;
use std::time::Instant;

use ashlar_model::event::What;
use futures::future::{BoxFuture, join_all};

use super::Engine;
use crate::failure::Failure;

pub struct Step {
    pub id: &'static str,
    /// What the operator reads while it runs.
    pub title: &'static str,
    pub run: fn(Arc<Engine>) -> BoxFuture<'static, Result<Outcome, Failure>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Done,
    Skipped { because: String },
}

pub const CREATE: &[&[Step]] = &[
    &[release::STEP, bmcs::STEP, keys::STEP],
    &[credentials::STEP, serve::STEP],
    &[install::STEP],
    &[nodes::STEP, left_media::STEP],
];

/// On a cluster that is installed already.
pub const RENEW: &[&[Step]] = &[&[keys::STEP], &[credentials::STEP]];

pub const DESTROY: &[&[Step]] = &[&[release::STEP, bmcs::STEP, keys::STEP], &[serve::STEP], &[wipe::STEP]];

/// Runs stage after stage; every failure of a stage is in the answer.
///
/// # Errors
/// A step failed, or the run was interrupted.
pub async fn run(engine: &Arc<Engine>, stages: &[&[Step]]) -> Result<(), Failure> {
    let end = run_stages(engine, stages).await;
    let controllers = engine.hosts.values().filter_map(|handle| handle.bmc.get());
    join_all(controllers.map(|controller| controller.leave())).await;
    end
}

async fn run_stages(engine: &Arc<Engine>, stages: &[&[Step]]) -> Result<(), Failure> {
    for stage in stages {
        let ends = join_all(stage.iter().map(|step| one(engine, step)));
        let ends = tokio::select! {
            ends = ends => ends,
            () = engine.stop.cancelled() => return Err(interrupted()),
        };
        let failures: Vec<Failure> = ends.into_iter().filter_map(Result::err).collect();
        if engine.stop.is_cancelled() {
            return Err(interrupted());
        }
        if !failures.is_empty() {
            return Err(Failure::several(failures));
        }
    }
    Ok(())
}

async fn one(engine: &Arc<Engine>, step: &Step) -> Result<(), Failure> {
    let id = step.id.to_owned();
    engine.events.emit(None, What::StepStarted { step: id.clone(), title: step.title.into() });
    let start = Instant::now();
    let end = (step.run)(engine.clone()).await;
    let what = match &end {
        Ok(Outcome::Done) => What::StepFinished { step: id, seconds: start.elapsed().as_secs_f64() },
        Ok(Outcome::Skipped { because }) => What::StepSkipped { step: id, because: because.clone() },
        Err(failure) => What::StepFailed { step: id, cause: failure.cause(), hint: failure.hint.clone() },
    };
    engine.events.emit(None, what);
    end.map(drop)
}

fn interrupted() -> Failure {
    Failure::user("interrupted")
        .hint("nothing is lost: run the same command again, it goes on where it stopped")
}
