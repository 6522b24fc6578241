//! The virtual BMC itself: its settings, its state, and the few things its owner may ask.

use super::boot::{BootOverride, PowerPolicy};
use super::faults::{Fate, Faults, take};
use super::machine::{BootSource, Machine, Medium};
use super::personality::{Personality, Traits};
use super::sessions::Sessions;
use super::state::State;
use super::tasks::Tasks;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

#[derive(Debug, Clone)]
pub struct Config {
    pub user: String,
    pub password: SecretString,
    pub personality: Personality,
    /// Where medium, override and power policy survive a restart of the BMC.
    pub state_file: Option<PathBuf>,
    /// A reset that takes longer is answered with a task.
    pub reply_within: Duration,
    /// How long a graceful shutdown may take before a restart gives up.
    pub shutdown_limit: Duration,
    pub session_limit: usize,
    pub session_timeout: Duration,
    /// How long the image's server may take to answer.
    pub image_timeout: Duration,
}

impl Config {
    pub fn new(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self {
            user: user.into(),
            password: SecretString::from(password.into()),
            personality: Personality::default(),
            state_file: None,
            reply_within: Duration::from_secs(5),
            shutdown_limit: Duration::from_secs(300),
            session_limit: 16,
            session_timeout: Duration::from_secs(30 * 60),
            image_timeout: Duration::from_secs(10),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("reading the state of a virtual BMC from {path}")]
    Load { path: PathBuf, source: std::io::Error },
}

pub struct VirtualBmc {
    pub(super) config: Config,
    pub(super) traits: Traits,
    pub(super) machine: Arc<dyn Machine>,
    pub(super) sessions: Sessions,
    pub(super) tasks: Tasks,
    /// Counts resets, so that a restart under way notices that it was overtaken.
    pub(super) resets: AtomicU64,
    pub(super) power_switch: tokio::sync::Mutex<()>,
    state: Mutex<State>,
    faults: Mutex<Faults>,
}

impl VirtualBmc {
    pub fn new(config: Config, machine: Arc<dyn Machine>) -> Result<Arc<Self>, Error> {
        let state = match &config.state_file {
            Some(path) => State::load(path).map_err(|source| Error::Load { path: path.clone(), source })?,
            None => State::default(),
        };
        Ok(Arc::new(Self {
            traits: config.personality.traits(),
            machine,
            sessions: Sessions::new(config.session_limit, config.session_timeout),
            tasks: Tasks::default(),
            resets: AtomicU64::new(0),
            power_switch: tokio::sync::Mutex::new(()),
            state: Mutex::new(state),
            faults: Mutex::new(Faults::default()),
            config,
        }))
    }

    /// For a machine that restarts by itself: where it boots from now. Uses up an override for one boot.
    pub fn next_boot(&self) -> BootSource {
        self.take_boot().0
    }

    /// Applies the power policy; to be called once when the rack comes up.
    pub async fn restore_power(&self) -> Result<(), String> {
        let state = self.state();
        let on = match state.power_policy {
            PowerPolicy::AlwaysOn => true,
            PowerPolicy::AlwaysOff => false,
            PowerPolicy::LastState => state.wanted_on,
        };
        if on { self.switch_on().await } else { Ok(()) }
    }

    pub fn medium(&self) -> Option<Medium> {
        self.state().medium
    }

    pub fn medium_is_write_protected(&self) -> bool {
        self.state().write_protected
    }

    pub fn boot_override(&self) -> BootOverride {
        self.state().boot
    }

    pub fn set_faults(&self, faults: Faults) {
        *lock(&self.faults) = faults;
    }

    /// What is left of the injected faults.
    pub fn faults(&self) -> Faults {
        lock(&self.faults).clone()
    }

    /// Every session ends, as after a restart of the BMC.
    pub fn end_sessions(&self) {
        self.sessions.clear();
    }

    pub fn open_sessions(&self) -> usize {
        self.sessions.ids().len()
    }

    /// Waits for resets that are still going on.
    pub async fn wind_down(&self) {
        self.tasks.wait().await;
    }

    pub(super) fn state(&self) -> State {
        lock(&self.state).clone()
    }

    /// Changes the state and saves it before anybody sees the change.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> std::io::Result<T> {
        let mut state = lock(&self.state);
        let mut changed = state.clone();
        let value = change(&mut changed);
        if changed != *state {
            if let Some(path) = &self.config.state_file {
                changed.save(path)?;
            }
            *state = changed;
        }
        Ok(value)
    }

    /// The next boot source, and the override that was used for it.
    pub(super) fn take_boot(&self) -> (BootSource, BootOverride) {
        let decide = |state: &mut State| {
            let used = state.boot;
            let medium = state.medium.as_ref().filter(|_| self.boots_media(used));
            let (source, left) = used.next_boot(medium);
            state.boot = left;
            (source, used)
        };
        self.change(decide).unwrap_or_else(|error| {
            tracing::error!(%error, "the boot override could not be saved; it would be used again");
            decide(&mut self.state())
        })
    }

    /// Some boards see virtual media only as a USB drive.
    fn boots_media(&self, boot: BootOverride) -> bool {
        !self.traits.boots_usb_cd_only || boot.target == super::boot::BootTarget::UsbCd
    }

    pub(super) fn fate(&self) -> Fate {
        lock(&self.faults).fate()
    }

    /// Uses up one fault of a kind.
    pub(super) fn strikes(&self, count: impl FnOnce(&mut Faults) -> &mut u32) -> bool {
        take(count(&mut lock(&self.faults)))
    }

    pub(super) fn accepts(&self, user: &str, password: &str) -> bool {
        // Digests have one length, so the time says nothing about the password.
        let digest = |text: &str| Sha256::digest(text.as_bytes());
        let same_password = digest(password) == digest(self.config.password.expose_secret());
        same_password & (digest(user) == digest(&self.config.user))
    }

    pub(super) fn system_path(&self) -> String {
        format!("/redfish/v1/Systems/{}", self.traits.system_id)
    }

    pub(super) fn manager_path(&self) -> String {
        format!("/redfish/v1/Managers/{}", self.traits.manager_id)
    }

    pub(super) fn media_path(&self) -> String {
        format!("{}/VirtualMedia/{}", self.manager_path(), self.traits.media_id)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
