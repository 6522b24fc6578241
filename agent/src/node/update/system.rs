//! The restart into the new system: emptied first, judged afterwards.

use std::time::Duration;

use anyhow::Context;
use ashlar_host::cmd::Cmd;
use ashlar_model::update::{Outcome, Wish};
use serde_json::Value;

use super::{AGENT, Progress, State, Updater, answer};
use crate::node::machine_config::{journal::boot_id, perform};
use crate::node::probe;

const STAGING: Duration = Duration::from_secs(600);

/// What is next.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Drain,
    Stage,
    /// The restart was asked for, and did not come.
    Restart,
    /// The new system runs; it has to be found good.
    Judge {
        good: bool,
    },
    Failed(String),
}

/// What is seen of the machine.
struct Seen<'a> {
    /// `ashlar node os status --json`.
    systems: &'a Value,
    boot: &'a str,
    drained: bool,
    kubelet_is_healthy: bool,
}

fn next(wish: &Wish, state: &State, seen: &Seen<'_>) -> Next {
    let deployments = seen.systems["deployments"].as_array().map_or(&[][..], Vec::as_slice);
    let booted = deployments.iter().find(|one| one["booted"] == true);
    let text = |key: &str| booted.and_then(|one| one[key].as_str()).unwrap_or("?");
    if text("commit") == wish.commit {
        let boot = &seen.systems["boot"];
        let found_good = boot == "good" || boot == "not-counted";
        return Next::Judge { good: found_good && seen.kubelet_is_healthy };
    }
    match &state.left_boot {
        Some(boot) if boot == seen.boot => Next::Restart,
        Some(_) => Next::Failed(format!(
            "{} did not come up and was left, or was not put in place at the shutdown: the node runs {} again \
             (`ashlar node os status` and `journalctl --boot=-1` there say why); `ashlar update start` tries again",
            wish.version,
            text("version")
        )),
        None if seen.drained => Next::Stage,
        None => Next::Drain,
    }
}

pub(super) async fn go_on(updater: &mut Updater, wish: &Wish, state: &mut State) -> anyhow::Result<Progress> {
    let name = format!("system-{}", wish.commit);
    // An API that does not answer for a moment is no failure of this node.
    let Ok(asked) = updater.cluster.wish().await else {
        return Ok(Progress::Waits("waits for the API".into()));
    };
    let status = Cmd::new(AGENT).args(["node", "os", "status", "--json"]).run().await;
    let systems: Value = serde_json::from_str(&status.context("asking for the systems")?.stdout)?;
    let boot = boot_id()?;
    let seen = Seen {
        systems: &systems,
        boot: &boot,
        drained: asked.drained(&name),
        kubelet_is_healthy: probe::kubelet_healthy().await,
    };
    match next(wish, state, &seen) {
        Next::Drain => {
            updater.cluster.ask_for_drain(&name).await?;
            Ok(Progress::Waits("waits for its pods to leave".into()))
        }
        Next::Stage => {
            let stage = ["node", "os", "stage-fetched", &wish.version, &wish.commit];
            let staged = Cmd::new(AGENT).args(stage).timeout(STAGING).run().await;
            if let Err(error) = staged.context("staging the system") {
                updater.cluster.ask_for_uncordon(&name).await?;
                return Err(error);
            }
            state.left_boot = Some(boot);
            updater.store.write(state)?;
            restart(updater, wish).await
        }
        Next::Restart => restart(updater, wish).await,
        Next::Judge { good: false } => {
            Ok(Progress::Waits("runs the new system; waits for it to be healthy".into()))
        }
        Next::Judge { good: true } => {
            updater.cluster.ask_for_uncordon(&name).await?;
            Ok(Progress::Done(format!("runs {}", wish.version)))
        }
        Next::Failed(why) => {
            updater.cluster.ask_for_uncordon(&name).await?;
            Ok(Progress::Failed(why))
        }
    }
}

async fn restart(updater: &mut Updater, wish: &Wish) -> anyhow::Result<Progress> {
    let doing = "restarts into the new system";
    // Whether or not anybody hears it.
    if let Err(error) = updater.tell(answer(wish, Outcome::Working, doing)).await {
        tracing::info!(error = format!("{error:#}"), "not told");
    }
    perform::reboot().await?;
    Ok(Progress::Waits(doing.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ashlar_model::update::Step;
    use serde_json::json;

    fn wish() -> Wish {
        Wish { version: "2".into(), commit: "new".into(), step: Step::System, attempt: 1 }
    }

    fn look(booted: &str, good: &str, left: Option<&str>, drained: bool) -> Next {
        let systems = json!({"deployments": [
            {"commit": "other", "version": "0", "booted": false},
            {"commit": booted, "version": "1", "booted": true},
        ], "boot": good});
        let state = State { left_boot: left.map(ToOwned::to_owned), ..State::of(&wish()) };
        let seen = Seen { systems: &systems, boot: "b1", drained, kubelet_is_healthy: true };
        next(&wish(), &state, &seen)
    }

    #[test]
    fn a_node_is_emptied_before_it_restarts_and_found_good_afterwards() {
        assert_eq!(look("old", "good", None, false), Next::Drain);
        assert_eq!(look("old", "good", None, true), Next::Stage);
        assert_eq!(look("old", "good", Some("b1"), true), Next::Restart);
        assert_eq!(look("new", "on-trial", Some("b0"), true), Next::Judge { good: false });
        assert_eq!(look("new", "good", Some("b0"), true), Next::Judge { good: true });
    }

    #[test]
    fn a_node_that_comes_back_with_the_old_system_says_so() {
        let Next::Failed(why) = look("old", "good", Some("b0"), true) else { panic!("it failed") };
        assert!(why.contains("runs 1 again"), "{why}");
    }

    #[test]
    fn a_node_that_was_updated_by_hand_is_only_judged() {
        assert_eq!(look("new", "good", None, false), Next::Judge { good: true });
    }
}
