//! What the screen shows, read from the machine.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use ashlar_host::inventory::interfaces;
use ashlar_model::console::{STATUS_FILE, Status};

/// An Ethernet interface, or a bond or VLAN on top of some.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    pub name: String,
    pub link: bool,
    pub addresses: Vec<IpAddr>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    pub status: Status,
    pub interfaces: Vec<Port>,
    /// What keys do here.
    pub keys: String,
}

/// In which system this program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Initramfs,
    Live,
    Node,
}

impl Place {
    pub fn here() -> Self {
        if Path::new("/etc/initrd-release").exists() {
            Self::Initramfs
        } else if Path::new("/run/ashlar/medium").exists() {
            Self::Live
        } else {
            Self::Node
        }
    }

    pub fn is_initramfs(self) -> bool {
        self == Self::Initramfs
    }

    /// A node's network is its machine configs'.
    pub fn has_form(self) -> bool {
        self != Self::Node
    }

    pub fn has_login(self) -> bool {
        self != Self::Initramfs
    }

    fn keys(self) -> &'static str {
        match self {
            Self::Initramfs => "n network set-up, r draw again",
            Self::Live => "n network set-up, l log in, r draw again",
            Self::Node => "l log in, r draw again",
        }
    }
}

pub async fn read(place: &Place) -> Facts {
    let text = fs::read(STATUS_FILE).unwrap_or_default();
    let mut status: Status = serde_json::from_slice(&text).unwrap_or_default();
    if status.host.is_empty() {
        status.host = named(&first_line("/proc/sys/kernel/hostname"));
    }
    if status.role.is_empty() {
        status.role = if *place == Place::Node { "node" } else { "live system" }.into();
    }
    // The initramfs calls itself by dracut's version.
    if status.release.is_empty() && !place.is_initramfs() {
        let about = fs::read_to_string("/etc/os-release").unwrap_or_default();
        let version = about.lines().find_map(|line| line.strip_prefix("VERSION_ID="));
        status.release = version.unwrap_or_default().trim_matches('"').to_owned();
    }
    if status.doing.is_empty() {
        status.doing = "starting".into();
    }
    let found = interfaces::with_stacked().await;
    let interfaces =
        found.into_iter().map(|one| Port { name: one.name, link: one.link, addresses: one.addresses });
    Facts { status, interfaces: interfaces.collect(), keys: place.keys().into() }
}

/// Nobody has given a name yet.
fn named(hostname: &str) -> String {
    match hostname {
        "" | "(none)" | "localhost" | "localhost.localdomain" => "unnamed host".to_owned(),
        name => name.to_owned(),
    }
}

fn first_line(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().lines().next().unwrap_or_default().to_owned()
}
