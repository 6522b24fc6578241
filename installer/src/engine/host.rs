//! A host on its way from powered off to node, to bootstrap or to wiped: pure decisions, no I/O, no clock.
//!
//! The caller persists the returned state *before* it carries out the actions, so a crash between the two only
//! repeats actions (`resume` names them), and every action is safe to repeat.

use serde::{Deserialize, Serialize};

/// What a host is booted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    Install,
    Bootstrap,
    Wipe,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum State {
    Registered,
    /// The medium is in and the host was reset; its agent has not reported.
    Booting {
        attempts: u8,
    },
    /// The agent reported; it waits for its task.
    Enrolled {
        attempts: u8,
    },
    /// The agent has the task and writes the disk.
    Writing {
        attempts: u8,
    },
    /// The disk is complete; the live system still runs.
    Written,
    /// Reset to boot from its disk; the medium is still in.
    Restarting,
    /// Boots from its disk; the medium is out.
    Installed,
    ConfigFetched,
    Joined,
    Ready,
    /// The bootstrap has its task.
    Starting {
        attempts: u8,
    },
    /// The bootstrap's control plane runs.
    Serving {
        attempts: u8,
    },
    /// The bootstrap is done and may be switched off.
    Finished,
    Wiping {
        attempts: u8,
    },
    Wiped,
    /// Powered off, medium out: the end of a bootstrap and of a wiped host.
    Removed,
    Failed {
        reason: Reason,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
pub enum Reason {
    /// Wrong boot order, dead link, or a medium that the BMC lost.
    NeverReported,
    /// The live system went away during its task, every time.
    AgentLost,
    /// Installed, but it never became a node.
    NeverJoined,
    /// The task itself failed, or none could be given.
    Task { cause: String, hint: Option<String> },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    Start,
    AgentEnrolled,
    BootTimedOut,
    TaskTaken(Purpose),
    TaskFailed {
        cause: String,
        hint: Option<String>,
    },
    /// No word from the agent, and the BMC says why, or the patience is over.
    AgentLost,
    DiskWritten,
    ResetOrdered,
    MediumOut,
    ConfigFetched,
    NodeJoined,
    NodeReady,
    /// The BMC says Off where a node should be coming up.
    PoweredOff,
    JoinTimedOut,
    BootstrapStarted,
    BootstrapFinished,
    DiskWiped,
    SwitchedOff,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// New token, old medium out, ours in, boot from it once, reset.
    BootMedium,
    /// As `BootMedium`, unless the host runs with our medium already and shows that it lives.
    EnsureBooted,
    /// Boot from the disk once, reset.
    RestartFromDisk,
    /// See the reset, then take the medium out.
    EjectAfterRestart,
    PowerOn,
    /// Off (first asked, then forced), then the medium out.
    SwitchOff,
}

/// Slow servers take two long POSTs; a third failure is not slowness any more.
const BOOT_ATTEMPTS: u8 = 3;

pub fn next(state: State, input: &Input) -> (State, Vec<Action>) {
    use {Action as A, Input as I, State as S};
    match (state, input) {
        // Its disk is complete: another boot may do what the first did not.
        (S::Failed { reason: Reason::NeverJoined }, I::Start) => (S::Written, vec![A::RestartFromDisk]),
        (S::Registered | S::Failed { .. }, I::Start) => (S::Booting { attempts: 1 }, vec![A::BootMedium]),
        (S::Booting { attempts }, I::BootTimedOut) => boot_again(attempts, Reason::NeverReported),
        (
            S::Booting { attempts }
            | S::Enrolled { attempts }
            | S::Writing { attempts }
            | S::Starting { attempts }
            | S::Wiping { attempts },
            I::AgentEnrolled,
        ) => (S::Enrolled { attempts }, vec![]),
        (S::Enrolled { attempts }, I::TaskTaken(purpose)) => (task(*purpose, attempts), vec![]),
        (
            S::Enrolled { attempts }
            | S::Writing { attempts }
            | S::Starting { attempts }
            | S::Serving { attempts }
            | S::Wiping { attempts },
            I::AgentLost,
        ) => boot_again(attempts, Reason::AgentLost),
        (
            S::Booting { .. }
            | S::Enrolled { .. }
            | S::Writing { .. }
            | S::Starting { .. }
            | S::Serving { .. }
            | S::Wiping { .. },
            I::TaskFailed { cause, hint },
        ) => (S::Failed { reason: Reason::Task { cause: cause.clone(), hint: hint.clone() } }, vec![]),
        (S::Writing { .. }, I::DiskWritten) => (S::Written, vec![A::RestartFromDisk]),
        (S::Written, I::ResetOrdered) => (S::Restarting, vec![A::EjectAfterRestart]),
        (S::Restarting, I::MediumOut) => (S::Installed, vec![]),
        (S::Installed, I::ConfigFetched) => (S::ConfigFetched, vec![]),
        (S::Installed | S::ConfigFetched, I::NodeJoined) => (S::Joined, vec![]),
        (S::Installed | S::ConfigFetched | S::Joined, I::NodeReady) => (S::Ready, vec![]),
        (state @ (S::Installed | S::ConfigFetched | S::Joined), I::PoweredOff) => (state, vec![A::PowerOn]),
        (S::Installed | S::ConfigFetched | S::Joined, I::JoinTimedOut) => {
            (S::Failed { reason: Reason::NeverJoined }, vec![])
        }
        (S::Starting { attempts }, I::BootstrapStarted) => (S::Serving { attempts }, vec![]),
        (S::Starting { .. } | S::Serving { .. }, I::BootstrapFinished) => (S::Finished, vec![A::SwitchOff]),
        (S::Wiping { .. }, I::DiskWiped) => (S::Wiped, vec![A::SwitchOff]),
        (S::Finished | S::Wiped, I::SwitchedOff) => (S::Removed, vec![]),
        // Late, repeated and out-of-order inputs change nothing: hosts report more than once.
        (state, _) => (state, vec![]),
    }
}

/// What a new run repeats of the actions that the last one may not have finished.
pub fn resume(state: &State) -> Vec<Action> {
    match state {
        State::Booting { .. } => vec![Action::EnsureBooted],
        State::Written => vec![Action::RestartFromDisk],
        State::Restarting => vec![Action::EjectAfterRestart],
        State::Finished | State::Wiped => vec![Action::SwitchOff],
        _ => vec![],
    }
}

fn boot_again(attempts: u8, reason: Reason) -> (State, Vec<Action>) {
    if attempts < BOOT_ATTEMPTS {
        (State::Booting { attempts: attempts + 1 }, vec![Action::BootMedium])
    } else {
        (State::Failed { reason }, vec![])
    }
}

fn task(purpose: Purpose, attempts: u8) -> State {
    match purpose {
        Purpose::Install => State::Writing { attempts },
        Purpose::Bootstrap => State::Starting { attempts },
        Purpose::Wipe => State::Wiping { attempts },
    }
}

impl State {
    /// One or two words for tables and progress lines.
    pub fn words(&self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::Booting { .. } => "booting the medium",
            Self::Enrolled { .. } => "reported",
            Self::Writing { .. } => "writing the disk",
            Self::Written => "disk written",
            Self::Restarting => "restarting",
            Self::Installed => "booting from disk",
            Self::ConfigFetched => "configured",
            Self::Joined => "joined",
            Self::Ready => "ready",
            Self::Starting { .. } => "starting the control plane",
            Self::Serving { .. } => "serving",
            Self::Finished => "finished",
            Self::Wiping { .. } => "wiping",
            Self::Wiped => "wiped",
            Self::Removed => "switched off",
            Self::Failed { .. } => "failed",
        }
    }

    pub fn is_settled(&self) -> bool {
        matches!(self, Self::Ready | Self::Removed | Self::Failed { .. })
    }

    /// The disk holds a complete system of this install: it is not written again.
    pub fn has_system(&self) -> bool {
        use State as S;
        matches!(self, S::Written | S::Restarting | S::Installed | S::ConfigFetched | S::Joined | S::Ready)
    }

    /// A live system with our agent should be running.
    pub fn is_live(&self) -> bool {
        use State as S;
        matches!(self, S::Enrolled { .. } | S::Writing { .. } | S::Starting { .. } | S::Wiping { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn inputs() -> impl Strategy<Value = Vec<Input>> {
        let one = prop_oneof![
            Just(Input::Start),
            Just(Input::AgentEnrolled),
            Just(Input::BootTimedOut),
            Just(Input::TaskTaken(Purpose::Install)),
            Just(Input::TaskFailed { cause: "x".into(), hint: None }),
            Just(Input::AgentLost),
            Just(Input::DiskWritten),
            Just(Input::ResetOrdered),
            Just(Input::MediumOut),
            Just(Input::ConfigFetched),
            Just(Input::NodeJoined),
            Just(Input::NodeReady),
            Just(Input::PoweredOff),
        ];
        prop::collection::vec(one, 0..60)
    }

    fn run(inputs: &[Input]) -> Vec<(State, Vec<Action>)> {
        let mut state = State::Registered;
        let step = |input: &Input| {
            let (after, actions) = next(state.clone(), input);
            state = after.clone();
            (after, actions)
        };
        inputs.iter().map(step).collect()
    }

    proptest! {
        #[test]
        fn the_medium_goes_out_only_after_a_reset_was_ordered(inputs in inputs()) {
            let mut reset = false;
            for (_, actions) in run(&inputs) {
                for action in actions {
                    match action {
                        Action::RestartFromDisk => reset = true,
                        Action::BootMedium => reset = false,
                        Action::EjectAfterRestart => prop_assert!(reset),
                        _ => {}
                    }
                }
            }
        }

        #[test]
        fn a_disk_with_a_system_is_never_written_again(inputs in inputs()) {
            let mut complete = false;
            // Only a new run starts a failed host over.
            let mut all = vec![Input::Start];
            all.extend(inputs.into_iter().filter(|input| *input != Input::Start));
            for (state, _) in run(&all) {
                complete |= state.has_system();
                let written_again = complete && matches!(state, State::Writing { .. });
                prop_assert!(!written_again, "{:?}", state);
            }
        }

        #[test]
        fn without_a_new_run_three_boots_are_the_most(inputs in inputs()) {
            let inputs: Vec<Input> = inputs.into_iter().filter(|input| *input != Input::Start).collect();
            let mut all = vec![Input::Start];
            all.extend(inputs);
            let boots = run(&all).iter().flat_map(|(_, actions)| actions).filter(|a| **a == Action::BootMedium).count();
            prop_assert!(boots <= 3);
        }

        #[test]
        fn ready_is_final(inputs in inputs()) {
            for input in &inputs {
                prop_assert_eq!(next(State::Ready, input), (State::Ready, vec![]));
            }
        }
    }

    #[test]
    fn a_master_that_loses_power_while_its_disk_is_written_is_booted_and_written_again() {
        let writing = State::Writing { attempts: 1 };
        let (state, actions) = next(writing, &Input::AgentLost);
        assert_eq!((state.clone(), actions), (State::Booting { attempts: 2 }, vec![Action::BootMedium]));
        let (state, _) = next(state, &Input::AgentEnrolled);
        let (state, _) = next(state, &Input::TaskTaken(Purpose::Install));
        assert_eq!(state, State::Writing { attempts: 2 });
    }
}
