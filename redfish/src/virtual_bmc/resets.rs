//! Power: what each ResetType means for the machine. A reset that overtakes another one wins.

use super::config::VirtualBmc;
use crate::power::{PowerState, ResetType};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Between two looks at a machine that is shutting down.
const LOOK: Duration = Duration::from_millis(200);

pub(super) const OFFERED: &[ResetType] = &[
    ResetType::On,
    ResetType::ForceOff,
    ResetType::GracefulShutdown,
    ResetType::GracefulRestart,
    ResetType::ForceRestart,
    ResetType::PushPowerButton,
    ResetType::PowerCycle,
];

impl VirtualBmc {
    pub(super) async fn perform(self: Arc<Self>, kind: ResetType) -> Result<(), String> {
        let turn = self.resets.fetch_add(1, Ordering::SeqCst) + 1;
        tracing::info!(system = self.machine.inventory().serial, %kind, "reset");
        match kind {
            ResetType::On | ResetType::ForceOn => self.switch_on().await,
            ResetType::ForceOff => self.switch_off().await,
            ResetType::GracefulShutdown => self.shut_down().await,
            ResetType::GracefulRestart => {
                self.shut_down().await?;
                self.wait_for_off(turn).await?;
                self.switch_on().await
            }
            ResetType::ForceRestart | ResetType::PowerCycle => {
                self.switch_off().await?;
                self.switch_on().await
            }
            ResetType::PushPowerButton => match self.machine.power_state().await {
                PowerState::Off => self.switch_on().await,
                _ => self.shut_down().await,
            },
            ResetType::Nmi => Err("the machine has no diagnostic interrupt".into()),
        }
    }

    pub(super) async fn switch_on(&self) -> Result<(), String> {
        let _switch = self.power_switch.lock().await;
        if self.machine.power_state().await != PowerState::Off {
            return Ok(());
        }
        self.remember_power(true)?;
        let (source, used) = self.take_boot();
        tracing::info!(system = self.machine.inventory().serial, ?source, "power on");
        let done = self.machine.power_on(source).await;
        if done.is_err() {
            // Nothing has booted, so the override is not used up.
            self.change(|state| state.boot = used).map_err(|error| error.to_string())?;
        }
        done
    }

    async fn switch_off(&self) -> Result<(), String> {
        let _switch = self.power_switch.lock().await;
        self.remember_power(false)?;
        match self.machine.power_state().await {
            PowerState::Off => Ok(()),
            _ => self.machine.force_off().await,
        }
    }

    async fn shut_down(&self) -> Result<(), String> {
        self.remember_power(false)?;
        match self.machine.power_state().await {
            PowerState::Off => Ok(()),
            _ => self.machine.graceful_shutdown().await,
        }
    }

    async fn wait_for_off(&self, turn: u64) -> Result<(), String> {
        let start = Instant::now();
        while self.machine.power_state().await != PowerState::Off {
            if start.elapsed() > self.config.shutdown_limit {
                return Err(format!("the machine did not shut down within {:?}", self.config.shutdown_limit));
            }
            tokio::time::sleep(LOOK).await;
        }
        match self.resets.load(Ordering::SeqCst) == turn {
            true => Ok(()),
            false => Err("another reset came in between".into()),
        }
    }

    fn remember_power(&self, on: bool) -> Result<(), String> {
        self.change(|state| state.wanted_on = on).map_err(|error| format!("saving the BMC's state: {error}"))
    }
}
