//! Rules of the install configuration as a whole, and the validated value.

use secrecy::ExposeSecret;

use super::hosts::{self, Placed};
use super::networking::{self, API_VIPS, INGRESS_VIPS};
use super::problem::{Problem, quoted};
use super::{BmcTrust, InstallConfig, Role, names, raw};

const HOSTS: &str = "platform.baremetal.hosts";

/// The value, or nothing when a part it needs is missing; `problems` says which.
pub(super) fn install_config(raw: &raw::InstallConfig, problems: &mut Vec<Problem>) -> Option<InstallConfig> {
    check_names(raw, problems);
    let networking = networking::validate(raw, problems);
    let roles = Roles::of(raw);
    roles.check(problems);
    let hosts = &raw.platform.baremetal.hosts;
    let placed: Vec<Placed> = hosts
        .iter()
        .zip(&roles.of_hosts)
        .enumerate()
        .filter_map(|(index, (host, role))| hosts::host(host, *role, &format!("{HOSTS}[{index}]"), problems))
        .collect();
    let vips = [(API_VIPS, networking.api_vip), (INGRESS_VIPS, networking.ingress_vip)];
    let vips: Vec<_> = vips.into_iter().filter_map(|(name, vip)| Some((name, vip?))).collect();
    hosts::check_unique(&placed, &vips, problems);
    if let Some(cluster) = networking.cluster {
        networking::check_room(cluster, hosts.len(), problems);
    }
    if let Some(keys) = &raw.ssh_key {
        names::check_ssh_keys(keys, problems);
    }
    check_secrets_and_trust(raw, problems);
    let remarks = remarks(raw, &placed);
    Some(InstallConfig {
        name: raw.metadata.name.clone()?,
        base_domain: raw.base_domain.clone()?,
        machine_network: networking.machine?,
        cluster_network: networking.cluster?,
        service_network: networking.service?,
        network_type: network_type(raw).to_owned(),
        api_vip: networking.api_vip?,
        ingress_vip: networking.ingress_vip?,
        hosts: placed.into_iter().map(|placed| placed.host).collect(),
        control_plane_replicas: u32::try_from(roles.masters_wanted).ok()?,
        compute_replicas: u32::try_from(roles.workers_wanted).ok()?,
        ssh_key: raw.ssh_key.as_ref().map(|key| key.trim().to_owned()),
        pull_secret: raw.pull_secret.clone(),
        additional_trust_bundle: raw.additional_trust_bundle.clone(),
        additional_ntp_servers: ntp_servers(
            &raw.platform.baremetal.additional_ntp_servers,
            "platform.baremetal.additionalNTPServers",
            problems,
        ),
        remarks,
    })
}

fn check_names(raw: &raw::InstallConfig, problems: &mut Vec<Problem>) {
    if let Some(name) =
        raw.metadata.name.as_ref().filter(|name| !names::is_dns_label(name) || name.len() > 54)
    {
        let rule = "must be a DNS label: lower-case letters, digits, `-`, at most 54 characters";
        problems.push(Problem::new("metadata.name", quoted(name), rule).hint("for example prod-01"));
    }
    if let Some(domain) = raw.base_domain.as_ref().filter(|domain| !names::is_dns_subdomain(domain)) {
        let rule = "must be a DNS domain: labels of lower-case letters, digits and `-`, joined by dots";
        problems.push(Problem::new("baseDomain", quoted(domain), rule).hint("for example example.com"));
    }
}

fn check_secrets_and_trust(raw: &raw::InstallConfig, problems: &mut Vec<Problem>) {
    if let Some(secret) = &raw.pull_secret {
        names::check_pull_secret(secret.expose_secret(), problems);
    }
    if let Some(bundle) =
        raw.additional_trust_bundle.as_ref().filter(|text| !names::is_certificate_bundle(text))
    {
        problems.push(
            Problem::new("additionalTrustBundle", quoted(bundle), "must be PEM certificates")
                .hint("use a block scalar: additionalTrustBundle: |"),
        );
    }
    if raw.fips {
        problems.push(Problem::new("fips", "`true`", "must be false").hint("FIPS mode is not supported"));
    }
}

pub(super) fn ntp_servers(list: &[Option<String>], path: &str, problems: &mut Vec<Problem>) -> Vec<String> {
    for (index, server) in list.iter().enumerate() {
        let Some(server) = server else { continue };
        let valid =
            names::is_dns_subdomain(&server.to_lowercase()) || server.parse::<std::net::IpAddr>().is_ok();
        if !valid {
            let rule = "must be a DNS name or an address";
            problems.push(Problem::new(format!("{path}[{index}]"), quoted(server), rule));
        }
    }
    list.iter().flatten().cloned().collect()
}

/// Who becomes what: hosts without a role fill the masters first, then the workers.
struct Roles {
    of_hosts: Vec<Role>,
    masters_wanted: i64,
    workers_wanted: i64,
    pools: usize,
}

impl Roles {
    fn of(raw: &raw::InstallConfig) -> Self {
        let hosts = &raw.platform.baremetal.hosts;
        let masters_wanted = raw.control_plane.replicas.unwrap_or(3);
        let written = |role: &str| hosts.iter().filter(|host| host.role.as_deref() == Some(role)).count();
        let mut vacant = masters_wanted - i64::try_from(written("master")).unwrap_or(0);
        let of_hosts: Vec<Role> = hosts
            .iter()
            .map(|host| match host.role.as_deref() {
                Some("master") => Role::Master,
                Some(_) => Role::Worker,
                None if vacant > 0 => {
                    vacant -= 1;
                    Role::Master
                }
                None => Role::Worker,
            })
            .collect();
        let workers = of_hosts.iter().filter(|role| **role == Role::Worker).count();
        let workers_wanted = raw.compute.first().and_then(|pool| pool.replicas);
        Self {
            masters_wanted,
            workers_wanted: workers_wanted.unwrap_or(i64::try_from(workers).unwrap_or(0)),
            of_hosts,
            pools: raw.compute.len(),
        }
    }

    fn count(&self, role: Role) -> i64 {
        i64::try_from(self.of_hosts.iter().filter(|other| **other == role).count()).unwrap_or(i64::MAX)
    }

    fn check(&self, problems: &mut Vec<Problem>) {
        let replicas = "controlPlane.replicas";
        if ![1, 3, 5].contains(&self.masters_wanted) {
            problems.push(
                Problem::new(replicas, quoted(self.masters_wanted), "must be 1, 3 or 5")
                    .hint("etcd needs an odd number to keep its majority when a master is lost"),
            );
        }
        if self.pools > 1 {
            let rule = "must have at most one entry";
            problems.push(Problem::new("compute", format!("{} entries", self.pools), rule));
        }
        if self.workers_wanted < 0 {
            problems.push(Problem::new(
                "compute[0].replicas",
                quoted(self.workers_wanted),
                "must not be negative",
            ));
            return;
        }
        self.compare(Role::Master, self.masters_wanted, replicas, problems);
        self.compare(Role::Worker, self.workers_wanted, "compute[0].replicas", problems);
    }

    fn compare(&self, role: Role, wanted: i64, path: &str, problems: &mut Vec<Problem>) {
        let (listed, role) = (self.count(role), role.as_str());
        if listed != wanted {
            let hint = if listed < wanted {
                "add hosts or lower replicas"
            } else {
                "remove hosts or raise replicas"
            };
            problems.push(
                Problem::new(
                    path,
                    quoted(wanted),
                    format!("must be the number of hosts with role {role}, which is {listed}"),
                )
                .hint(hint),
            );
        }
    }
}

fn network_type(raw: &raw::InstallConfig) -> &str {
    raw.networking.network_type.as_deref().unwrap_or("OVNKubernetes")
}

fn remarks(raw: &raw::InstallConfig, hosts: &[Placed]) -> Vec<String> {
    let mut remarks = vec![format!("networkType {} is replaced by the built-in network.", network_type(raw))];
    if raw.networking.network_type.is_none() {
        remarks.clear();
    }
    let names = |wanted: fn(&BmcTrust, &str) -> bool| {
        let chosen = hosts.iter().filter(|placed| {
            let bmc = &placed.host.bmc;
            wanted(&bmc.trust, if bmc.address.https { "https" } else { "http" })
        });
        chosen.map(|placed| placed.host.name.as_str()).collect::<Vec<_>>().join(", ")
    };
    let unverified = names(|trust, transport| *trust == BmcTrust::Disabled && transport == "https");
    if !unverified.is_empty() {
        remarks.push(format!("BMC certificates are not verified for {unverified}."));
    }
    let plain = names(|_, transport| transport == "http");
    if !plain.is_empty() {
        remarks.push(format!("BMC passwords travel unencrypted (+http) for {plain}."));
    }
    if let Some(kind @ ("Managed" | "Unmanaged")) = raw.platform.baremetal.provisioning_network.as_deref() {
        remarks.push(format!("provisioningNetwork {kind} has no effect: machines boot from virtual media."));
    }
    if raw.additional_trust_bundle_policy.as_deref() == Some("Proxyonly") {
        remarks.push("additionalTrustBundlePolicy Proxyonly has no effect.".into());
    }
    remarks.extend(not_applied(raw, hosts));
    remarks
}

/// Fields of the format that this version takes and does nothing with.
fn not_applied(raw: &raw::InstallConfig, hosts: &[Placed]) -> Vec<String> {
    let mut remarks = Vec::new();
    if raw.pull_secret.is_some() {
        remarks.push("pullSecret is not used: every image comes with the release.".into());
    }
    let chosen = hosts.iter().filter(|placed| placed.host.boot_mode != super::BootMode::default());
    let chosen: Vec<&str> = chosen.map(|placed| placed.host.name.as_str()).collect();
    if !chosen.is_empty() {
        remarks.push(format!(
            "bootMode of {} is not set through the BMC: the medium boots in whatever mode the firmware is in.",
            chosen.join(", ")
        ));
    }
    remarks
}
