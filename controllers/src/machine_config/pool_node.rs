//! A node as its pool sees it.

use ashlar_model::machine_config::{CURRENT_CONFIG, DESIRED_CONFIG, NodeState, REASON, STATE};
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;

use crate::nodes::is_ready;

const ZONE: &str = "topology.kubernetes.io/zone";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolNode {
    pub name: String,
    pub zone: String,
    pub ready: bool,
    pub schedulable: bool,
    /// The rendered config that it has.
    pub current: Option<String>,
    /// The one that it was told to have.
    pub asked: Option<String>,
    /// None: its daemon has not said anything yet.
    pub state: Option<NodeState>,
    pub reason: String,
}

impl PoolNode {
    pub fn of(node: &Node) -> Self {
        let annotation = |name: &str| node.annotations().get(name).cloned();
        let state = match annotation(STATE).as_deref() {
            Some("Done") => Some(NodeState::Done),
            Some("Working") => Some(NodeState::Working),
            Some("Degraded") => Some(NodeState::Degraded),
            _ => None,
        };
        Self {
            name: node.name_any(),
            zone: node.labels().get(ZONE).cloned().unwrap_or_default(),
            ready: is_ready(node),
            schedulable: node.spec.as_ref().and_then(|spec| spec.unschedulable) != Some(true),
            current: annotation(CURRENT_CONFIG),
            asked: annotation(DESIRED_CONFIG),
            state,
            reason: annotation(REASON).unwrap_or_default(),
        }
    }

    /// What it shall have: what it was told, at first what it was installed with.
    pub fn desired(&self) -> Option<&str> {
        self.asked.as_deref().or(self.current.as_deref())
    }

    /// It was told something that it does not have yet.
    pub fn is_changing(&self) -> bool {
        self.asked.is_some() && self.asked != self.current && self.state != Some(NodeState::Degraded)
    }

    /// It is not there for pods, or is being changed, or cannot say how it is.
    pub fn is_away(&self) -> bool {
        !self.ready || !self.schedulable || self.is_changing() || self.current.is_none()
    }
}
