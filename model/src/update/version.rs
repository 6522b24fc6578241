//! Which version of Kubernetes may follow which (Kubernetes' version skew policy).

use std::fmt;
use std::str::FromStr;

/// `1.35.8`, with or without a `v`. What follows a `-` or `+` is not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    pub major: u32,
    pub minor: u32,
    pub patch: u32,
}

impl FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text} is not a version like 1.35.8");
        let plain = text.trim_start_matches('v').split(['-', '+']).next().unwrap_or_default();
        let numbers: Result<Vec<u32>, _> = plain.split('.').map(str::parse).collect();
        match numbers.map_err(|_| bad())?.as_slice() {
            [major, minor, patch] => Ok(Self { major: *major, minor: *minor, patch: *patch }),
            _ => Err(bad()),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// Why a version may not follow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Skew {
    #[error(
        "Kubernetes {to} is older than {from}: API servers must not go back, objects may be stored in a form that older ones cannot read; take a release with {from} or later"
    )]
    Older { from: Version, to: Version },
    #[error("Kubernetes {to} is more than one minor version after {from}: API servers go one minor version at a time; take a release with Kubernetes {}.{} first", .from.major, .from.minor + 1)]
    TooFar { from: Version, to: Version },
    #[error(
        "the kubelet of {node} has Kubernetes {kubelet}, more than three minor versions before {to}; bring the node to the cluster's release first"
    )]
    KubeletTooOld { node: String, kubelet: Version, to: Version },
    #[error(
        "the kubelet of {node} has Kubernetes {kubelet}, which is newer than the API servers' {from}; bring the node back to the cluster's release first"
    )]
    KubeletNewer { node: String, kubelet: Version, from: Version },
}

/// All that speaks against going from API servers `from` to `to` with these kubelets; the same version may follow itself.
#[must_use]
pub fn may_follow(from: Version, to: Version, kubelets: &[(String, Version)]) -> Vec<Skew> {
    let mut against = Vec::new();
    if to < from {
        against.push(Skew::Older { from, to });
    } else if to.major != from.major || to.minor > from.minor + 1 {
        against.push(Skew::TooFar { from, to });
    }
    for (node, kubelet) in kubelets {
        // One that was updated before the update was stopped is at the target.
        if *kubelet > from && *kubelet != to {
            against.push(Skew::KubeletNewer { node: node.clone(), kubelet: *kubelet, from });
        } else if kubelet.major == to.major && kubelet.minor + 3 < to.minor {
            against.push(Skew::KubeletTooOld { node: node.clone(), kubelet: *kubelet, to });
        }
    }
    against
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().expect("a version")
    }

    fn against(from: &str, to: &str, kubelet: &str) -> Vec<Skew> {
        may_follow(version(from), version(to), &[("worker-1".into(), version(kubelet))])
    }

    #[test]
    fn versions_are_read_and_rubbish_is_not() {
        assert_eq!(version("v1.36.4+x").to_string(), "1.36.4");
        for bad in ["", "1.36", "1.36.4.5", "a.b.c"] {
            assert!(bad.parse::<Version>().is_err(), "{bad}");
        }
    }

    #[test]
    fn one_minor_version_at_a_time_and_none_back() {
        assert_eq!(against("1.35.8", "1.36.4", "1.35.8"), []);
        assert_eq!(against("1.35.8", "1.35.8", "1.35.8"), []);
        assert!(matches!(against("1.35.8", "1.37.0", "1.35.8")[..], [Skew::TooFar { .. }]));
        assert!(matches!(against("1.36.4", "1.35.8", "1.35.8")[..], [Skew::Older { .. }]));
        assert!(matches!(against("1.35.8", "1.35.7", "1.35.7")[..], [Skew::Older { .. }]));
        assert!(matches!(against("1.35.8", "2.0.0", "1.35.8")[..], [Skew::TooFar { .. }]));
    }

    #[test]
    fn kubelets_are_at_most_three_minor_versions_older_and_never_newer() {
        assert_eq!(against("1.35.8", "1.36.4", "1.33.0"), []);
        assert!(matches!(against("1.35.8", "1.36.4", "1.32.9")[..], [Skew::KubeletTooOld { .. }]));
        assert!(matches!(against("1.35.8", "1.36.4", "1.36.0")[..], [Skew::KubeletNewer { .. }]));
        assert_eq!(against("1.35.8", "1.36.4", "1.36.4"), [], "an update that was stopped goes on");
    }
}
