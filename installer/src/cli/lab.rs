//! `ashlar lab`: virtual racks. The work is `ashlar-lab`'s; this is its command line.

use std::convert::Infallible;
use std::path::PathBuf;
use std::process::ExitCode;

use ashlar_lab::rack::Rack;
use ashlar_lab::spec::{Chassis, Drive, Firmware, RackSpec, Role};
use ashlar_lab::{PowerAction, ServerStatus, Status};
use clap::{Args, Subcommand, ValueEnum};

use super::table::table;
use super::{Output, print_json};
use crate::directory::{AGENT_CONFIG, INSTALL_CONFIG, InstallDirectory, write_private};
use crate::engine::journal::{self, Journal};
use crate::engine::{release, secrets};
use crate::failure::{Fails, Failure};

#[derive(Subcommand)]
pub enum Command {
    /// Start a rack: networks, servers with disks (off), BMCs.
    Up(Up),
    /// End a rack and leave nothing of it behind.
    Down(Name),
    /// Say how to reach every server and its BMC.
    Status(Name),
    /// Write install-config.yaml and agent-config.yaml for a rack.
    Config(Config),
    /// Run a command in the rack's administrator namespace, with KUBECONFIG set.
    Exec(Exec),
    /// Run a command as `core` on an installed server, or log in.
    Ssh(Ssh),
    /// Print a server's console.
    Console(Console),
    /// Press a server's power button, or pull its plug.
    Power(Power),
    /// Pull a server's network cable out, or plug it in.
    Cable(Cable),
}

#[derive(Args)]
pub struct Name {
    /// The rack.
    #[arg(long, default_value = "lab")]
    name: String,
}

#[derive(Args)]
pub struct Up {
    #[command(flatten)]
    rack: Name,
    #[arg(long, default_value_t = 3)]
    masters: u8,
    #[arg(long, default_value_t = 0)]
    workers: u8,
    /// Disks in every server.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=8))]
    disks: u8,
    /// Run this server in QEMU, with firmware, boot loader, kernel and initramfs of its own; may be repeated.
    #[arg(long, value_name = "SERVER")]
    emulate: Vec<String>,
    /// Firmware of emulated servers.
    #[arg(long, value_enum, default_value = "uefi-secure-boot")]
    firmware: FirmwareKind,
    /// As what emulated servers see virtual media.
    #[arg(long, value_enum, default_value = "cd")]
    drive: DriveKind,
    /// Logical sectors of the disks of emulated servers, in bytes (512 or 4096), disk by disk; the last one is for all
    /// that follow.
    #[arg(long, value_delimiter = ',', value_parser = sector, default_value = "512")]
    sectors: Vec<u32>,
    /// Give emulated servers a TPM 2.0.
    #[arg(long)]
    tpm: bool,
    /// The clock of emulated servers says 1970 at every start.
    #[arg(long)]
    dead_battery: bool,
    /// End a rack of this name first: one that is up, or what a restarted computer left of it.
    #[arg(long)]
    fresh: bool,
}

fn sector(text: &str) -> Result<u32, String> {
    match text {
        "512" => Ok(512),
        "4096" => Ok(4096),
        _ => Err("disks have sectors of 512 or 4096 bytes".into()),
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum FirmwareKind {
    Bios,
    Uefi,
    UefiSecureBoot,
}

#[derive(Clone, Copy, ValueEnum)]
enum DriveKind {
    Cd,
    Usb,
}

#[derive(Args)]
pub struct Config {
    #[command(flatten)]
    rack: Name,
    /// Install directory; default: the rack's own.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

#[derive(Args)]
pub struct Exec {
    #[command(flatten)]
    rack: Name,
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
    command: Vec<String>,
}

#[derive(Args)]
pub struct Ssh {
    #[command(flatten)]
    rack: Name,
    server: String,
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
    command: Vec<String>,
}

#[derive(Args)]
pub struct Console {
    #[command(flatten)]
    rack: Name,
    server: String,
    /// Go on until interrupted.
    #[arg(long, short)]
    follow: bool,
}

#[derive(Args)]
pub struct Power {
    #[command(flatten)]
    rack: Name,
    server: String,
    #[arg(value_enum)]
    action: Action,
}

#[derive(Args)]
pub struct Cable {
    #[command(flatten)]
    rack: Name,
    server: String,
    #[arg(value_enum)]
    end: CableEnd,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CableEnd {
    In,
    Out,
}

#[derive(Clone, Copy, ValueEnum)]
enum Action {
    On,
    /// Press the button and wait until it is off.
    Off,
    /// Cut the power.
    Cut,
    /// Cut the power and give it back.
    Reset,
}

impl Command {
    pub async fn run(self, output: Output) -> Result<ExitCode, Failure> {
        match self {
            Self::Up(up) => up.run(output).await?,
            Self::Down(rack) => rack.down().await?,
            Self::Status(rack) => show(&status(&rack.name).await?, output)?,
            Self::Config(config) => config.run().await?,
            Self::Exec(exec) => match exec.run()? {},
            Self::Ssh(ssh) => match ssh.run().await? {},
            Self::Console(console) => {
                let Console { rack, server, follow } = console;
                let end = ashlar_lab::console(&rack.name, &server, follow, &mut std::io::stdout()).await;
                end.failing(|| format!("reading the console of {server}"))?;
            }
            Self::Power(power) => power.run().await?,
            Self::Cable(cable) => {
                let plugged = cable.end == CableEnd::In;
                let end = ashlar_lab::cable(&cable.rack.name, &cable.server, plugged).await;
                end.failing(|| format!("changing the cable of {}", cable.server))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Name {
    async fn down(self) -> Result<(), Failure> {
        let folder = Rack::named(&self.name).cluster_directory();
        forget_keys(&InstallDirectory::new(folder));
        ashlar_lab::down(&self.name).await.failing(|| format!("ending rack `{}`", self.name))
    }
}

/// The key of an install's journal lies outside the rack; without the rack it opens nothing.
fn forget_keys(directory: &InstallDirectory) {
    let journal = directory.journal_folder();
    if !journal.join(journal::FILE).exists() {
        return;
    }
    let forgotten = directory.configuration().and_then(|configuration| {
        let name = &configuration.install.name;
        let journal = Journal::open(&journal, name, &secrets::default_folder(), "ashlar lab down");
        journal
            .and_then(|journal| journal.archive("ended"))
            .failing(|| "forgetting the key of its cluster".into())
    });
    if let Err(failure) = forgotten {
        eprintln!("note: {}", failure.cause());
    }
}

impl Up {
    async fn run(self, output: Output) -> Result<(), Failure> {
        let name = &self.rack.name;
        if self.fresh && Rack::named(name).spec_file().exists() {
            eprintln!("ending rack `{name}` first");
            Name { name: name.clone() }.down().await?;
        }
        let spec = RackSpec::standard(name, self.masters, self.workers).with_disks(self.disks);
        let spec = spec.with_emulated(&self.emulate, self.chassis(), &self.sectors);
        let spec = spec.failing(|| format!("describing rack `{name}`"))?;
        let status = ashlar_lab::up(&spec).await.failing(|| format!("starting rack `{name}`"))?;
        eprintln!("rack `{name}` is up: {} servers, all off", status.servers.len());
        show(&status, output)
    }
}

impl Up {
    fn chassis(&self) -> Chassis {
        let firmware = match self.firmware {
            FirmwareKind::Bios => Firmware::Bios,
            FirmwareKind::Uefi => Firmware::Uefi,
            FirmwareKind::UefiSecureBoot => Firmware::UefiSecureBoot,
        };
        let drive = match self.drive {
            DriveKind::Cd => Drive::Cd,
            DriveKind::Usb => Drive::Usb,
        };
        Chassis { firmware, drive, tpm: self.tpm, dead_battery: self.dead_battery }
    }
}

impl Exec {
    fn run(self) -> Result<Infallible, Failure> {
        let name = &self.rack.name;
        let end = ashlar_lab::exec(name, &with_client_tools(self.command));
        end.failing(|| format!("running a command in rack `{name}`"))
    }
}

impl Ssh {
    /// The host keys of a rack change with every install: they are not kept.
    async fn run(self) -> Result<Infallible, Failure> {
        let name = &self.rack.name;
        let status = status(name).await?;
        let server = status.servers.iter().find(|server| server.name == self.server);
        let server =
            server.ok_or_else(|| Failure::user(format!("rack `{name}` has no server `{}`", self.server)))?;
        let key = Rack::named(name).ssh_key().display().to_string();
        let address = format!("core@{}", server.machine_address);
        let options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR"];
        let options = options.iter().flat_map(|option| ["-o", option]);
        let command = ["ssh", "-i", &key].into_iter().chain(options).chain([address.as_str(), "--"]);
        let command = command.map(ToOwned::to_owned).chain(self.command).collect::<Vec<_>>();
        let end = ashlar_lab::exec(name, &command);
        end.failing(|| format!("logging in to {}", self.server))
    }
}

/// `kubectl` and its like out of the newest release, for computers that have none.
fn with_client_tools(command: Vec<String>) -> Vec<String> {
    let Ok(release) = release::locate(None) else { return command };
    let known = std::env::var("PATH").unwrap_or_default();
    let path = format!("PATH={known}:{}", release.join("bin").display());
    ["env".to_owned(), path].into_iter().chain(command).collect()
}

impl Power {
    async fn run(self) -> Result<(), Failure> {
        let action = match self.action {
            Action::On => PowerAction::On,
            Action::Off => PowerAction::Off,
            Action::Cut => PowerAction::Cut,
            Action::Reset => PowerAction::Reset,
        };
        let end = ashlar_lab::power(&self.rack.name, &self.server, action).await;
        end.failing(|| format!("changing the power of {}", self.server))
    }
}

impl Config {
    async fn run(self) -> Result<(), Failure> {
        let status = status(&self.rack.name).await?;
        let dir = self.dir.unwrap_or_else(|| status.directory.join("cluster"));
        for (name, text) in
            [(INSTALL_CONFIG, install_config(&status)), (AGENT_CONFIG, agent_config(&status)?)]
        {
            write_private(&dir.join(name), text.as_bytes())?;
        }
        println!("{}", dir.display());
        Ok(())
    }
}

async fn status(name: &str) -> Result<Status, Failure> {
    ashlar_lab::status(name).await.failing(|| format!("asking rack `{name}`"))
}

fn show(status: &Status, output: Output) -> Result<(), Failure> {
    if output == Output::Json {
        return print_json(status);
    }
    let rows: Vec<Vec<String>> = status
        .servers
        .iter()
        .map(|server| {
            let power = if server.on { "on" } else { "off" };
            let medium = server.medium.clone().unwrap_or_else(|| "none".into());
            vec![
                server.name.clone(),
                power.into(),
                server.machine_address.to_string(),
                server.bmc_address.to_string(),
                format!("{} / {}", server.bmc_user, server.bmc_password),
                medium,
            ]
        })
        .collect();
    print!("{}", table(&["SERVER", "POWER", "ADDRESS", "BMC", "BMC LOGIN", "MEDIUM"], &rows));
    Ok(())
}

/// Cluster name and base domain out of the rack's domain.
fn names(status: &Status) -> (&str, &str) {
    status.domain.split_once('.').unwrap_or((&status.domain, "ashlar.test"))
}

fn install_config(status: &Status) -> String {
    let (name, domain) = names(status);
    let count = |role| status.servers.iter().filter(|server| server.role == role).count();
    let [a, b, c, _] = status.machine_network_address.octets();
    let hosts: String = status
        .servers
        .iter()
        .filter_map(|server| {
            let role = match server.role {
                Role::Bootstrap => return None,
                Role::Master => "master",
                Role::Worker => "worker",
            };
            Some(format!("      - name: {}\n        role: {role}\n{}", server.name, host(server, "        ")))
        })
        .collect();
    format!(
        "# Written by `ashlar lab config`.
apiVersion: v1
metadata:
  name: {name}
baseDomain: {domain}
sshKey: '{}'
networking:
  networkType: Flannel
  clusterNetwork:
    - cidr: 10.128.0.0/14
      hostPrefix: 23
  serviceNetwork:
    - 172.30.0.0/16
  machineNetwork:
    - cidr: {a}.{b}.{c}.0/24
platform:
  baremetal:
    apiVIPs:
      - {}
    ingressVIPs:
      - {}
    hosts:
{hosts}controlPlane:
  replicas: {}
compute:
  - name: worker
    replicas: {}
",
        status.ssh_public_key,
        status.api_address,
        status.ingress_address,
        count(Role::Master),
        count(Role::Worker)
    )
}

fn agent_config(status: &Status) -> Result<String, Failure> {
    let bootstrap = status.servers.iter().find(|server| server.role == Role::Bootstrap);
    let bootstrap = bootstrap.ok_or_else(|| Failure::user("the rack has no bootstrap server"))?;
    Ok(format!(
        "# Written by `ashlar lab config`.\napiVersion: v1beta1\nkind: AgentConfig\nmetadata:\n  name: {}\nbootstrap:\n  name: {}\n{}",
        names(status).0,
        bootstrap.name,
        host(bootstrap, "  ")
    ))
}

/// What both files say of a server's BMC and interface.
fn host(server: &ServerStatus, indent: &str) -> String {
    let ServerStatus { bmc_address, bmc_user, bmc_password, certificate_sha256, mac, .. } = server;
    // One disk needs no choice.
    let hints = match server.disks.as_slice() {
        [first, _, ..] => format!("{indent}rootDeviceHints:\n{indent}  serialNumber: {first}\n"),
        _ => String::new(),
    };
    format!(
        "{indent}bootMACAddress: \"{mac}\"
{indent}bmc:
{indent}  address: redfish-virtualmedia://{bmc_address}
{indent}  username: {bmc_user}
{indent}  password: '{bmc_password}'
{indent}  certificateFingerprint: \"{certificate_sha256}\"
{hints}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use ashlar_lab::spec::ServerSpec;
    use ashlar_model::config;

    fn status_of(spec: &RackSpec) -> Status {
        let server = |server: &ServerSpec| ServerStatus {
            name: server.name.clone(),
            role: server.role,
            on: false,
            medium: None,
            disks: server.disks.iter().map(|disk| disk.serial.clone()).collect(),
            boot_override: None,
            machine_address: server.machine_address,
            mac: server.mac.clone(),
            bmc_address: server.bmc_address,
            bmc_user: server.bmc_user.clone(),
            bmc_password: server.bmc_password.clone(),
            certificate_sha256: ["ab"; 32].join(":"),
        };
        Status {
            name: spec.name.clone(),
            directory: "/lab".into(),
            domain: spec.domain.clone(),
            ssh_public_key:
                "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIAM7y4OgXQlI+woAB9lUiuUJaQacEzR3uaBOoC8KPu6 ashlar-lab"
                    .into(),
            api_address: spec.api_address,
            ingress_address: spec.ingress_address,
            machine_network_address: spec.machine_network.administrator(),
            bmc_network_address: spec.bmc_network.administrator(),
            servers: spec.servers.iter().map(server).collect(),
        }
    }

    #[test]
    fn the_configuration_of_a_rack_is_valid() {
        let status = status_of(&RackSpec::standard("lab", 3, 2));
        let install =
            config::parse(&install_config(&status)).unwrap_or_else(|problems| panic!("{problems:#?}"));
        let text = agent_config(&status).expect("a bootstrap");
        let agent = config::agent_config::parse(&text).unwrap_or_else(|problems| panic!("{problems:#?}"));
        assert_eq!(config::agent_config::conflicts(&agent, &install), []);
        assert_eq!((install.masters().count(), install.workers().count()), (3, 2));
        assert_eq!(install.cluster_domain(), status.domain);
    }
}
