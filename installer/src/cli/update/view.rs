//! An update in one view.

use std::process::ExitCode;

use ashlar_controllers::update::ClusterUpdate;
use ashlar_controllers::update::objects::{NodeProgress, phase_name};
use ashlar_model::update::Phase;
use kube::Client;

use super::object;
use crate::cli::table::table;
use crate::cli::{Output, print_json};
use crate::failure::Failure;

/// What is done in each phase.
const PHASES: &[(Phase, &str)] = &[
    (Phase::Content, "the release goes to the masters"),
    (Phase::Fetch, "nodes fetch system and images"),
    (Phase::ApiServers, "API servers"),
    (Phase::ControlPlane, "controller managers and schedulers"),
    (Phase::AddOns, "add-ons"),
    (Phase::Masters, "masters restart into the new system"),
    (Phase::Workers, "workers restart into the new system"),
    (Phase::Finished, "finished"),
];

pub async fn show(client: &Client, output: Output) -> Result<ExitCode, Failure> {
    let update = object::read(client).await?;
    match (output, &update) {
        (Output::Json, update) => print_json(update)?,
        (Output::Text, None) => println!("no update was begun"),
        (Output::Text, Some(update)) => print!("{}", text(update, jiff::Timestamp::now())),
    }
    Ok(ExitCode::SUCCESS)
}

/// What is being done, in one line.
pub fn line(update: &ClusterUpdate) -> String {
    let Some(status) = &update.status else { return String::new() };
    let now = PHASES.iter().find(|(phase, _)| phase_name(*phase) == status.phase);
    let (words, waiting) = (now.map_or("", |(_, words)| words), &status.waiting);
    if waiting.is_empty() { words.to_owned() } else { format!("{words}: {waiting}") }
}

/// What an update that stops leaves, and what of it does not go back.
pub fn left(update: &ClusterUpdate) -> String {
    let api_servers = update
        .status
        .iter()
        .flat_map(|status| &status.nodes)
        .filter(|node| {
            matches!(node.step.as_str(), "control-plane" | "system")
                || (node.step == "api-server" && node.outcome != "failed")
        })
        .filter(|node| node.role == "master")
        .map(|node| node.name.as_str());
    let names: Vec<&str> = api_servers.collect();
    if names.is_empty() {
        return "nothing that runs was changed\n".into();
    }
    format!(
        "the control plane of {} has Kubernetes {}, which is not taken back: older API servers may not read what newer \
         ones stored. `ashlar update start` goes on; until then all works, also with kubelets of the version before\n",
        names.join(", "),
        update.spec.kubernetes_version
    )
}

fn text(update: &ClusterUpdate, now: jiff::Timestamp) -> String {
    let (spec, status) = (&update.spec, update.status.clone().unwrap_or_default());
    let state = if let Some(stopped) = update.condition("Stopped") {
        format!("has stopped: {}", stopped.message)
    } else if update.condition("Finished").is_some() {
        "has finished".to_owned()
    } else {
        "is going on".to_owned()
    };
    let mut text = format!("update to {} (Kubernetes {}) {state}\n\n", spec.version, spec.kubernetes_version);
    text += &phases(update, now);
    let row = |node: &NodeProgress| {
        let since = seconds(&node.since, now).map(|seconds| format!("{seconds} s")).unwrap_or_default();
        vec![
            node.name.clone(),
            node.role.clone(),
            node.kubelet.clone(),
            node.step.clone(),
            node.outcome.clone(),
            since,
            node.message.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = status.nodes.iter().map(row).collect();
    text += "\n";
    text += &table(&["NODE", "ROLE", "KUBELET", "STEP", "STATE", "SINCE", ""], &rows);
    if !status.waiting.is_empty() {
        let since = seconds(&status.waiting_since, now).unwrap_or_default();
        text += &format!("\nwaits (since {since} s): {}\n", status.waiting);
    }
    if update.condition("Stopped").is_some() {
        text += &format!("\n{}", left(update));
    }
    text
}

fn phases(update: &ClusterUpdate, now: jiff::Timestamp) -> String {
    let phases: Vec<_> = update.status.iter().flat_map(|status| &status.phases).collect();
    let began = |phase: Phase| phases.iter().find(|one| one.phase == phase_name(phase));
    let mut text = String::new();
    for (index, (phase, words)) in PHASES.iter().enumerate().take(PHASES.len() - 1) {
        let later = PHASES[index + 1..].iter().find_map(|(phase, _)| began(*phase));
        let took = |from: &str, to: &str| Some(seconds(from, to.parse().ok()?)?.to_string());
        let line = match (began(*phase), later) {
            (Some(one), Some(next)) => {
                format!("[x] {words} ({} s)", took(&one.began, &next.began).unwrap_or_default())
            }
            (Some(one), None) => {
                format!("[.] {words} (since {} s)", seconds(&one.began, now).unwrap_or_default())
            }
            (None, Some(_)) => format!("[x] {words}"),
            (None, None) => format!("[ ] {words}"),
        };
        text += &line;
        text.push('\n');
    }
    text
}

fn seconds(since: &str, now: jiff::Timestamp) -> Option<i64> {
    let since: jiff::Timestamp = since.parse().ok()?;
    Some(now.as_second() - since.as_second())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ashlar_controllers::update::objects::{ClusterUpdateSpec, PhaseBegan, UpdateStatus};

    fn update() -> ClusterUpdate {
        let spec = ClusterUpdateSpec {
            version: "0.2.0".into(),
            kubernetes_version: "1.36.4".into(),
            ..ClusterUpdateSpec::default()
        };
        let mut update = ClusterUpdate::new("cluster", spec);
        let began = |phase: &str, began: &str| PhaseBegan { phase: phase.into(), began: began.into() };
        let node = NodeProgress { name: "master-1".into(), role: "master".into(), ..NodeProgress::default() };
        update.status = Some(UpdateStatus {
            phases: vec![began("Content", "2026-01-01T00:00:00Z"), began("Fetch", "2026-01-01T00:01:30Z")],
            waiting: "worker-1 fetches".into(),
            waiting_since: "2026-01-01T00:01:40Z".into(),
            nodes: vec![node],
            ..UpdateStatus::default()
        });
        update
    }

    #[test]
    fn one_view_says_what_was_done_what_is_waited_for_and_since_when() {
        let now = "2026-01-01T00:02:00Z".parse().expect("a time");
        let text = text(&update(), now);
        for line in [
            "update to 0.2.0 (Kubernetes 1.36.4) is going on",
            "[x] the release goes to the masters (90 s)",
            "[.] nodes fetch system and images (since 30 s)",
            "[ ] API servers",
            "waits (since 20 s): worker-1 fetches",
        ] {
            assert!(text.lines().any(|one| one == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn a_stop_says_what_is_not_taken_back() {
        let mut update = update();
        assert_eq!(left(&update), "nothing that runs was changed\n");
        let status = update.status.as_mut().expect("set");
        status.nodes[0].step = "api-server".into();
        status.nodes[0].outcome = "done".into();
        let stopped = serde_json::json!({"type": "Stopped", "status": "True", "reason": "",
            "message": "master-2: it broke", "lastTransitionTime": ""});
        status.conditions = vec![serde_json::from_value(stopped).expect("a condition")];
        let text = text(&update, "2026-01-01T00:02:00Z".parse().expect("a time"));
        assert!(
            text.contains("has stopped: master-2: it broke") && text.contains("of master-1 has Kubernetes"),
            "{text}"
        );
    }
}
