//! What the system boots next. Only properties that the BMC shows are sent, unless a quirk wants all of them.

use super::Error;
use super::bmc::{Bmc, link, text};
use super::power::words;
use super::retry::poll_until;
use crate::quirks::Quirks;
use serde_json::{Map, Value, json};
use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BootTarget {
    None,
    Pxe,
    Cd,
    UsbCd,
    Usb,
    Hdd,
    BiosSetup,
    UefiHttp,
}

impl fmt::Display for BootTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// The override as the BMC shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BootState {
    pub enabled: Option<String>,
    pub target: Option<String>,
    pub mode: Option<String>,
}

const ENABLED: &str = "BootSourceOverrideEnabled";
const TARGET: &str = "BootSourceOverrideTarget";
const MODE: &str = "BootSourceOverrideMode";

impl BootState {
    pub(super) fn of(system: &Value) -> Self {
        let boot = system.get("Boot").unwrap_or(&Value::Null);
        Self { enabled: text(boot, ENABLED), target: text(boot, TARGET), mode: text(boot, MODE) }
    }
}

impl Bmc {
    pub async fn boot_state(&self) -> Result<BootState, Error> {
        Ok(BootState::of(&self.read_system().await?))
    }

    /// The next boot, and only that one, comes from `target`.
    pub async fn set_boot_once(&self, target: BootTarget) -> Result<(), Error> {
        let system = self.read_system().await?;
        let settings = self.boot_settings(&system).await?;
        let boot = system.get("Boot").cloned().unwrap_or_default();
        let in_settings = settings.as_ref().and_then(|(_, value)| value.get("Boot"));
        let word = self.choose_target(target, &boot, in_settings)?;
        let changes = once(&boot, &word, &self.quirks);
        if changes.is_empty() {
            return Ok(());
        }
        if self.write_boot(&json!({"Boot": changes}), settings.map(|(path, _)| path)).await? {
            self.wait_for_boot_target(&word).await?;
        }
        Ok(())
    }

    /// Back to the system's own boot order.
    pub async fn clear_boot_override(&self) -> Result<(), Error> {
        let system = self.read_system().await?;
        if matches!(BootState::of(&system).enabled.as_deref(), Some("Disabled")) {
            return Ok(());
        }
        let settings = self.boot_settings(&system).await?.map(|(path, _)| path);
        let target = if self.quirks.clears_boot_with_real_target { "Pxe" } else { "None" };
        let mut changes = json!({"Boot": {ENABLED: "Disabled", TARGET: target}});
        if self.quirks.wants_full_boot_request {
            changes["Boot"][MODE] = BootState::of(&system).mode.unwrap_or_else(|| "UEFI".into()).into();
        }
        self.write_boot(&changes, settings).await.map(drop)
    }

    /// True when the system itself was written, so that it will show the change.
    async fn write_boot(&self, changes: &Value, settings: Option<String>) -> Result<bool, Error> {
        match (self.patch(&self.system_path, changes).await, settings) {
            (Err(error), Some(path)) if wants_settings_object(&error) => {
                tracing::debug!(bmc = self.connection.bmc, %error, path, "writing the settings object instead");
                self.patch(&path, changes).await.map(|_| false)
            }
            (done, _) => done.map(|_| true),
        }
    }

    async fn wait_for_boot_target(&self, word: &str) -> Result<(), Error> {
        let timeouts = &self.connection.timeouts;
        let what = format!("boot override {word} to show");
        poll_until(timeouts, &self.connection.bmc, &what, timeouts.settle, || async move {
            let target = self.boot_state().await?.target.unwrap_or_default();
            Ok(if target == word { Ok(()) } else { Err(format!("target {target:?}")) })
        })
        .await
    }

    /// The settings object of the system, if it has boot properties.
    async fn boot_settings(&self, system: &Value) -> Result<Option<(String, Value)>, Error> {
        let settings = system.get("@Redfish.Settings").and_then(|settings| link(settings, "SettingsObject"));
        let Some(path) = settings else { return Ok(None) };
        match self.connection.read(path).await {
            Ok(value) if value.get("Boot").is_some() => Ok(Some((path.to_owned(), value))),
            Ok(_) => Ok(None),
            Err(Error::Refused { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Some BMCs list what they allow only in the settings object.
    fn choose_target(
        &self,
        target: BootTarget,
        boot: &Value,
        settings: Option<&Value>,
    ) -> Result<String, Error> {
        let key = format!("{TARGET}@Redfish.AllowableValues");
        let in_settings = || settings.and_then(|boot| words(boot.get(&key)));
        let Some(offered) = words(boot.get(&key)).or_else(in_settings) else { return Ok(target.to_string()) };
        let ladder: &[BootTarget] = match target {
            BootTarget::Cd if self.quirks.media_are_usb_cd => &[BootTarget::UsbCd, BootTarget::Cd],
            BootTarget::Cd => &[BootTarget::Cd, BootTarget::UsbCd],
            _ => &[],
        };
        let wanted = std::slice::from_ref(&target);
        let ladder = if ladder.is_empty() { wanted } else { ladder };
        let found = ladder.iter().map(BootTarget::to_string).find(|word| offered.contains(word));
        found.ok_or_else(|| Error::NotOffered {
            bmc: self.connection.bmc.clone(),
            wanted: format!("boot from {target}"),
            offered,
        })
    }
}

/// The smallest change of `boot` that boots once from `word`; empty when it already does.
fn once(boot: &Value, word: &str, quirks: &Quirks) -> Map<String, Value> {
    let shown = |name: &str| boot.get(name).and_then(Value::as_str);
    let mut changes = Map::new();
    if quirks.wants_full_boot_request || shown(TARGET) != Some(word) {
        changes.insert(TARGET.into(), word.into());
    }
    if quirks.wants_full_boot_request || shown(ENABLED) != Some("Once") {
        changes.insert(ENABLED.into(), "Once".into());
        // Enabling without a target would leave the choice to the BMC.
        changes.insert(TARGET.into(), word.into());
    }
    if quirks.wants_full_boot_request {
        changes.insert(MODE.into(), shown(MODE).unwrap_or("UEFI").into());
    }
    changes
}

fn wants_settings_object(error: &Error) -> bool {
    let says = |explanation: &super::extended_info::Explanation| {
        explanation.has_id("OperationSupportedInFutureStateURI")
            || explanation.has_id("PropertyNotWritable")
            || explanation.says(&["read-only", "read only", "not writable"])
    };
    matches!(error.status(), Some(400 | 403 | 405)) && error.explanation().is_some_and(says)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changes_is_sent_unless_everything_is_wanted() {
        let boot = json!({TARGET: "None", ENABLED: "Once", MODE: "UEFI"});
        let standard = Quirks::default();
        assert_eq!(Value::from(once(&boot, "Cd", &standard)), json!({TARGET: "Cd"}));
        assert!(once(&boot, "None", &standard).is_empty());
        let full = Quirks { wants_full_boot_request: true, ..standard };
        assert_eq!(
            Value::from(once(&boot, "Cd", &full)),
            json!({TARGET: "Cd", ENABLED: "Once", MODE: "UEFI"})
        );
    }
}
