//! `ashlar-ignition`: applies the first-boot configuration of an installed disk, and shows what it would do.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use ashlar_ignition::runtime::{Failure, Fetcher, FirstBoot, Outcome, Root, apply, fetch_all, first_boot};
use ashlar_ignition::{Config, Problem, Rendered, parse, plan, validate};
use clap::{Parser, Subcommand};

/// Ignition configurations (spec 3.0 to 3.5) on a root file system.
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Apply the configuration in the config slot, unless that was done before.
    FirstBoot {
        /// The root of the installed system, with its /etc and /var in place.
        #[arg(long)]
        sysroot: PathBuf,
        /// The config slot: a device or a file, and the byte at which the slot begins.
        #[arg(long, value_name = "PATH[:OFFSET]")]
        slot: String,
    },
    /// Say every problem of a configuration (`-` reads standard input).
    Validate { file: PathBuf },
    /// Fetch and merge what the configuration names, and print the result.
    Render { file: PathBuf },
    /// Print the actions that a configuration leads to.
    Plan { file: PathBuf },
    /// Carry out a configuration on a root file system.
    Apply {
        #[arg(long)]
        root: PathBuf,
        file: PathBuf,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Args::parse();
    match run(args.command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            match error.downcast_ref::<Failure>() {
                Some(failure) => eprintln!("ashlar-ignition failed\n{failure}"),
                None => eprintln!("error: {error:#}"),
            }
            ExitCode::from(1)
        }
    }
}

async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::FirstBoot { sysroot, slot } => run_first_boot(sysroot, &slot).await,
        Command::Validate { file } => {
            read(&file)?;
            say("the configuration is valid");
            Ok(())
        }
        Command::Render { file } => {
            let (rendered, _) = rendered(&file).await?;
            println!("{}", serde_json::to_string_pretty(&rendered.config).context("writing JSON")?);
            Ok(())
        }
        Command::Plan { file } => {
            let (rendered, _) = rendered(&file).await?;
            for action in plan(&rendered.config, &rendered.settings).map_err(refusal)? {
                println!("{action}");
            }
            Ok(())
        }
        Command::Apply { root, file } => {
            let (rendered, fetcher) = rendered(&file).await?;
            let actions = plan(&rendered.config, &rendered.settings).map_err(refusal)?;
            let applied = apply(&actions, &Root::new(root), &fetcher).await;
            let warnings = applied
                .map_err(|(entry, error)| anyhow!(Failure::new("apply", entry, &error, error.remedy())))?;
            warnings.iter().for_each(|warning| say(&format!("warning: {warning}")));
            Ok(())
        }
    }
}

async fn run_first_boot(sysroot: PathBuf, slot: &str) -> anyhow::Result<()> {
    let (slot, offset) = split_offset(slot);
    match first_boot(&FirstBoot { sysroot, slot, offset, say }).await? {
        Outcome::NoConfiguration => say("the config slot holds no configuration; nothing to do"),
        Outcome::AlreadyApplied => say("the configuration was applied before; nothing to do"),
        Outcome::Applied { actions } => say(&format!("the first boot is done: {actions} entries")),
    }
    Ok(())
}

/// `PATH:OFFSET`; a path may contain colons itself (`/dev/disk/by-path/…`).
fn split_offset(slot: &str) -> (PathBuf, u64) {
    match slot.rsplit_once(':').map(|(path, offset)| (path, offset.parse::<u64>())) {
        Some((path, Ok(offset))) if !Path::new(slot).exists() => (path.into(), offset),
        _ => (slot.into(), 0),
    }
}

fn say(text: &str) {
    eprintln!("ashlar-ignition: {text}");
}

/// The configuration in a file, if it is valid.
fn read(file: &Path) -> anyhow::Result<Config> {
    let bytes = if file == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).context("reading standard input")?;
        bytes
    } else {
        std::fs::read(file).with_context(|| format!("reading {}", file.display()))?
    };
    let parsed = parse(&bytes)?;
    let report = parsed.report();
    report.warnings.iter().for_each(|warning| say(&format!("warning: {warning}")));
    if !report.errors.is_empty() {
        bail!(refusal(report.errors));
    }
    Ok(parsed.config)
}

async fn rendered(file: &Path) -> anyhow::Result<(Rendered, Fetcher)> {
    let config = read(file)?;
    let fetcher = Fetcher::plain(Path::new("/"), say);
    let rendered = fetch_all(&config, &fetcher).await?;
    let problems = validate(&rendered.config);
    if !problems.is_empty() {
        bail!(refusal(problems));
    }
    Ok((rendered, fetcher))
}

fn refusal(problems: Vec<Problem>) -> anyhow::Error {
    let lines: Vec<String> = problems.iter().map(|problem| format!("\n  {problem}")).collect();
    anyhow!("the configuration has {} problems:{}", problems.len(), lines.concat())
}
