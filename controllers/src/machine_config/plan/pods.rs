//! Pods that would have to leave, and what would hold them back. Pure.

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::ResourceExt;
use kube::core::{Selector, SelectorExt};

use super::Leaving;
use crate::drain;
use crate::machine_config::pool::is_ready;

/// What a pod gets that names no other, seconds.
const GRACE: i64 = 30;

pub struct Pods<'a> {
    pods: &'a [Pod],
    budgets: &'a [PodDisruptionBudget],
}

impl<'a> Pods<'a> {
    pub fn of(pods: &'a [Pod], budgets: &'a [PodDisruptionBudget]) -> Self {
        Self { pods, budgets }
    }

    pub fn leaving(&self, node: &str) -> Leaving {
        let mut leaving = Leaving::default();
        for pod in self.pods {
            let spec = pod.spec.as_ref();
            if spec.and_then(|spec| spec.node_name.as_deref()) != Some(node) || !drain::must_leave(pod) {
                continue;
            }
            let grace = spec.and_then(|spec| spec.termination_grace_period_seconds).unwrap_or(GRACE);
            leaving.grace = leaving.grace.max(grace.unsigned_abs());
            leaving.held.extend(self.budgets.iter().filter(|budget| holds(budget, pod)).map(|budget| {
                let namespace = pod.namespace().unwrap_or_default();
                format!(
                    "pod {namespace}/{} cannot leave now: the budget {} allows no disruption",
                    pod.name_any(),
                    budget.name_any()
                )
            }));
        }
        leaving
    }
}

fn holds(budget: &PodDisruptionBudget, pod: &Pod) -> bool {
    let none_allowed = budget.status.as_ref().is_some_and(|status| status.disruptions_allowed < 1);
    let selector = budget.spec.as_ref().and_then(|spec| spec.selector.clone());
    let selects = selector
        .and_then(|selector| Selector::try_from(selector).ok())
        .is_some_and(|selector| selector.matches(pod.labels()));
    none_allowed && selects && budget.namespace() == pod.namespace()
}

/// The pods of the control plane that are not ready: until they are, no master is told.
pub fn control_plane_is_unwell(pods: &[Pod]) -> Vec<String> {
    let of_control_plane = |pod: &&Pod| {
        pod.namespace().as_deref() == Some("kube-system")
            && pod.labels().get("tier").is_some_and(|tier| tier == "control-plane")
    };
    pods.iter()
        .filter(of_control_plane)
        .filter(|pod| !is_ready(pod))
        .map(|pod| format!("{} is not ready: no master is told until it is", pod.name_any()))
        .collect()
}
