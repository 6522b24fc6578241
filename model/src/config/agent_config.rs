//! `agent-config.yaml`: the machine that holds the temporary control plane, and what live systems need.

use super::hosts::{self, Placed};
use super::problem::{Problem, sorted};
use super::{Host, InstallConfig, Role, fields, names, raw, rules, walk};
use crate::config::problem::quoted;

#[derive(Debug, Clone, Default)]
pub struct AgentConfig {
    /// Name of the cluster as written, if it was.
    pub name: Option<String>,
    /// A server that only holds the bootstrap; its role is `Bootstrap`.
    pub bootstrap: Option<Host>,
    pub additional_ntp_sources: Vec<String>,
}

/// Reads an `agent-config.yaml`.
///
/// # Errors
/// All problems that the text has.
pub fn parse(text: &str) -> Result<AgentConfig, Vec<Problem>> {
    let (raw, mut problems) = walk::read::<raw::AgentConfig>(text, fields::AGENT_CONFIG)?;
    if let Some(name) = raw.metadata.name.as_ref().filter(|name| !names::is_dns_label(name)) {
        problems.push(Problem::new("metadata.name", quoted(name), "must be a DNS label"));
    }
    let bootstrap =
        raw.bootstrap.as_ref().map(|raw| hosts::host(raw, Role::Bootstrap, "bootstrap", &mut problems));
    let additional_ntp_sources =
        rules::ntp_servers(&raw.additional_ntp_sources, "additionalNTPSources", &mut problems);
    if !problems.is_empty() {
        return Err(sorted(problems));
    }
    let bootstrap = bootstrap.flatten().map(|placed| placed.host);
    Ok(AgentConfig { name: raw.metadata.name, bootstrap, additional_ntp_sources })
}

/// What the two files say against each other: names, MAC addresses, BMCs and addresses used twice. Paths are those
/// of the agent configuration unless a problem names `platform`.
pub fn conflicts(agent: &AgentConfig, install: &InstallConfig) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let Some(name) = agent.name.as_ref().filter(|name| **name != install.name) {
        let rule = format!("must be the name in install-config.yaml, {}", install.name);
        problems.push(Problem::new("metadata.name", quoted(name), rule));
    }
    let Some(bootstrap) = &agent.bootstrap else { return problems };
    let place = |(index, host): (usize, &Host)| Placed {
        path: format!("platform.baremetal.hosts[{index}]"),
        host: host.clone(),
    };
    let mut all: Vec<Placed> = install.hosts.iter().enumerate().map(place).collect();
    all.push(Placed { path: "bootstrap".into(), host: bootstrap.clone() });
    let vips = [
        (super::networking::API_VIPS, install.api_vip),
        (super::networking::INGRESS_VIPS, install.ingress_vip),
    ];
    hosts::check_unique(&all, &vips, &mut problems);
    sorted(problems)
}
