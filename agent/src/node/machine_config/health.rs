//! Is the node healthy with what was changed?

use std::path::Path;

use ashlar_host::systemd;
use ashlar_ignition::running::{Change, Kind};
use ashlar_model::node::HEALTH_CHECKS;

use crate::node::{checks, probe};

pub async fn kubelet_is_healthy() -> bool {
    probe::kubelet_healthy().await
}

/// What is not as it must be, in words.
pub async fn unhealthy(units: &[String], steps: &[Change]) -> Option<String> {
    if let Some(argument) = missing_argument(steps) {
        return Some(format!("the kernel does not have the argument {argument}"));
    }
    for unit in units {
        if systemd::is_failed(unit).await.unwrap_or(true) {
            return Some(format!("unit {unit} has failed"));
        }
    }
    if !kubelet_is_healthy().await {
        return Some("the kubelet was not healthy".to_owned());
    }
    checks::failed(Path::new(HEALTH_CHECKS)).await
}

fn missing_argument(steps: &[Change]) -> Option<String> {
    let wanted = steps.iter().flat_map(|step| match &step.kind {
        Kind::KernelArguments { add, .. } => add.as_slice(),
        _ => &[],
    });
    missing_from_kernel(wanted)
}

/// The first word that the running kernel was not started with.
pub fn missing_from_kernel<'a>(wanted: impl IntoIterator<Item = &'a String>) -> Option<String> {
    let line = std::fs::read_to_string("/proc/cmdline").unwrap_or_default();
    let has = |word: &str| line.split_whitespace().any(|have| have == word);
    let mut words = wanted.into_iter().flat_map(|words| words.split_whitespace());
    words.find(|word| !has(word)).map(ToOwned::to_owned)
}
