//! A cluster's way from one release to the next: what a node is told and says, which versions may follow which, and
//! what is next. No I/O, no clock.

mod next;
mod version;

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub use next::{AddOns, Decision, NodeSeen, Pace, Phase, Seen, next};
pub use version::{Skew, Version, may_follow};

/// The annotation by which a node is told what to do: a [`Wish`].
pub const WISH: &str = "ashlar.dev/update-wish";
/// What the node says of it: an [`Answer`].
pub const ANSWER: &str = "ashlar.dev/update-answer";
/// On a master's node: the commit of the release whose files the master has as a whole.
pub const STORED: &str = "ashlar.dev/update-stored";
/// On masters: releases by their commits, and files by their SHA-256.
pub const STORE: &str = "/var/lib/ashlar/release";
/// What the configuration server has of releases: `index`, `files/PATH`, and for the operator `PUT index`, `PUT blob/SHA256`,
/// each below `/v1/release/COMMIT`.
pub const RELEASE_PATH: &str = "/v1/release";
/// On masters: images and revisions of static pods that are not those of the operating system.
pub const CONTROL_PLANE_FILE: &str = "/var/lib/ashlar/node/control-plane.json";

/// What a node does, in this order. A worker has no part in the control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Fetch and check the system, import its images. Nothing changes.
    Fetch,
    /// Run the new API server.
    ApiServer,
    /// Run the new controller manager and scheduler.
    ControlPlane,
    /// Be emptied, restart into the new system, be healthy.
    System,
}

impl Step {
    /// In words that follow a node's name.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Fetch => "fetches the release and its images",
            Self::ApiServer => "changes its API server",
            Self::ControlPlane => "changes its controller manager and scheduler",
            Self::System => "restarts into the new system",
        }
    }

    /// Short names of the static pods that change in this step.
    #[must_use]
    pub fn pods(self) -> &'static [&'static str] {
        match self {
            Self::ApiServer => &["kube-apiserver"],
            Self::ControlPlane => &["kube-controller-manager", "kube-scheduler"],
            Self::Fetch | Self::System => &[],
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    pub version: String,
    /// SHA-256 of the system's commit.
    pub commit: String,
    pub step: Step,
    /// A step that failed is tried again with the next number.
    pub attempt: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub commit: String,
    pub step: Step,
    pub attempt: u32,
    pub outcome: Outcome,
    /// What is being done or waited for; why it failed.
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Working,
    Done,
    /// The node has what it had before.
    Failed,
}

/// The files of a release that masters keep, by their paths.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    pub files: BTreeMap<String, crate::release::File>,
}

/// `control-plane.json`: pods by their short names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlPlane {
    pub pods: BTreeMap<String, Revision>,
}

/// One revision of a static pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    pub revision: u32,
    /// Full reference.
    pub image: String,
}

impl ControlPlane {
    /// With `images` for `pods`, each as a revision of its own. A pod that has its image already keeps its revision.
    #[must_use]
    pub fn with(&self, pods: &[&str], images: &BTreeMap<String, String>, first: u32) -> Self {
        let mut new = self.clone();
        for pod in pods {
            let Some(image) = images.get(*pod) else { continue };
            let have = self.pods.get(*pod);
            if have.is_none_or(|have| have.image != *image) {
                let revision = have.map_or(first, |have| have.revision) + 1;
                new.pods.insert((*pod).to_owned(), Revision { revision, image: image.clone() });
            }
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_image_is_another_revision_and_the_same_is_none() {
        let images = |version: &str| {
            BTreeMap::from([("kube-scheduler".to_owned(), format!("registry/kube-scheduler:{version}"))])
        };
        let second = ControlPlane::default().with(&["kube-scheduler", "absent"], &images("2"), 1);
        assert_eq!(second.pods["kube-scheduler"].revision, 2);
        assert_eq!(second.pods.len(), 1);
        assert_eq!(second.with(&["kube-scheduler"], &images("2"), 1), second);
        assert_eq!(second.with(&["kube-scheduler"], &images("3"), 1).pods["kube-scheduler"].revision, 3);
    }
}
