//! What a change asks of a node that runs. Whatever is not listed restarts the machine: that is always safe.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Change, Kept};

/// From the least disruption to the most.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "need", content = "unit")]
pub enum Need {
    Nothing,
    /// The unit reads its files again, or is restarted when it cannot.
    Reload(String),
    Restart(String),
    /// The pods go first.
    Reboot,
}

/// What several changes ask for together: a machine that restarts needs no unit restarted, and a unit that restarts no
/// reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Demand {
    Nothing,
    Units {
        reload: Vec<String>,
        restart: Vec<String>,
    },
    /// The pods go first.
    Reboot,
}

impl Demand {
    #[must_use]
    pub fn of(changes: &[Change]) -> Self {
        let (mut reload, mut restart) = (BTreeSet::new(), BTreeSet::new());
        for change in changes {
            match &change.need {
                Need::Nothing => {}
                Need::Reload(unit) => drop(reload.insert(unit.clone())),
                Need::Restart(unit) => drop(restart.insert(unit.clone())),
                Need::Reboot => return Self::Reboot,
            }
        }
        reload.retain(|unit| !restart.contains(unit));
        if reload.is_empty() && restart.is_empty() {
            return Self::Nothing;
        }
        Self::Units { reload: reload.into_iter().collect(), restart: restart.into_iter().collect() }
    }
}

/// Paths and what reads them; the first that fits counts. A path that ends with a slash is everything below it.
const READERS: &[(&str, Reader)] = &[
    ("/etc/motd", Reader::Nobody),
    ("/etc/motd.d/", Reader::Nobody),
    ("/etc/issue", Reader::Nobody),
    ("/etc/issue.d/", Reader::Nobody),
    ("/etc/profile.d/", Reader::Nobody),
    // containerd asks for these with every pull.
    ("/etc/containerd/certs.d/", Reader::Nobody),
    // Read whenever the node's health is judged.
    ("/etc/ashlar/health.d/", Reader::Nobody),
    ("/etc/chrony.conf", Reader::Restart("chrony.service")),
    ("/etc/chrony/", Reader::Restart("chrony.service")),
    ("/etc/containerd/", Reader::Restart("containerd.service")),
    // Makes the bundle that programs read, and restarts containerd, which reads it once.
    ("/etc/pki/ca-trust/source/anchors/", Reader::Restart("ashlar-authorities.service")),
    ("/etc/kubernetes/kubelet.yaml", Reader::Restart("kubelet.service")),
    ("/etc/kubernetes/kubelet.d/", Reader::Restart("kubelet.service")),
    ("/etc/ssh/sshd_config", Reader::Reload("ssh.service")),
    ("/etc/ssh/sshd_config.d/", Reader::Reload("ssh.service")),
    ("/etc/sysctl.d/", Reader::Restart("systemd-sysctl.service")),
    ("/etc/systemd/journald.conf", Reader::Restart("systemd-journald.service")),
    ("/etc/systemd/journald.conf.d/", Reader::Restart("systemd-journald.service")),
    // Data of the users' own programs, which know when to read it.
    ("/var/", Reader::Nobody),
    ("/srv/", Reader::Nobody),
];

/// Who makes the changes cannot restart itself in the midst of them.
const ITSELF: &[&str] = &["ashlar-agent.service"];

enum Reader {
    Nobody,
    Reload(&'static str),
    Restart(&'static str),
}

/// What a change at a path asks for.
#[must_use]
pub fn need_of(path: &str) -> Need {
    if let Some(unit) = Kept::unit_of(path).filter(|unit| !ITSELF.contains(&unit.as_str())) {
        return Need::Restart(unit);
    }
    let fits = |pattern: &str| {
        path == pattern
            || pattern.ends_with('/') && (path.starts_with(pattern) || path == &pattern[..pattern.len() - 1])
    };
    match READERS.iter().find(|(pattern, _)| fits(pattern)) {
        Some((_, Reader::Nobody)) => Need::Nothing,
        Some((_, Reader::Reload(unit))) => Need::Reload((*unit).to_owned()),
        Some((_, Reader::Restart(unit))) => Need::Restart((*unit).to_owned()),
        None => Need::Reboot,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_safest_is_the_default_and_units_are_restarted_themselves() {
        let restart = |unit: &str| Need::Restart(unit.to_owned());
        for (path, need) in [
            ("/etc/motd", Need::Nothing),
            ("/etc/ashlar/health.d/10-link", Need::Nothing),
            ("/etc/chrony.conf", restart("chrony.service")),
            ("/etc/chrony", restart("chrony.service")),
            ("/etc/pki/ca-trust/source/anchors/own.crt", restart("ashlar-authorities.service")),
            ("/etc/chronyx", Need::Reboot),
            ("/etc/systemd/system/a.service", restart("a.service")),
            ("/etc/systemd/system/kubelet.service.d/1.conf", restart("kubelet.service")),
            ("/etc/ssh/sshd_config.d/1.conf", Need::Reload("ssh.service".to_owned())),
            ("/etc/NetworkManager/system-connections/a.nmconnection", Need::Reboot),
            ("/var/lib/app/file", Need::Nothing),
            ("/etc/systemd/system/ashlar-agent.service.d/1.conf", Need::Reboot),
        ] {
            assert_eq!(need_of(path), need, "{path}");
        }
        assert!(Need::Nothing < restart("a") && restart("z") < Need::Reboot);
    }
}
