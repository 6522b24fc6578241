//! What a run knows of one host: its configuration, its record in the journal, its secrets, its driver.

use std::net::Ipv4Addr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ashlar_model::bootstrap_api::{HostRecord, Role};
use ashlar_model::config;
use ashlar_model::event::What;
use ashlar_model::inventory::Inventory;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::Engine;
use super::disk::ChosenDisk;
use super::host::{Action, Input, Purpose, State, next};
use super::journal::{self, Journal};
use crate::failure::{Fails, Failure};

/// Durable, under `host/NAME` (`wipe/NAME` for a run that destroys).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub state: State,
    /// Counts tokens, and with them installations.
    pub generation: u32,
    /// The key that the present token is bound to.
    pub key_sha256: Option<String>,
    pub address: Option<Ipv4Addr>,
    pub disk: Option<ChosenDisk>,
    /// A task that overwrites the disk was handed out: what is on it is ours.
    pub touched: bool,
    pub inventory: Option<Inventory>,
}

/// Encrypted in the journal, under `secret/NAME`.
#[derive(Clone, Serialize, Deserialize)]
pub struct HostSecrets {
    pub token: String,
    /// Part of the medium's path.
    pub media: String,
    pub kubelet_token: String,
}

pub struct Handle {
    pub config: config::Host,
    pub purpose: Purpose,
    journal_key: String,
    inner: Mutex<Inner>,
    actions: mpsc::UnboundedSender<Action>,
    /// Taken by the driver.
    pub(super) queue: tokio::sync::Mutex<mpsc::UnboundedReceiver<Action>>,
    pub(super) bmc: tokio::sync::OnceCell<super::bmc::Controller>,
}

struct Inner {
    record: Record,
    secrets: Option<HostSecrets>,
    since: Instant,
    last_word: Instant,
    /// In this run.
    was_heard: bool,
}

impl Handle {
    pub fn load(config: config::Host, purpose: Purpose, journal: &Journal) -> Result<Self, journal::Error> {
        let folder = if purpose == Purpose::Wipe { "wipe" } else { "host" };
        let journal_key = format!("{folder}/{}", config.name);
        let record = journal.get(&journal_key)?.unwrap_or(Record {
            state: State::Registered,
            generation: 0,
            key_sha256: None,
            address: None,
            disk: None,
            touched: false,
            inventory: None,
        });
        let secrets = journal.get_secret(&format!("secret/{journal_key}"))?;
        let (actions, queue) = mpsc::unbounded_channel();
        let now = Instant::now();
        Ok(Self {
            config,
            purpose,
            journal_key,
            inner: Mutex::new(Inner { record, secrets, since: now, last_word: now, was_heard: false }),
            actions,
            queue: tokio::sync::Mutex::new(queue),
            bmc: tokio::sync::OnceCell::new(),
        })
    }

    pub fn name(&self) -> &str {
        &self.config.name
    }

    pub fn record(&self) -> Record {
        self.lock().record.clone()
    }

    pub fn state(&self) -> State {
        self.lock().record.state.clone()
    }

    /// Since when this run knows the present state.
    pub fn since(&self) -> Instant {
        self.lock().since
    }

    pub fn secrets(&self) -> Option<HostSecrets> {
        self.lock().secrets.clone()
    }

    /// When the agent said something last, in this run.
    pub fn last_word(&self) -> Instant {
        self.lock().last_word
    }

    pub fn heard(&self) {
        let mut inner = self.lock();
        inner.last_word = Instant::now();
        inner.was_heard = true;
    }

    /// Whether the agent said anything in this run.
    pub fn was_heard(&self) -> bool {
        self.lock().was_heard
    }

    /// Decides, persists, then orders the actions. Returns the state afterwards.
    ///
    /// # Errors
    /// The journal cannot be written; nothing has changed then.
    pub fn apply(&self, engine: &Engine, input: &Input) -> Result<State, Failure> {
        let mut inner = self.lock();
        let before = inner.record.state.clone();
        let (after, actions) = next(before.clone(), input);
        if after != before {
            let record = Record { state: after.clone(), ..inner.record.clone() };
            self.persist(engine, &record)?;
            inner.record = record;
            inner.since = Instant::now();
            inner.last_word = Instant::now();
        }
        for action in actions {
            // The driver may have ended already; a new run resumes from the state.
            let _ = self.actions.send(action);
        }
        drop(inner);
        if after != before {
            tell(engine, self.name(), &before, &after);
            engine.touch();
        }
        Ok(after)
    }

    /// Changes the record other than by its state machine; durable when it returns.
    ///
    /// # Errors
    /// The journal cannot be written; nothing has changed then.
    pub fn update(&self, engine: &Engine, change: impl FnOnce(&mut Record)) -> Result<(), Failure> {
        let mut inner = self.lock();
        let mut record = inner.record.clone();
        change(&mut record);
        if record != inner.record {
            self.persist(engine, &record)?;
            inner.record = record;
            drop(inner);
            engine.touch();
        }
        Ok(())
    }

    /// New token, media path and kubelet token, for every boot: a live system of an earlier one, which is about to be
    /// reset, is not to be given work any more.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub fn issue_secrets(&self, engine: &Engine) -> Result<(), Failure> {
        let mut inner = self.lock();
        let secrets = HostSecrets {
            token: ashlar_pki::token(),
            media: ashlar_pki::token()[..32].to_owned(),
            kubelet_token: ashlar_pki::kubelet_token(),
        };
        let record =
            Record { generation: inner.record.generation + 1, key_sha256: None, ..inner.record.clone() };
        let doing = || format!("keeping the new token of {}", self.name());
        engine.journal.put_secret(&format!("secret/{}", self.journal_key), &secrets).failing(doing)?;
        self.persist(engine, &record)?;
        inner.record = record;
        inner.secrets = Some(secrets);
        drop(inner);
        engine.touch();
        Ok(())
    }

    /// The host as bootstrap and cluster know it.
    pub fn host_record(&self) -> HostRecord {
        let inner = self.lock();
        let secrets = inner.secrets.as_ref();
        HostRecord {
            name: self.config.name.clone(),
            role: role(self.config.role),
            boot_mac: self.config.boot_mac.clone(),
            address: inner.record.address,
            token_sha256: secrets.map(|secrets| ashlar_pki::token_sha256(&secrets.token)).unwrap_or_default(),
            key_sha256: inner.record.key_sha256.clone(),
            generation: inner.record.generation,
            kubelet_token: secrets.map(|secrets| secrets.kubelet_token.clone()).unwrap_or_default(),
        }
    }

    pub(super) fn order(&self, action: Action) {
        let _ = self.actions.send(action);
    }

    fn persist(&self, engine: &Engine, record: &Record) -> Result<(), Failure> {
        let doing = || format!("recording that {} is {}", self.name(), record.state.words());
        engine.journal.put(&self.journal_key, record).failing(doing)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub fn role(role: config::Role) -> Role {
    match role {
        config::Role::Master => Role::Master,
        config::Role::Worker => Role::Worker,
        config::Role::Bootstrap => Role::Bootstrap,
    }
}

/// The step that a state belongs to: id and title.
fn phase(state: &State) -> Option<(&'static str, &'static str)> {
    Some(match state {
        State::Booting { .. } => ("boot", "Booting the medium"),
        State::Writing { .. } => ("write", "Writing the disk"),
        State::Written | State::Restarting => ("restart", "Restarting from the disk"),
        State::Installed => ("configure", "First boot: fetching and applying its configuration"),
        State::ConfigFetched => ("join", "Joining the cluster"),
        State::Joined => ("ready", "Becoming Ready"),
        State::Starting { .. } => ("start", "Starting the bootstrap"),
        State::Finished | State::Wiped => ("switch-off", "Switching off and taking the medium out"),
        State::Wiping { .. } => ("wipe", "Wiping the disks"),
        _ => return None,
    })
}

/// Says what a change of state means in steps.
fn tell(engine: &Engine, host: &str, before: &State, after: &State) {
    let (old, new) = (phase(before), phase(after));
    if let Some((step, _)) = old.filter(|_| old != new) {
        let what = match after {
            State::Failed { reason } => {
                let failure = super::drive::failed(host, reason);
                What::StepFailed { step: step.into(), cause: failure.cause(), hint: failure.hint }
            }
            State::Booting { .. } => {
                What::StepFailed { step: step.into(), cause: "the live system went away".into(), hint: None }
            }
            _ => What::StepFinished { step: step.into(), seconds: 0.0 },
        };
        engine.events.emit(Some(host), what);
    }
    if let Some((step, title)) = new.filter(|_| old != new) {
        engine.events.emit(Some(host), What::StepStarted { step: step.into(), title: title.into() });
    }
    match after {
        State::Booting { attempts } if *attempts > 1 => {
            engine.events.note(Some(host), format!("booting the medium again (attempt {attempts})"));
        }
        State::Ready => engine.events.note(Some(host), "is a Ready node"),
        _ => {}
    }
}
