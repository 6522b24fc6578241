//! What the engine and the agent of a live system say to each other (HTTPS, engine's CA, host's own client
//! certificate bound to its enrolment token).
//!
//! | call | body | answer |
//! |---|---|---|
//! | `POST /v1/agent/enroll` | [`Enroll`] | [`Task`] |
//! | `GET /v1/agent/task` (long poll, at most 20 s) | | [`Task`] |
//! | `POST /v1/agent/progress` | [`Progress`] | empty |
//! | `POST /v1/agent/result` | [`TaskResult`] | [`Task`] |
//!
//! Every call carries `Authorization: Bearer <token>`. Errors are [`ErrorAnswer`] with 401 (unknown token, or a
//! token that is bound to another key), 400, 409 or 500.

use crate::bootstrap_api::Bundle;
use crate::inventory::Inventory;
use serde::{Deserialize, Serialize};

/// The per-host view of a medium (`/run/ashlar/host.json` in the live system).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct HostView {
    /// Format of this file; 1.
    pub version: u32,
    pub cluster: String,
    pub host: String,
    /// Base addresses of the engine, tried in order, e.g. `https://192.0.2.1:6183`.
    pub engine_urls: Vec<String>,
    pub engine_ca_pem: String,
    pub token: String,
    /// NetworkManager keyfiles to write before the network comes up: (file name, contents).
    #[serde(default)]
    pub network_keyfiles: Vec<(String, String)>,
    /// When this was written, in seconds since 1970: the machine's clock is not before it. 0: not known.
    #[serde(default)]
    pub issued_at: u64,
    /// Where a small medium gets the rest, tried in order: URLs of `rootfs.squashfs`, or of a full medium (`….iso`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<String>,
    /// Certificates (PEM) that the live system trusts besides its own.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub ca_bundle_pem: String,
    /// What to install when no engine says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<Answers>,
}

/// An install without an engine: what it would have asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Answers {
    /// Device to write, e.g. `/dev/disk/by-id/…`.
    pub disk: String,
    /// Data on the disk may be lost.
    #[serde(default)]
    pub wipe: bool,
    /// Read everything back after writing.
    #[serde(default)]
    pub verify: bool,
    /// Ignition configuration of the first boot from that disk.
    pub ignition: serde_json::Value,
    #[serde(default)]
    pub then: Then,
}

/// What a machine does when it has installed itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Then {
    /// For media that stay in the drive.
    #[default]
    PowerOff,
    Reboot,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Enroll {
    pub host: String,
    pub inventory: Inventory,
    /// The boot id of this live system (`/proc/sys/kernel/random/boot_id` or its own random id).
    pub boot_id: String,
    /// Version of the release that the medium was made from.
    pub release: String,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "kebab-case")]
pub enum Task {
    /// Nothing to do now; ask again.
    Wait,
    Install(InstallTask),
    Bootstrap(Box<BootstrapTask>),
    Wipe(WipeTask),
}

#[derive(Clone, Serialize, Deserialize)]
pub struct InstallTask {
    /// Name of the disk as the inventory lists it; chosen by the engine with the hints.
    pub disk: String,
    /// Serial number and size that the disk had when it was chosen: a different disk is refused.
    pub disk_serial: Option<String>,
    pub disk_size_bytes: u64,
    /// Whether a disk with data may be overwritten.
    pub wipe_consent: bool,
    /// Other disks, as (name, serial, size), that hold an Ashlar system: made blank before anything is written.
    #[serde(default)]
    pub old_systems: Vec<(String, Option<String>, u64)>,
    /// Goes into the config slot; the agent adds its own identity.
    pub ignition: serde_json::Value,
    /// Trusted by the first-boot runtime for its fetches.
    pub server_ca_pem: String,
    /// Read every chunk back from the disk after writing.
    pub verify: bool,
}

#[derive(Clone, Serialize, Deserialize)]
pub struct BootstrapTask {
    /// The disk that keeps bootstrap's state.
    pub disk: String,
    pub disk_serial: Option<String>,
    pub disk_size_bytes: u64,
    pub wipe_consent: bool,
    pub bundle: Bundle,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WipeTask {
    /// Disk with the serial number and size it must have.
    pub disks: Vec<(String, Option<String>, u64)>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    pub phase: String,
    /// Bytes done and in all, when the phase has them.
    pub bytes: Option<(u64, u64)>,
    pub message: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum TaskResult {
    Installed {
        disk: String,
        bytes: u64,
        seconds: f64,
    },
    BootstrapStarted,
    /// Signatures still found on the disks after the wipe (none when it worked), per disk.
    Wiped {
        left: Vec<(String, Vec<String>)>,
    },
    Failed {
        phase: String,
        cause: String,
        hint: Option<String>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorAnswer {
    pub error: String,
    pub hint: Option<String>,
}
