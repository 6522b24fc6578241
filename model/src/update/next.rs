//! What is next in an update, from what is seen of the cluster at this moment alone: whoever asks after a crash is
//! answered the same. What is not over is over for nobody: a phase ends when every node is done with it.
//!
//! Order: content on the masters → every node fetches → API servers, one master at a time → controller managers and
//! schedulers → add-ons → masters' systems, one at a time → workers' systems. So no kubelet is ever newer than an API
//! server, and no controller manager or scheduler than one.

use super::{Answer, Outcome, Step};
use crate::bootstrap_api::Role;
use serde::{Deserialize, Serialize};

/// Nodes that fetch at the same time: what they fetch from are masters at work.
const FETCHING: usize = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Phase {
    /// The operator's command brings the release to the masters.
    Content,
    Fetch,
    ApiServers,
    ControlPlane,
    AddOns,
    Masters,
    Workers,
    Finished,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeSeen {
    pub name: String,
    pub role: Role,
    pub zone: String,
    pub ready: bool,
    pub schedulable: bool,
    /// A master's: it has all files of the release.
    pub stored: bool,
    /// What it was told to do last, for this release.
    pub told: Option<Step>,
    /// To this release; of a failure of an earlier attempt, the step before it.
    pub answer: Option<Answer>,
}

/// Of kube-proxy, CoreDNS, the node network and our own controllers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddOns {
    /// They are not looked at before their turn.
    Unknown,
    /// Not all are of this release yet; what is missing.
    Behind(String),
    Done,
}

/// How the workers are gone through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    pub masters_paused: bool,
    pub workers_paused: bool,
    pub max_unavailable: usize,
}

pub struct Seen<'a> {
    pub nodes: &'a [NodeSeen],
    /// Every pod of the control plane is ready, and so is every etcd member.
    pub control_plane_is_well: bool,
    pub add_ons: AddOns,
    pub pace: Pace,
    /// The administrator asked to begin nothing further.
    pub stop: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub phase: Phase,
    /// Nodes that are told to do a step now.
    pub tell: Vec<(String, Step)>,
    /// What is waited for and why; empty when all is done.
    pub waiting: String,
    /// Nothing further is begun, because of this.
    pub stopped: Option<String>,
}

/// The next decision.
#[must_use]
pub fn next(seen: &Seen<'_>) -> Decision {
    let phase = phase(seen);
    let quiet = |waiting: String, stopped: Option<String>| Decision { phase, tell: vec![], waiting, stopped };
    if phase == Phase::Finished {
        return quiet(String::new(), None);
    }
    let failed = seen.nodes.iter().find_map(|node| {
        let answer = node.answer.as_ref().filter(|answer| answer.outcome == Outcome::Failed)?;
        Some(format!("{}: {}", node.name, answer.message))
    });
    let working: Vec<String> = seen.nodes.iter().filter(|node| node.works()).map(NodeSeen::says).collect();
    if let Some(failed) = failed {
        return quiet(working.join("; "), Some(failed));
    }
    if seen.stop {
        return quiet(working.join("; "), Some("it was stopped by `ashlar update abort`".into()));
    }
    match phase {
        Phase::Content => quiet(lacking(seen.nodes), None),
        Phase::AddOns => match &seen.add_ons {
            AddOns::Behind(missing) => quiet(format!("add-ons: {missing}"), None),
            AddOns::Unknown | AddOns::Done => quiet("add-ons".into(), None),
        },
        _ => nodes(seen, phase, working),
    }
}

/// The first phase that is not over.
fn phase(seen: &Seen<'_>) -> Phase {
    let all = |role: Option<Role>, step: Step| {
        let of = seen.nodes.iter().filter(|node| role.is_none_or(|role| node.role == role));
        of.into_iter().all(|node| node.has_done(step))
    };
    let begun = seen.nodes.iter().any(|node| node.answer.is_some());
    let stored = seen.nodes.iter().filter(|node| node.role == Role::Master).all(|node| node.stored);
    if seen.nodes.is_empty() || (!stored && !begun) {
        Phase::Content
    } else if !all(None, Step::Fetch) {
        // A master that lost its files meanwhile gets them again; others go on fetching from the rest.
        Phase::Fetch
    } else if !all(Some(Role::Master), Step::ApiServer) {
        Phase::ApiServers
    } else if !all(Some(Role::Master), Step::ControlPlane) {
        Phase::ControlPlane
    } else if seen.add_ons != AddOns::Done {
        Phase::AddOns
    } else if !all(Some(Role::Master), Step::System) {
        Phase::Masters
    } else if !all(Some(Role::Worker), Step::System) {
        Phase::Workers
    } else {
        Phase::Finished
    }
}

fn nodes(seen: &Seen<'_>, phase: Phase, working: Vec<String>) -> Decision {
    let (role, step) = match phase {
        Phase::Fetch => (None, Step::Fetch),
        Phase::ApiServers => (Some(Role::Master), Step::ApiServer),
        Phase::ControlPlane => (Some(Role::Master), Step::ControlPlane),
        Phase::Masters => (Some(Role::Master), Step::System),
        _ => (Some(Role::Worker), Step::System),
    };
    let mut behind: Vec<&NodeSeen> = seen
        .nodes
        .iter()
        .filter(|node| role.is_none_or(|role| node.role == role))
        .filter(|node| !node.has_done(step) && !node.works())
        .collect();
    behind.sort_by(|left, right| (&left.zone, &left.name).cmp(&(&right.zone, &right.name)));
    let (room, why) = room(seen, phase);
    behind.truncate(room);
    let tell: Vec<(String, Step)> = behind.iter().map(|node| (node.name.clone(), step)).collect();
    let mut waiting = working;
    if tell.is_empty() && waiting.is_empty() {
        waiting.push(why);
    }
    waiting.extend(tell.iter().map(|(name, step)| format!("{name} {}", step.words())));
    Decision { phase, tell, waiting: waiting.join("; "), stopped: None }
}

/// How many nodes may begin now, and why no more.
fn room(seen: &Seen<'_>, phase: Phase) -> (usize, String) {
    let working = seen.nodes.iter().filter(|node| node.works()).count();
    let away: Vec<&str> = seen
        .nodes
        .iter()
        .filter(|node| phase != Phase::Workers || node.role == Role::Worker)
        .filter(|node| node.works() || !node.ready || !node.schedulable)
        .map(|node| node.name.as_str())
        .collect();
    let waits = format!("waits for {} to be there again", away.join(", "));
    match phase {
        Phase::Fetch => (FETCHING.saturating_sub(working), "waits for nodes that fetch".into()),
        Phase::Masters if seen.pace.masters_paused => (0, "the pool master is paused".into()),
        Phase::Workers if seen.pace.workers_paused => (0, "the pool worker is paused".into()),
        Phase::Workers => (seen.pace.max_unavailable.max(1).saturating_sub(away.len()), waits),
        _ if !away.is_empty() => (0, waits),
        _ if !seen.control_plane_is_well => {
            (0, "waits for every pod of the control plane and every etcd member to be ready".into())
        }
        _ => (1, String::new()),
    }
}

fn lacking(nodes: &[NodeSeen]) -> String {
    let masters = nodes.iter().filter(|node| node.role == Role::Master && !node.stored);
    let names: Vec<&str> = masters.map(|node| node.name.as_str()).collect();
    format!("the release's files are not on {} yet; `ashlar update start` brings them", names.join(", "))
}

impl NodeSeen {
    /// A later step is not begun before an earlier one is done.
    #[must_use]
    pub fn has_done(&self, step: Step) -> bool {
        self.answer.as_ref().is_some_and(|answer| {
            answer.step > step || (answer.step == step && answer.outcome == Outcome::Done)
        })
    }

    /// It was told something that it has not ended.
    fn works(&self) -> bool {
        match &self.answer {
            Some(answer) if answer.outcome == Outcome::Failed => false,
            Some(answer) if answer.outcome == Outcome::Working => true,
            _ => self.told.is_some_and(|step| !self.has_done(step)),
        }
    }

    fn says(&self) -> String {
        match &self.answer {
            Some(answer) if answer.outcome == Outcome::Working => {
                format!("{} {}: {}", self.name, answer.step.words(), answer.message)
            }
            _ => format!("{} {}", self.name, self.told.map_or("works", Step::words)),
        }
    }
}

#[cfg(test)]
#[path = "next_tests.rs"]
mod tests;
