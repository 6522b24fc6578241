//! Drives one host: carries out what its state machine orders, and watches for what never happens.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::Engine;
use super::bmc::Controller;
use super::handle::Handle;
use super::host::{Action, Input, Reason, State, resume};
use super::steps::serve;
use crate::failure::Failure;

/// How often a silent host's BMC is asked whether it has power.
const POWER_CHECK: Duration = Duration::from_secs(5);
/// An agent that runs calls at least every 5 s; a boot that a former run began must show itself within this.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);
/// A live system that says nothing this long, though it has power, is gone.
const AGENT_PATIENCE: Duration = Duration::from_secs(180);
/// An agent that runs calls every few seconds: one that a former run left must be heard within this.
const FIRST_WORD: Duration = Duration::from_secs(30);
/// After this long without a byte of the medium, that is what is waited for.
const FETCH_PATIENCE: Duration = Duration::from_secs(15);

/// Until the host is settled, or `stop`.
///
/// # Errors
/// The host failed, a BMC call did, or the journal cannot be written.
pub async fn drive(engine: Arc<Engine>, handle: Arc<Handle>, stop: CancellationToken) -> Result<(), Failure> {
    tokio::select! {
        () = stop.cancelled() => Ok(()),
        end = run(&engine, &handle) => end,
    }
}

async fn run(engine: &Engine, handle: &Handle) -> Result<(), Failure> {
    let mut queue = handle.queue.lock().await;
    begin(engine, handle)?;
    let mut changed = engine.changed.subscribe();
    let mut tick = interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut power_checked = Instant::now();
    loop {
        if queue.is_empty()
            && let Some(end) = settled(engine, handle)
        {
            return end;
        }
        tokio::select! {
            biased;
            Some(action) = queue.recv() => {
                if let Some(input) = perform(engine, handle, action).await? {
                    handle.apply(engine, &input)?;
                }
            }
            _ = changed.changed() => {}
            _ = tick.tick() => {
                if let Some(input) = overdue(engine, handle, &mut power_checked).await? {
                    handle.apply(engine, &input)?;
                }
            }
        }
    }
}

fn begin(engine: &Engine, handle: &Handle) -> Result<(), Failure> {
    let state = handle.state();
    for action in resume(&state) {
        handle.order(action);
    }
    if matches!(state, State::Registered | State::Failed { .. }) {
        handle.apply(engine, &Input::Start)?;
    } else if !state.is_settled() {
        engine.events.note(Some(handle.name()), format!("goes on: {}", state.words()));
    }
    Ok(())
}

fn settled(engine: &Engine, handle: &Handle) -> Option<Result<(), Failure>> {
    match handle.state() {
        State::Failed { reason } => Some(Err(explained(engine, handle, &reason))),
        State::Ready | State::Removed => Some(Ok(())),
        _ => None,
    }
}

/// Carries out one action. What comes of it is the next input.
async fn perform(engine: &Engine, handle: &Handle, action: Action) -> Result<Option<Input>, Failure> {
    let bmc = controller(handle).await?;
    tracing::info!(host = handle.name(), ?action, "action");
    match action {
        Action::BootMedium => {
            boot_medium(engine, handle, bmc).await?;
            Ok(None)
        }
        Action::EnsureBooted => {
            if !boots_already(engine, handle, bmc).await? {
                engine.events.note(Some(handle.name()), "booting the medium anew");
                boot_medium(engine, handle, bmc).await?;
            }
            Ok(None)
        }
        Action::RestartFromDisk => {
            bmc.boot_disk().await?;
            Ok(Some(Input::ResetOrdered))
        }
        Action::EjectAfterRestart => {
            if !bmc.comes_on().await? {
                engine.events.note(Some(handle.name()), "has no power; starting it from its disk");
                bmc.boot_disk().await?;
                bmc.see_on().await?;
            }
            bmc.eject().await?;
            Ok(Some(Input::MediumOut))
        }
        Action::PowerOn => {
            engine.events.note(Some(handle.name()), "has no power; powering it on");
            bmc.power_on().await?;
            Ok(None)
        }
        Action::SwitchOff => {
            bmc.power_off().await?;
            bmc.eject().await?;
            Ok(Some(Input::SwitchedOff))
        }
    }
}

/// Whether the boot that the last run began goes on. Firmware that found no server for its medium has given up and
/// shows nothing of it to the BMC; only a report or a read of the medium proves that the boot lives.
async fn boots_already(engine: &Engine, handle: &Handle, bmc: &Controller) -> Result<bool, Failure> {
    let urls = serve::offer(engine, handle)?;
    if bmc.medium().await?.is_none_or(|inserted| !urls.contains(&inserted)) || !bmc.is_on().await? {
        return Ok(false);
    }
    let fetched = serve::fetched(engine, handle.name());
    let alive =
        || fetched.requests.load(Ordering::Relaxed) > 0 || !matches!(handle.state(), State::Booting { .. });
    let begun = Instant::now();
    let mut tick = interval(Duration::from_millis(250));
    while !alive() && begun.elapsed() < SIGN_OF_LIFE {
        tick.tick().await;
    }
    Ok(alive())
}

async fn boot_medium(engine: &Engine, handle: &Handle, bmc: &Controller) -> Result<(), Failure> {
    handle.issue_secrets(engine)?;
    bmc.boot_medium(&serve::offer(engine, handle)?).await
}

/// The BMC's connection, made when it is first needed.
pub async fn controller(handle: &Handle) -> Result<&Controller, Failure> {
    handle.bmc.get_or_try_init(|| Controller::connect(&handle.config)).await
}

/// What has not happened in its time.
async fn overdue(engine: &Engine, handle: &Handle, checked: &mut Instant) -> Result<Option<Input>, Failure> {
    let elapsed = handle.since().elapsed();
    match handle.state() {
        State::Booting { .. } => {
            if elapsed > engine.options.boot_timeout {
                return Ok(Some(Input::BootTimedOut));
            }
            say_boot(engine, handle, elapsed);
            Ok(lost_power(handle, checked, Duration::from_secs(10)).await?.then_some(Input::BootTimedOut))
        }
        State::Enrolled { .. } | State::Writing { .. } | State::Wiping { .. } => {
            let silent = handle.last_word().elapsed();
            let patience = if handle.was_heard() { AGENT_PATIENCE } else { FIRST_WORD };
            if silent > patience {
                return Ok(Some(Input::AgentLost));
            }
            let off = silent > POWER_CHECK && lost_power(handle, checked, POWER_CHECK).await?;
            Ok(off.then_some(Input::AgentLost))
        }
        State::Starting { .. } | State::Serving { .. } => {
            Ok(lost_power(handle, checked, POWER_CHECK * 2).await?.then_some(Input::AgentLost))
        }
        state @ (State::Installed | State::ConfigFetched | State::Joined) => {
            if elapsed > engine.options.join_timeout {
                return Ok(Some(Input::JoinTimedOut));
            }
            engine.events.waiting(Some(handle.name()), wanted(&state), elapsed.as_secs());
            Ok(lost_power(handle, checked, POWER_CHECK * 2).await?.then_some(Input::PoweredOff))
        }
        _ => Ok(None),
    }
}

fn wanted(state: &State) -> &'static str {
    match state {
        State::Installed => "it to fetch its configuration",
        State::ConfigFetched => "its kubelet to join",
        _ => "the node to become Ready",
    }
}

/// Whether the BMC says Off. Asked at most once per `every`.
async fn lost_power(handle: &Handle, checked: &mut Instant, every: Duration) -> Result<bool, Failure> {
    // A state that has just begun may still be powering on.
    if checked.elapsed() < every || handle.since().elapsed() < every {
        return Ok(false);
    }
    *checked = Instant::now();
    Ok(!controller(handle).await?.is_on().await?)
}

fn say_boot(engine: &Engine, handle: &Handle, elapsed: Duration) {
    let fetched = serve::fetched(engine, handle.name());
    let what = match fetched.bytes.load(Ordering::Relaxed) {
        0 if elapsed > FETCH_PATIENCE => "its BMC to fetch the medium (not one byte so far)",
        _ => "its agent to report",
    };
    engine.events.waiting(Some(handle.name()), what, elapsed.as_secs());
}

/// As `failed`, with what this run has seen.
fn explained(engine: &Engine, handle: &Handle, reason: &Reason) -> Failure {
    let failure = failed(handle.name(), reason);
    if *reason != Reason::NeverReported {
        return failure;
    }
    let fetched = serve::fetched(engine, handle.name());
    let (bytes, requests) = (fetched.bytes.load(Ordering::Relaxed), fetched.requests.load(Ordering::Relaxed));
    match (requests, bytes) {
        (0, _) => failure
            .because("its BMC never asked for the medium")
            .hint("see that the BMC can reach the address in `ashlar plan`, port 6180; --serve-address changes it"),
        _ => failure.because(format!("its medium was read ({} MB), but its agent never called", bytes / 1_000_000)).hint(
            format!(
                "look at the console of {}: boot order, DHCP in the machine network, and the way to this computer, \
                 port 6183",
                handle.name()
            ),
        ),
    }
}

/// A reason in words.
pub fn failed(host: &str, reason: &Reason) -> Failure {
    let again = "then run the same command again";
    match reason {
        Reason::NeverReported => {
            Failure::timed_out(format!("{host} never reported from its medium, three boots long"))
                .hint(format!("look at its console, {again}"))
        }
        Reason::AgentLost => Failure::timed_out(format!("{host} went away during its task, three times"))
            .hint(format!("check its power and its network, {again}")),
        Reason::NeverJoined => Failure::timed_out(format!(
            "{host} is installed but did not become a Ready node"
        ))
        .hint(format!(
            "look at its console, or log in as core with the key of sshKey (`sudo journalctl -b -u ashlar-agent -u kubelet`), {again}: it restarts the host"
        )),
        Reason::Task { cause, hint } => {
            let failure = Failure::user(format!("{host}: {cause}"));
            match hint.as_deref().filter(|hint| !hint.is_empty()) {
                Some(hint) => failure.hint(hint),
                None => failure,
            }
        }
    }
}
