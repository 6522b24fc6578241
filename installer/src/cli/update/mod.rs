//! `ashlar update`: takes a cluster to another release. The cluster does the work; this asks, refuses, brings the
//! release and shows how far it is.

mod checks;
mod facts;
mod object;
mod start;
mod steps;
mod upload;
mod view;

use std::path::PathBuf;
use std::process::ExitCode;

use ashlar_image::release as directory;
use ashlar_model::release::Release;
use clap::{Args, Subcommand};
use kube::Client;

use super::{Directory, Output, print_json};
use crate::engine::cluster;
use crate::failure::{Fails, Failure};

#[derive(Subcommand)]
pub enum Command {
    /// Say what an update would do and what speaks against it. Changes nothing.
    Plan(Plan),
    /// Begin an update, or go on with one that stopped: bring the release to the masters, which do the rest.
    Start(Start),
    /// Say how far the update is.
    Status(Cluster),
    /// Begin nothing further. What a node is doing is ended.
    Abort(Cluster),
}

/// Which cluster.
#[derive(Args)]
pub struct Cluster {
    #[command(flatten)]
    directory: Directory,
    /// Kubeconfig of an administrator; default: the install directory's.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
}

#[derive(Args)]
pub struct Plan {
    /// Release directory.
    #[arg(value_name = "RELEASE_DIR")]
    release: PathBuf,
    /// Public key (minisign) that must have signed it; default: the one beside it.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    #[command(flatten)]
    cluster: Cluster,
}

#[derive(Args)]
pub struct Start {
    #[command(flatten)]
    plan: Plan,
    /// Stay until the update has ended. It goes on without this command.
    #[arg(long)]
    wait: bool,
}

impl Command {
    pub async fn run(self, output: Output) -> Result<ExitCode, Failure> {
        match self {
            Self::Plan(plan) => plan.run(output).await,
            Self::Start(start) => start::run(&start, output).await,
            Self::Status(cluster) => {
                let client = cluster.client().await?;
                view::show(&client, output).await
            }
            Self::Abort(cluster) => abort(&cluster.client().await?, output).await,
        }
    }
}

impl Cluster {
    async fn client(&self) -> Result<Client, Failure> {
        let path = self.kubeconfig.clone().unwrap_or_else(|| self.directory.open().kubeconfig());
        let text = std::fs::read_to_string(&path).map_err(|error| {
            Failure::user(format!("reading the kubeconfig {}", path.display()))
                .because(error)
                .hint("name one with --kubeconfig, or the install directory with --dir")
        })?;
        cluster::client(&text).await
    }
}

impl Plan {
    /// The release, with its signature checked.
    fn release(&self) -> Result<Release, Failure> {
        let key = self.key.as_ref().map(|path| {
            std::fs::read_to_string(path).failing(|| format!("reading the key {}", path.display()))
        });
        directory::read_signed(&self.release, key.transpose()?.as_deref()).map_err(|error| {
            Failure::user(format!("the release in {} must not be used", self.release.display()))
                .because(error)
        })
    }

    async fn run(self, output: Output) -> Result<ExitCode, Failure> {
        let release = self.release()?;
        let facts = facts::collect(&self.cluster.client().await?).await?;
        let found = checks::check(&release, &facts);
        let steps = steps::steps(&release, &facts);
        if output == Output::Json {
            print_json(&serde_json::json!({"release": release.version, "problems": found, "steps": steps}))?;
        } else {
            print!("{}", steps::text(&release, &facts, &steps));
            print!("{}", checks::text(&found));
        }
        let blocked = found.iter().any(|finding| finding.blocks);
        Ok(if blocked { ExitCode::from(1) } else { ExitCode::SUCCESS })
    }
}

async fn abort(client: &Client, output: Output) -> Result<ExitCode, Failure> {
    let Some(update) = object::read(client).await? else {
        eprintln!("no update was begun; nothing was done");
        return Ok(ExitCode::SUCCESS);
    };
    if update.is("Finished") {
        eprintln!("the update to {} has finished; nothing was done", update.spec.version);
        return Ok(ExitCode::SUCCESS);
    }
    object::stop(client).await?;
    eprintln!("nothing further is begun; what a node is doing is ended");
    eprint!("{}", view::left(&update));
    if output == Output::Json {
        print_json(&update)?;
    }
    Ok(ExitCode::SUCCESS)
}
