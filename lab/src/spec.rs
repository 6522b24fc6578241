//! What a rack is made of. Pure: names and addresses are decided here, nothing is touched.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

/// Address of the administrator's namespace in both networks (last byte).
const ADMINISTRATOR: u8 = 1;
const GIB: u64 = 1 << 30;
const EMULATED_CPUS: u32 = 2;
const EMULATED_MEMORY_MIB: u64 = 4096;
/// Names become parts of network namespaces, control groups and paths.
const LONGEST_NAME: usize = 32;

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    #[error(
        "`{name}` cannot name a rack or a server\nhint: use at most {LONGEST_NAME} lower-case letters, digits and dashes"
    )]
    Name { name: String },
    #[error("two servers of the rack have the {what} {value}")]
    Twice { what: &'static str, value: String },
    #[error("a rack needs at least one server")]
    Empty,
    #[error("the rack has no server `{name}` that could be emulated")]
    NoServer { name: String },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RackSpec {
    pub name: String,
    /// DNS domain of the cluster: `api.<domain>` and so on.
    pub domain: String,
    pub machine_network: Network,
    pub bmc_network: Network,
    pub api_address: Ipv4Addr,
    pub ingress_address: Ipv4Addr,
    pub servers: Vec<ServerSpec>,
}

/// A /24, by its first three bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    pub prefix: [u8; 3],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    Bootstrap,
    Master,
    Worker,
}

/// What gives a server its body.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Driver {
    /// systemd-nspawn: native speed, without firmware, boot loader, kernel and initramfs.
    #[default]
    Container,
    /// QEMU: all of a computer, slower.
    Qemu(Chassis),
}

/// What an emulated computer is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chassis {
    pub firmware: Firmware,
    pub drive: Drive,
    /// It has a TPM 2.0.
    #[serde(default)]
    pub tpm: bool,
    /// Its clock says 1970 at every start.
    #[serde(default)]
    pub dead_battery: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Firmware {
    Bios,
    Uefi,
    /// UEFI that starts only what Microsoft's keys have signed.
    UefiSecureBoot,
}

/// As what virtual media appear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Drive {
    Cd,
    Usb,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerSpec {
    pub name: String,
    pub role: Role,
    #[serde(default)]
    pub driver: Driver,
    pub cpus: u32,
    pub memory_mib: u64,
    pub disks: Vec<DiskSpec>,
    pub mac: String,
    /// What DHCP gives to `mac`.
    pub machine_address: Ipv4Addr,
    pub bmc_address: Ipv4Addr,
    pub bmc_user: String,
    /// Made up for a rack that nothing outside this computer can reach: no secret.
    pub bmc_password: String,
    /// DMI system UUID and serial number.
    pub uuid: String,
    pub serial: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskSpec {
    pub size_gib: u64,
    pub serial: String,
    pub model: String,
    pub rotational: bool,
    /// Logical, in bytes; only an emulated server can have others than 512.
    #[serde(default = "usual_sector")]
    pub sector: u32,
}

fn usual_sector() -> u32 {
    512
}

impl Network {
    #[must_use]
    pub fn address(self, host: u8) -> Ipv4Addr {
        let [a, b, c] = self.prefix;
        Ipv4Addr::new(a, b, c, host)
    }

    #[must_use]
    pub fn administrator(self) -> Ipv4Addr {
        self.address(ADMINISTRATOR)
    }
}

impl DiskSpec {
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.size_gib * GIB
    }
}

impl RackSpec {
    /// A rack for one cluster: a bootstrap server, masters and workers, one disk each.
    #[must_use]
    pub fn standard(name: &str, masters: u8, workers: u8) -> Self {
        let machine_network = Network { prefix: [192, 168, 126] };
        let bmc_network = Network { prefix: [192, 168, 127] };
        let bootstrap = std::iter::once(("bootstrap".to_owned(), Role::Bootstrap, 20));
        let masters = (1..=masters).map(|n| (format!("master-{n}"), Role::Master, 20 + n));
        let workers = (1..=workers).map(|n| (format!("worker-{n}"), Role::Worker, 30 + n));
        let named = bootstrap.chain(masters).chain(workers).zip(11..);
        let servers = named
            .map(|((server, role, host), bmc)| {
                server_spec(&server, role, machine_network.address(host), bmc_network.address(bmc))
            })
            .collect();
        Self {
            name: name.to_owned(),
            domain: "lab.ashlar.test".into(),
            machine_network,
            bmc_network,
            api_address: machine_network.address(100),
            ingress_address: machine_network.address(101),
            servers,
        }
    }

    /// The same rack with `disks` equal disks in every server, the first of which is the one it had.
    #[must_use]
    pub fn with_disks(mut self, disks: u8) -> Self {
        for server in &mut self.servers {
            let Some(first) = server.disks.first().cloned() else { continue };
            let more = (2..=disks)
                .map(|number| DiskSpec { serial: format!("{}-{number}", first.serial), ..first.clone() });
            server.disks.extend(more);
        }
        self
    }

    /// The same rack with some servers in QEMU; they get what an emulated computer can use. `sectors`: of their disks,
    /// in order, the last for all that follow.
    ///
    /// # Errors
    /// The rack has no server of such a name.
    pub fn with_emulated(
        mut self,
        servers: &[String],
        chassis: Chassis,
        sectors: &[u32],
    ) -> Result<Self, Error> {
        for name in servers {
            let server = self.servers.iter_mut().find(|server| server.name == *name);
            let server = server.ok_or_else(|| Error::NoServer { name: name.clone() })?;
            server.driver = Driver::Qemu(chassis);
            (server.cpus, server.memory_mib) = (EMULATED_CPUS, EMULATED_MEMORY_MIB);
            for (number, disk) in server.disks.iter_mut().enumerate() {
                disk.sector = *sectors.get(number).or(sectors.last()).unwrap_or(&usual_sector());
            }
        }
        Ok(self)
    }

    /// # Errors
    /// A name that cannot be used, or two servers that share what must be their own.
    pub fn validate(&self) -> Result<(), Error> {
        let names = std::iter::once(&self.name).chain(self.servers.iter().map(|server| &server.name));
        names.clone().try_for_each(|name| valid_name(name))?;
        if self.servers.is_empty() {
            return Err(Error::Empty);
        }
        once("name", self.servers.iter().map(|server| server.name.clone()))?;
        once("MAC address", self.servers.iter().map(|server| server.mac.to_lowercase()))?;
        once("address", self.servers.iter().map(|server| server.machine_address.to_string()))?;
        once("BMC address", self.servers.iter().map(|server| server.bmc_address.to_string()))
    }

    #[must_use]
    pub fn server(&self, name: &str) -> Option<&ServerSpec> {
        self.servers.iter().find(|server| server.name == name)
    }
}

fn server_spec(name: &str, role: Role, machine: Ipv4Addr, bmc: Ipv4Addr) -> ServerSpec {
    let [.., host] = machine.octets();
    ServerSpec {
        name: name.to_owned(),
        role,
        driver: Driver::Container,
        cpus: 4,
        memory_mib: 16 * 1024,
        disks: vec![DiskSpec {
            size_gib: 20,
            serial: format!("ASHLAR-{host:04}"),
            model: "Ashlar Lab Disk".into(),
            rotational: false,
            sector: usual_sector(),
        }],
        mac: format!("52:54:00:a5:00:{host:02x}"),
        machine_address: machine,
        bmc_address: bmc,
        bmc_user: "root".into(),
        bmc_password: format!("calvin-{host}"),
        uuid: format!("a5a51ab0-0000-4000-8000-525400a500{host:02x}"),
        serial: format!("LAB{host:05}"),
    }
}

fn valid_name(name: &str) -> Result<(), Error> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let good = !name.is_empty() && name.len() <= LONGEST_NAME && name.chars().all(allowed);
    if good && !name.starts_with('-') { Ok(()) } else { Err(Error::Name { name: name.to_owned() }) }
}

fn once(what: &'static str, values: impl Iterator<Item = String>) -> Result<(), Error> {
    let mut seen = std::collections::BTreeSet::new();
    for value in values {
        if !seen.insert(value.clone()) {
            return Err(Error::Twice { what, value });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_rack_has_addresses_by_role() {
        let rack = RackSpec::standard("demo", 3, 2);
        rack.validate().expect("usable");
        let of = |name: &str| rack.server(name).expect("there").machine_address.to_string();
        assert_eq!(of("bootstrap"), "192.168.126.20");
        assert_eq!(of("master-3"), "192.168.126.23");
        assert_eq!(of("worker-1"), "192.168.126.31");
    }

    #[test]
    fn a_name_that_could_leave_its_folder_is_refused() {
        for name in ["", "../x", "A", "-x", "a b"] {
            let rack = RackSpec::standard(name, 1, 0);
            assert_eq!(rack.validate(), Err(Error::Name { name: name.into() }));
        }
    }

    #[test]
    fn two_servers_with_one_mac_are_refused() {
        let mut rack = RackSpec::standard("demo", 1, 0);
        rack.servers[1].mac = rack.servers[0].mac.clone();
        assert!(matches!(rack.validate(), Err(Error::Twice { what: "MAC address", .. })));
    }
}
