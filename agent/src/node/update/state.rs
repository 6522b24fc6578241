//! What is known of an update across restarts of daemon and machine.

use std::path::{Path, PathBuf};

use ashlar_model::update::{Answer, ControlPlane, Wish};
use serde::{Deserialize, Serialize};

use crate::durable;
use crate::node::apply::under;

const FILE: &str = "/var/lib/ashlar/node/update.json";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    pub wish: Wish,
    /// How it ended.
    pub answer: Option<Answer>,
    /// The static pods before they were changed.
    pub before: Option<ControlPlane>,
    /// The boot in which the machine was to restart into the new system.
    pub left_boot: Option<String>,
}

impl State {
    /// Of a wish that nothing was done for.
    pub fn of(wish: &Wish) -> Self {
        Self { wish: wish.clone(), answer: None, before: None, left_boot: None }
    }
}

pub struct Store(PathBuf);

impl Store {
    pub fn new(root: &Path) -> Self {
        Self(under(root, FILE))
    }

    pub fn read(&self) -> anyhow::Result<Option<State>> {
        durable::read_json(&self.0)
    }

    pub fn write(&self, state: &State) -> anyhow::Result<()> {
        Ok(durable::write(&self.0, &serde_json::to_vec(state)?, 0o600)?)
    }
}
