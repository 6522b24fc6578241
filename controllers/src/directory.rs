//! The hosts that this installation knows, shared by the configuration server and the approver.

use ashlar_model::bootstrap_api::HostRecord;
use std::sync::{Arc, RwLock};

#[derive(Clone, Default)]
pub struct Directory(Arc<RwLock<Vec<HostRecord>>>);

impl Directory {
    pub fn new(hosts: Vec<HostRecord>) -> Self {
        Self(Arc::new(RwLock::new(hosts)))
    }

    pub fn replace(&self, hosts: Vec<HostRecord>) {
        *self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner) = hosts;
    }

    pub fn all(&self) -> Vec<HostRecord> {
        self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    pub fn by_name(&self, name: &str) -> Option<HostRecord> {
        self.all().into_iter().find(|host| host.name == name)
    }

    /// The host whose enrolment token has this hash.
    pub fn by_token(&self, token_sha256: &str) -> Option<HostRecord> {
        self.all().into_iter().find(|host| host.token_sha256 == token_sha256)
    }

    pub fn by_key(&self, key_sha256: &str) -> Option<HostRecord> {
        self.all().into_iter().find(|host| host.key_sha256.as_deref() == Some(key_sha256))
    }

    /// The host whose kubelet holds the bootstrap token with this id.
    pub fn by_kubelet_token_id(&self, id: &str) -> Option<HostRecord> {
        self.all().into_iter().find(|host| host.kubelet_token.split('.').next() == Some(id))
    }
}
