//! Power: the state, resets chosen among what the BMC offers, and waiting for them to show.

use super::bmc::{Bmc, link};
use super::retry::{Verdict, poll_until, with_retries};
use super::{Error, Timeouts};
use crate::power::{PowerState, ResetType};
use serde_json::{Value, json};
use std::time::Duration;

/// Some BMCs answer 409 to `On` for up to a minute after a power-off.
const CONFLICT_ATTEMPTS: u32 = 7;
const CONFLICT_PAUSE: Duration = Duration::from_secs(10);

impl Bmc {
    pub async fn power_state(&self) -> Result<PowerState, Error> {
        Ok(power_state(&self.read_system().await?))
    }

    /// Asks for a reset, or the nearest one on offer. A state that is already there is a success.
    pub async fn reset(&self, wanted: ResetType) -> Result<(), Error> {
        let action = self.reset_action().await?;
        let kind = choose(wanted, action.offered.as_deref()).ok_or_else(|| Error::NotOffered {
            bmc: self.connection.bmc.clone(),
            wanted: format!("reset its system with {wanted}"),
            offered: action.offered.clone().unwrap_or_default(),
        })?;
        let timeouts = Timeouts { attempts: CONFLICT_ATTEMPTS, ..self.connection.timeouts.clone() };
        let body = json!({"ResetType": kind.to_string()});
        with_retries(&timeouts, "reset", || self.reset_once(&action.target, &body, kind)).await
    }

    /// Polls until the system is in `state`; a BMC that is away for a moment is waited for too.
    pub async fn wait_for_power(&self, state: PowerState, limit: Duration) -> Result<(), Error> {
        let what = format!("power state {state}");
        poll_until(&self.connection.timeouts, &self.connection.bmc, &what, limit, || async move {
            let seen = self.power_state().await?;
            Ok(if seen == state { Ok(()) } else { Err(format!("power state {seen}")) })
        })
        .await
    }

    /// Forces the system off and sees it off.
    pub async fn power_off(&self, limit: Duration) -> Result<(), Error> {
        if self.power_state().await? != PowerState::Off {
            self.reset(ResetType::ForceOff).await?;
        }
        self.wait_for_power(PowerState::Off, limit).await
    }

    /// Off, seen off, on, seen on: what `ForceRestart` does not do reliably everywhere.
    pub async fn power_cycle(&self, limit: Duration) -> Result<(), Error> {
        self.power_off(limit).await?;
        self.reset(ResetType::On).await?;
        self.wait_for_power(PowerState::On, limit).await
    }

    async fn reset_once(&self, target: &str, body: &Value, kind: ResetType) -> Result<(), Verdict> {
        let Err(error) = self.act(target, body).await else { return Ok(()) };
        let reason = match &error {
            Error::Refused { status: 409, .. } => "a power change is going on",
            Error::NoAnswer { .. } | Error::Broken { .. } => "the answer was lost",
            Error::Refused { status: 400 | 500, .. } => "",
            _ => return Err(Verdict::Final(error)),
        };
        let state = self.power_state().await.map_err(Verdict::Final)?;
        if leads_to(kind) == Some(state) {
            tracing::debug!(bmc = self.connection.bmc, %state, %kind, "already so");
            return Ok(());
        }
        // What may have arrived is repeated only when doing it twice is doing it once.
        let lost = !matches!(error, Error::Refused { .. });
        if reason.is_empty() || (lost && leads_to(kind).is_none()) {
            return Err(Verdict::Final(error));
        }
        Err(Verdict::Again { error, reason, after: Some(CONFLICT_PAUSE) })
    }

    async fn reset_action(&self) -> Result<ResetAction, Error> {
        let system = self.read_system().await?;
        let action = system.pointer("/Actions/#ComputerSystem.Reset").unwrap_or(&Value::Null);
        let standard = || format!("{}/Actions/ComputerSystem.Reset", self.system_path.trim_end_matches('/'));
        let target = action.get("target").and_then(Value::as_str).map_or_else(standard, str::to_owned);
        let mut offered = words(action.get("ResetType@Redfish.AllowableValues"));
        if offered.is_none()
            && let Some(info) = action_info(action)
        {
            offered = parameter_words(&self.connection.read(&info).await?, "ResetType");
        }
        Ok(ResetAction { target, offered })
    }
}

struct ResetAction {
    target: String,
    offered: Option<Vec<String>>,
}

pub(super) fn power_state(system: &Value) -> PowerState {
    let word = system.get("PowerState").cloned().unwrap_or_default();
    serde_json::from_value(word).unwrap_or(PowerState::Unknown)
}

/// A list of allowable values; `None` when the BMC gives none.
pub(super) fn words(list: Option<&Value>) -> Option<Vec<String>> {
    let words: Vec<String> = list?.as_array()?.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    (!words.is_empty()).then_some(words)
}

pub(super) fn action_info(action: &Value) -> Option<String> {
    let info = action.get("@Redfish.ActionInfo")?;
    info.as_str().or_else(|| link(action, "@Redfish.ActionInfo")).map(str::to_owned)
}

pub(super) fn parameter_words(info: &Value, parameter: &str) -> Option<Vec<String>> {
    let parameters = info.get("Parameters")?.as_array()?;
    let named = parameters.iter().find(|each| each.get("Name").and_then(Value::as_str) == Some(parameter))?;
    words(named.get("AllowableValues"))
}

/// The wanted reset, or one that ends in the same state, among those on offer.
fn choose(wanted: ResetType, offered: Option<&[String]>) -> Option<ResetType> {
    use ResetType::{ForceOff, ForceOn, ForceRestart, GracefulShutdown, On, PowerCycle, PushPowerButton};
    let Some(offered) = offered else { return Some(wanted) };
    let ladder: &[ResetType] = match wanted {
        On => &[On, ForceOn, PushPowerButton],
        ForceOn => &[ForceOn, On],
        GracefulShutdown => &[GracefulShutdown, PushPowerButton],
        ForceRestart => &[ForceRestart, PowerCycle],
        PowerCycle => &[PowerCycle, ForceRestart],
        ForceOff => &[ForceOff],
        _ => &[],
    };
    let is_offered = |kind: &ResetType| offered.contains(&kind.to_string());
    ladder.iter().copied().find(is_offered).or_else(|| Some(wanted).filter(is_offered))
}

fn leads_to(kind: ResetType) -> Option<PowerState> {
    match kind {
        ResetType::On | ResetType::ForceOn => Some(PowerState::On),
        ResetType::ForceOff | ResetType::GracefulShutdown => Some(PowerState::Off),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_reset_on_offer_is_chosen() {
        let offered = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(choose(ResetType::On, None), Some(ResetType::On));
        assert_eq!(choose(ResetType::On, Some(&offered(&["ForceOn", "ForceOff"]))), Some(ResetType::ForceOn));
        assert_eq!(choose(ResetType::ForceOff, Some(&offered(&["PushPowerButton"]))), None);
        assert_eq!(choose(ResetType::Nmi, Some(&offered(&["Nmi"]))), Some(ResetType::Nmi));
    }
}
