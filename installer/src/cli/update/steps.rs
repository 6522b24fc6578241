//! The steps of an update in their order, with what they take. Pure.

use ashlar_model::release::Release;
use serde::Serialize;

use super::facts::Facts;
use crate::cli::table::table;

/// Seconds that a step takes for one node: estimates, from the steps of installs of container machines. Hardware that
/// counts its memory at every start takes longer to restart.
const CONTENT: u32 = 90;
const FETCH: u32 = 60;
const API_SERVER: u32 = 40;
const CONTROL_PLANE: u32 = 30;
const ADD_ONS: u32 = 60;
const RESTART: u32 = 120;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedStep {
    pub what: String,
    /// Each after the one before.
    pub nodes: Vec<String>,
    /// What it means for who uses the cluster.
    pub effect: &'static str,
    pub seconds: u32,
}

pub fn steps(release: &Release, facts: &Facts) -> Vec<PlannedStep> {
    let names = |master: bool| -> Vec<String> {
        facts.nodes.iter().filter(|node| node.master == master).map(|node| node.name.clone()).collect()
    };
    let (masters, workers) = (names(true), names(false));
    let all: Vec<String> = masters.iter().chain(&workers).cloned().collect();
    let kubernetes = &release.kubernetes_version;
    let count = |nodes: &[String], seconds: u32| u32::try_from(nodes.len()).unwrap_or(0) * seconds;
    let step = |what: String, nodes: &[String], effect, seconds| PlannedStep {
        what,
        nodes: nodes.to_vec(),
        effect,
        seconds,
    };
    vec![
        step("the release goes to the masters".into(), &masters, "none", CONTENT),
        step("every node fetches system and images".into(), &all, "none", count(&all, FETCH) / 2),
        step(
            format!("API servers {kubernetes}"),
            &masters,
            "connections to one API server break at a time",
            count(&masters, API_SERVER),
        ),
        step(
            format!("controller managers and schedulers {kubernetes}"),
            &masters,
            "none",
            count(&masters, CONTROL_PLANE),
        ),
        step("add-ons".into(), &all, "none", ADD_ONS),
        step(
            format!("masters: system {} with kubelet {kubernetes}", release.version),
            &masters,
            "emptied, restarted, one at a time",
            count(&masters, RESTART),
        ),
        step(
            format!("workers: system {} with kubelet {kubernetes}", release.version),
            &workers,
            "emptied within budgets, restarted, maxUnavailable of the pool at a time",
            count(&workers, RESTART),
        ),
    ]
}

pub fn text(release: &Release, facts: &Facts, steps: &[PlannedStep]) -> String {
    let from = facts.kubernetes.map_or_else(|| "?".to_owned(), |version| version.to_string());
    let head = format!(
        "to release {} ({}): Kubernetes {from} to {}\n\n",
        release.version,
        release.ostree_commit.chars().take(12).collect::<String>(),
        release.kubernetes_version
    );
    let row = |(number, step): (usize, &PlannedStep)| {
        vec![
            (number + 1).to_string(),
            step.what.clone(),
            step.nodes.join(", "),
            format!("{} min", step.seconds.div_ceil(60)),
            step.effect.to_owned(),
        ]
    };
    let rows: Vec<Vec<String>> = steps.iter().enumerate().map(row).collect();
    let minutes = steps.iter().map(|step| step.seconds).sum::<u32>().div_ceil(60);
    head + &table(&["", "STEP", "NODES", "ABOUT", "EFFECT"], &rows)
        + &format!("\nabout {minutes} minutes in all\n")
}
