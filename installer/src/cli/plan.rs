//! `ashlar plan`.

mod machine_config;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::{Directory, Output, print_json, status};
use crate::directory::Configuration;
use crate::engine::disk::Consent;
use crate::engine::{release, serve_address};
use crate::failure::Failure;
use crate::plan::{Facts, plan};

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    install: Install,
}

#[derive(Subcommand)]
enum What {
    /// Say what machine configs would do to each node of a cluster that runs.
    MachineConfig(machine_config::Arguments),
}

impl Arguments {
    pub async fn run(self, output: Output) -> Result<ExitCode, Failure> {
        match self.what {
            Some(What::MachineConfig(arguments)) => arguments.run(output).await,
            None => self.install.run(output).await,
        }
    }
}

#[derive(Args)]
struct Install {
    #[command(flatten)]
    directory: Directory,
    /// Address of this computer that BMCs and hosts are told; default: by route.
    #[arg(long, value_name = "ADDRESS")]
    serve_address: Option<IpAddr>,
    /// Release directory; default: the newest of the cache.
    #[arg(long, value_name = "DIR")]
    release: Option<PathBuf>,
    /// Hosts whose disks may be overwritten though they hold data: names with commas, or `all`.
    #[arg(long, value_name = "HOSTS", default_value = "")]
    wipe: Consent,
}

impl Install {
    async fn run(self, output: Output) -> Result<ExitCode, Failure> {
        let directory = self.directory.open();
        let configuration = directory.configuration()?;
        let known = status::last(&directory).map(|status| status.hosts).unwrap_or_default();
        let facts = Facts {
            serve_towards_bmc: towards_bmcs(&configuration, self.serve_address).await,
            serve_towards_hosts: self
                .serve_address
                .or_else(|| serve_address::towards(configuration.install.api_vip.into()).ok()),
            release: release::locate(self.release.as_deref()).ok(),
            consent: self.wipe,
            known: known.into_iter().map(|line| (line.name.clone(), line)).collect(),
        };
        let plan = plan(&configuration, &facts);
        match output {
            Output::Text => print!("{plan}"),
            Output::Json => print_json(&plan)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn towards_bmcs(configuration: &Configuration, fixed: Option<IpAddr>) -> BTreeMap<String, IpAddr> {
    let mut all = BTreeMap::new();
    for host in configuration.hosts() {
        let address = match fixed {
            Some(address) => Some(address),
            None => match serve_address::resolve(&host.bmc.address.host).await {
                Ok(bmc) => serve_address::towards(bmc).ok(),
                Err(_) => None,
            },
        };
        all.extend(address.map(|address| (host.name.clone(), address)));
    }
    all
}
