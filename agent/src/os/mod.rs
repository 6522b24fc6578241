//! `ashlar node os`: the operating system of this machine, for the operator at its console.

mod boot;
mod source;
mod staged;
mod trust;

use std::path::Path;

use anyhow::Context;
use ashlar_host::ostree::{Deployment, Pulled, System};
use ashlar_model::release::Release;
use clap::Subcommand;

use crate::images::IMAGES_DIRECTORY;

use source::Source;

#[derive(Subcommand)]
pub enum Command {
    /// Say which systems are on this machine, which runs and which is booted next.
    Status {
        /// Print for programs.
        #[arg(long)]
        json: bool,
    },
    /// Fetch and check the system of another release; it runs after the next restart.
    Stage {
        /// Where the release is: `http://…`, `https://…` or a directory.
        release: Source,
    },
    /// Say the kernel's arguments of the next boot, or change them from the next restart on.
    KernelArguments {
        /// An argument that it gets, unless it has it; may be repeated.
        #[arg(long)]
        add: Vec<String>,
        /// An argument that it loses; may be repeated.
        #[arg(long)]
        remove: Vec<String>,
    },
    /// Boot the system before this one from the next restart on.
    Rollback,
    /// Keep the deployment at this place of `status` from being removed.
    Pin { index: usize },
    /// Let the deployment at this place of `status` be removed by later updates.
    Unpin { index: usize },
    /// For the node daemon: fetch a release from the cluster's masters, check it, and lay its images out.
    #[command(hide = true)]
    Fetch { url: String, commit: String },
    /// For the node daemon: stage what was fetched.
    #[command(hide = true)]
    StageFetched { version: String, commit: String },
}

/// Where the images of a system that was fetched are laid out: on the repository's file system.
pub const FETCHED_IMAGES: &str = "/sysroot/ostree/ashlar-fetched-images";
pub use source::AUTHORITY;

/// Runs before the process has threads.
pub fn run(command: &Command) -> anyhow::Result<()> {
    let system = System::open()?;
    match command {
        Command::Status { json } => show(&system, *json)?,
        Command::Stage { release } => stage(&system, release)?,
        Command::KernelArguments { add, remove } => kernel_arguments(&system, add, remove)?,
        Command::Rollback => {
            let first = system.roll_back()?;
            println!("{} is booted from the next restart on (systemctl reboot)", first.version);
        }
        Command::Pin { index } => system.pin(*index, true)?,
        Command::Unpin { index } => system.pin(*index, false)?,
        Command::Fetch { url, commit } => fetch(&system, &Source::Cluster(url.clone()), commit)?,
        Command::StageFetched { version, commit } => {
            let serial = system.stage_kept(commit, Path::new(FETCHED_IMAGES))?;
            staged::remember(Path::new(staged::NOTE), version, commit, serial)?;
        }
    }
    Ok(())
}

fn fetch(system: &System, source: &Source, commit: &str) -> anyhow::Result<()> {
    let release = source.release()?;
    anyhow::ensure!(
        release.ostree_commit == commit,
        "the release at {source} has the system {}, not {commit}",
        release.ostree_commit
    );
    pull(system, source, &release)?;
    system.keep(commit, Path::new(IMAGES_DIRECTORY), Path::new(FETCHED_IMAGES))?;
    Ok(system.fits(commit)?)
}

fn stage(system: &System, source: &Source) -> anyhow::Result<()> {
    let release = source.release()?;
    let known = system.deployments();
    if known.first().is_some_and(|first| first.commit == release.ostree_commit) {
        println!("{} is what is booted next already", release.version);
        return Ok(());
    }
    println!("fetching the system of {} ({})", release.version, &release.ostree_commit[..12]);
    pull(system, source, &release)?;
    let serial = system.stage(&release.ostree_commit)?;
    staged::remember(Path::new(staged::NOTE), &release.version, &release.ostree_commit, serial)?;
    println!("{} is staged: it runs after the next restart (systemctl reboot)", release.version);
    Ok(())
}

/// Fetches the system and checks its signature.
fn pull(system: &System, source: &Source, release: &Release) -> anyhow::Result<()> {
    let told = std::cell::Cell::new(0);
    let pulled = system.pull(
        &source.repository(),
        source.credential(),
        &release.ostree_commit,
        move |pulled: Pulled| {
            if pulled.objects >= told.get() + 500 {
                told.set(pulled.objects);
                println!("{} of {} objects, {} MB", pulled.objects, pulled.of, pulled.bytes / 1_000_000);
            }
        },
    )?;
    println!("fetched {}", fetched(&pulled));
    if let Err(error) = trust::check(&system.signed(&release.ostree_commit)?) {
        system.forget(&release.ostree_commit)?;
        return Err(error).with_context(|| format!("the system of {} is not taken", release.version));
    }
    Ok(())
}

fn kernel_arguments(system: &System, add: &[String], remove: &[String]) -> anyhow::Result<()> {
    let old = system.kernel_arguments();
    let mut new: Vec<String> = old.iter().filter(|word| !remove.contains(word)).cloned().collect();
    new.extend(add.iter().filter(|word| !old.contains(word) || remove.contains(word)).cloned());
    if new == old {
        println!("{}", old.join(" "));
        return Ok(());
    }
    system.stage_kernel_arguments(&new)?;
    println!("from the next restart on (systemctl reboot): {}", new.join(" "));
    Ok(())
}

fn fetched(pulled: &Pulled) -> String {
    let kilobytes = pulled.bytes.div_ceil(1000);
    match pulled.delta_parts {
        0 => format!("{} objects, {kilobytes} kB", pulled.objects),
        parts => format!("a delta of {parts} parts, {kilobytes} kB"),
    }
}

fn show(system: &System, json: bool) -> anyhow::Result<()> {
    let deployments = system.deployments();
    let boot = boot::standing();
    let lost = staged::lost(Path::new(staged::NOTE), &deployments);
    if json {
        let lost = lost.map(|lost| serde_json::json!({"version": lost.version, "commit": lost.commit}));
        let text = serde_json::json!({"deployments": deployments, "boot": boot, "lost": lost});
        println!("{}", serde_json::to_string_pretty(&text)?);
        return Ok(());
    }
    let staged = deployments.iter().filter(|one| one.staged).count();
    for (index, deployment) in deployments.iter().enumerate() {
        println!(
            "{index}  {}  {}  {}",
            deployment.version,
            &deployment.commit[..12],
            words(deployment, index.checked_sub(staged), &boot)
        );
    }
    println!("\n{}", boot.words());
    if let Some(lost) = lost {
        println!("{}", lost.words());
    }
    Ok(())
}

/// `place`: in the boot menu, where a staged one is not yet.
fn words(deployment: &Deployment, place: Option<usize>, boot: &boot::Standing) -> String {
    let next = usize::from(boot.is_over());
    let mut words = Vec::new();
    if deployment.booted {
        words.push("runs");
    }
    match place {
        None => words.push("staged: becomes the first at the next shutdown"),
        Some(place) if place == next => words.push("is booted next"),
        Some(place) if place < next => words.push("was left"),
        Some(_) => {}
    }
    if deployment.pinned {
        words.push("pinned");
    }
    words.join(", ")
}
