//! What an install would do, from the configuration and what is known: pure, so that people and tests can read it
//! before anything is touched.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use ashlar_model::config::{BmcTrust, Host, Role, RootDeviceHints};
use serde::Serialize;

use crate::directory::Configuration;
use crate::engine::disk::Consent;
use crate::engine::host::State;
use crate::engine::serve_address::{AGENT_PORT, MEDIA_PORT};
use crate::engine::status_file::HostLine;
use crate::machine_configs;

/// What is known besides the configuration.
#[derive(Debug, Default)]
pub struct Facts {
    /// Our address as each host's BMC would see it.
    pub serve_towards_bmc: BTreeMap<String, IpAddr>,
    pub serve_towards_hosts: Option<IpAddr>,
    pub release: Option<PathBuf>,
    pub consent: Consent,
    /// Hosts that an earlier run has brought somewhere.
    pub known: BTreeMap<String, HostLine>,
}

#[derive(Debug, Serialize)]
pub struct Plan {
    pub cluster: String,
    pub addresses: Vec<(String, String)>,
    pub hosts: Vec<HostPlan>,
    pub phases: Vec<String>,
    pub remarks: Vec<String>,
    pub estimate: String,
}

#[derive(Debug, Serialize)]
pub struct HostPlan {
    pub name: String,
    pub role: Role,
    pub bmc: String,
    /// What is done to the disk, and which disk.
    pub disk: String,
    /// What happens if it holds data.
    pub data: String,
    pub calls: Vec<String>,
    /// What the host is given at its first boot; the bootstrap is given none.
    pub machine_config: Option<RenderedPlan>,
    pub state: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct RenderedPlan {
    pub name: String,
    /// Of the canonical form.
    pub sha256: String,
    /// The base config and the user's, as they are merged.
    pub parts: Vec<String>,
}

pub fn plan(configuration: &Configuration, facts: &Facts) -> Plan {
    let install = &configuration.install;
    let unknown = || "no route (give --serve-address)".to_owned();
    let own = |address: Option<&IpAddr>, port: u16| address.map_or_else(unknown, |ip| format!("{ip}:{port}"));
    let mut bmc_side: Vec<&IpAddr> = facts.serve_towards_bmc.values().collect();
    bmc_side.sort_unstable();
    bmc_side.dedup();
    let media = match bmc_side.as_slice() {
        [] => unknown(),
        all => all.iter().map(|ip| format!("{ip}:{MEDIA_PORT}")).collect::<Vec<_>>().join(", "),
    };
    let release = facts.release.as_ref();
    let addresses = vec![
        ("API".to_owned(), format!("https://{}:6443", install.api_vip)),
        ("ingress".to_owned(), install.ingress_vip.to_string()),
        ("machine network".to_owned(), install.machine_network.to_string()),
        (
            "pods".to_owned(),
            format!("{} (/{} each node)", install.cluster_network.cidr, install.cluster_network.host_prefix),
        ),
        ("services".to_owned(), install.service_network.to_string()),
        ("media, for BMCs".to_owned(), media),
        ("agent API, for hosts".to_owned(), own(facts.serve_towards_hosts.as_ref(), AGENT_PORT)),
        (
            "release".to_owned(),
            release.map_or_else(|| "none (`ashlar release build`)".into(), |path| path.display().to_string()),
        ),
    ];
    Plan {
        cluster: install.cluster_domain(),
        addresses,
        hosts: configuration.hosts().map(|host| host_plan(configuration, host, facts)).collect(),
        phases: phases(configuration),
        remarks: remarks(configuration, facts),
        estimate: estimate(configuration),
    }
}

fn host_plan(configuration: &Configuration, host: &Host, facts: &Facts) -> HostPlan {
    let known = facts.known.get(&host.name);
    let finished = known.is_some_and(|line| line.state.has_system() || line.state == State::Removed);
    let which = match known.and_then(|line| line.disk.as_ref()) {
        Some(disk) => disk.clone(),
        None if host.root_device_hints == RootDeviceHints::default() => {
            "the only disk of at least 16 GiB; known after discovery".into()
        }
        None => format!("the one disk with {}; known after discovery", host.root_device_hints),
    };
    let disk = match (finished, host.role) {
        (true, _) => format!("{which}: written already, left as it is"),
        (false, Role::Bootstrap) => format!("{which}: WIPED, keeps the bootstrap's state"),
        (false, Role::Master | Role::Worker) => format!("{which}: OVERWRITTEN with the operating system"),
    };
    let data = if finished {
        "stays".to_owned()
    } else if facts.consent.covers(&host.name) {
        "overwritten, you consented".to_owned()
    } else {
        format!("the install stops and shows it; --wipe {} consents", host.name)
    };
    HostPlan {
        name: host.name.clone(),
        role: host.role,
        bmc: host.bmc.address.to_string(),
        disk,
        data,
        calls: if finished { Vec::new() } else { calls(host, facts) },
        machine_config: if finished { None } else { rendered(configuration, host) },
        state: known.map(|line| line.state.words().to_owned()),
    }
}

fn rendered(configuration: &Configuration, host: &Host) -> Option<RenderedPlan> {
    let pool = machine_configs::pool(host.role)?;
    // A configuration that was read makes a config for each pool.
    let preview = machine_configs::preview(configuration, pool).ok()?;
    Some(RenderedPlan { name: preview.name, sha256: preview.sha256, parts: preview.parts })
}

/// What its BMC is asked, in order.
fn calls(host: &Host, facts: &Facts) -> Vec<String> {
    let own = facts.serve_towards_bmc.get(&host.name).map_or_else(|| "ADDRESS".into(), ToString::to_string);
    let mut calls = vec![
        "check certificate and password, read power state and virtual media".to_owned(),
        "eject whatever is in the virtual CD".to_owned(),
        format!("insert http://{own}:{MEDIA_PORT}/media/…/{}.iso", host.name),
        "boot once from Cd, then On or ForceRestart".to_owned(),
    ];
    match host.role {
        Role::Bootstrap => {
            calls.push("when all masters serve: GracefulShutdown, ForceOff if that does not help".into());
        }
        Role::Master | Role::Worker => {
            calls.push("when the disk is written: boot once from Hdd, ForceRestart, see it on".into());
        }
    }
    calls.push("eject the medium".into());
    calls
}

fn phases(configuration: &Configuration) -> Vec<String> {
    let masters: Vec<&str> = configuration.install.masters().map(|host| host.name.as_str()).collect();
    let workers: Vec<&str> = configuration.install.workers().map(|host| host.name.as_str()).collect();
    let bootstrap = configuration.agent.bootstrap.as_ref().map_or("the bootstrap", |host| host.name.as_str());
    let mut phases = vec![
        "check the release and all BMCs; nothing is changed before both are right".to_owned(),
        format!("boot {bootstrap} and {} from the medium, all at once", masters.join(", ")),
        "when every master has reported and its disk is decided: write the masters' disks".to_owned(),
        format!("meanwhile {bootstrap} starts etcd and a control plane and holds the API address"),
        "masters boot from disk, fetch their configuration, join".to_owned(),
        format!("etcd, control plane and API address move to the masters; {bootstrap} is switched off"),
    ];
    if !workers.is_empty() {
        phases
            .push(format!("{} join by the same path before {bootstrap} is switched off", workers.join(", ")));
    }
    phases
}

fn remarks(configuration: &Configuration, facts: &Facts) -> Vec<String> {
    let mut remarks = configuration.install.remarks.clone();
    remarks.extend(machine_configs::remarks(configuration));
    if configuration.agent.bootstrap.is_none() {
        remarks.push(
            "no bootstrap machine is named: `ashlar create cluster` needs `bootstrap:` in agent-config.yaml"
                .into(),
        );
    }
    for host in configuration.hosts() {
        if host.bmc.trust == BmcTrust::Disabled {
            remarks.push(format!(
                "the certificate of the BMC of {} is not verified: who answers there gets its password",
                host.name
            ));
        }
        if host.network_config.is_some() {
            remarks.push(format!("{} takes its network from networkConfig, not from DHCP", host.name));
        }
    }
    if facts.serve_towards_hosts.is_none() {
        remarks.push("this computer has no route to the machine network".into());
    }
    // Each remark once: the configuration may say the same.
    let mut seen = std::collections::BTreeSet::new();
    remarks.retain(|remark| seen.insert(remark.clone()));
    remarks
}

/// Rough, from what servers usually take: the operator plans a window with it, nothing depends on it.
fn estimate(configuration: &Configuration) -> String {
    /// From reset to the boot loader.
    const POST_MINUTES: u64 = 5;
    /// Boot, disk, control plane and pivot beside that.
    const WORK_MINUTES: u64 = 3;
    let hosts = configuration.hosts().count() as u64;
    // All hosts read their media from this computer at the same time, about a GiB each.
    let media = hosts.div_ceil(10);
    format!(
        "about {} minutes on servers whose self-test takes {POST_MINUTES} minutes (they boot twice); 2 in the lab",
        2 * POST_MINUTES + WORK_MINUTES + media
    )
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "cluster {}\n", self.cluster)?;
        for (name, value) in &self.addresses {
            writeln!(f, "  {name:<22}{value}")?;
        }
        for host in &self.hosts {
            let state = host.state.as_ref().map(|state| format!(" ({state})")).unwrap_or_default();
            writeln!(f, "\n{} {}{state}", host.role.as_str(), host.name)?;
            writeln!(f, "  BMC   {}\n  disk  {}\n  data  {}", host.bmc, host.disk, host.data)?;
            if let Some(config) = &host.machine_config {
                writeln!(f, "  config {}\n         = {}", config.name, config.parts.join(" + "))?;
            }
            for (index, call) in host.calls.iter().enumerate() {
                writeln!(f, "  {:>3}.  {call}", index + 1)?;
            }
        }
        writeln!(f, "\norder")?;
        for (index, phase) in self.phases.iter().enumerate() {
            writeln!(f, "  {:>3}.  {phase}", index + 1)?;
        }
        if !self.remarks.is_empty() {
            writeln!(f, "\nremarks")?;
            for remark in &self.remarks {
                writeln!(f, "  -  {remark}")?;
            }
        }
        writeln!(f, "\ntime: {}", self.estimate)
    }
}

#[cfg(test)]
pub(crate) mod tests;
