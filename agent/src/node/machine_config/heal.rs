//! What was changed by hand is found and becomes again what the config says; an event of the node says so.

use std::time::{Duration, Instant};

use ashlar_host::systemd;
use ashlar_ignition::running::Kept;
use ashlar_model::machine_config::Applied;

use super::{Daemon, health, kept, list, perform};

/// systemd is asked about units one by one.
const UNITS_INTERVAL: Duration = Duration::from_secs(60);

impl Daemon {
    /// What was changed by hand becomes again what the config says.
    pub(super) async fn heal(&mut self, current: &Applied) -> anyhow::Result<()> {
        let kept = kept(current).map_err(|problems| anyhow::anyhow!(list(&problems)))?;
        if self.units_seen.is_none_or(|seen| seen.elapsed() > UNITS_INTERVAL) {
            self.heal_units(&kept).await?;
            if self.units_seen.is_none() {
                self.look_at_kernel(&kept).await;
            }
            self.units_seen = Some(Instant::now());
        }
        for path in self.drift.differing(&kept) {
            tracing::warn!(
                path,
                config = current.name,
                "was changed by hand: it becomes what the config says"
            );
            self.performer.write(&path, &kept.entries[&path])?;
            self.cluster
                .event("MachineConfigDrift", &format!("{path} was changed by hand and is healed"))
                .await;
        }
        Ok(())
    }

    async fn heal_units(&mut self, kept: &Kept) -> anyhow::Result<()> {
        for (unit, state) in &kept.units {
            let Some(wanted) = state.enabled else { continue };
            // One that needs no enabling cannot be disabled either.
            if !systemd::exists(unit).await? || systemd::is_enabled(unit).await? == wanted {
                continue;
            }
            perform::enable(unit, state).await?;
            if systemd::is_enabled(unit).await? == wanted {
                let is = if wanted { "enabled" } else { "disabled" };
                tracing::warn!(unit, "was changed by hand: it is {is} again");
                let note = format!("{unit} was changed by hand and is {is} again");
                self.cluster.event("MachineConfigDrift", &note).await;
            }
        }
        Ok(())
    }

    /// Nothing to heal: the boot entries have what the config says, and the next restart takes it from there.
    async fn look_at_kernel(&mut self, kept: &Kept) {
        let wanted: Vec<String> =
            kept.kernel_arguments.should_exist.iter().flatten().map(ToString::to_string).collect();
        if let Some(word) = health::missing_from_kernel(&wanted) {
            tracing::warn!(word, "the kernel was started without it");
            let note = format!(
                "the kernel was started without {word}, by somebody at the boot menu: the next restart has it again"
            );
            self.cluster.event("MachineConfigDrift", &note).await;
        }
    }
}
