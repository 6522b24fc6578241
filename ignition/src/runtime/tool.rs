//! The subcommands that people use on configurations: in `ashlar ignition` and in `ashlar-ignition`.
//!
//! Exit codes: 0 done, 1 the configuration must be corrected (for `diff`: there are differences), 2 a defect of the
//! surroundings.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::apply::apply;
use super::before_files::before_files;
use super::fetch::Fetcher;
use super::prepare::fetch_all;
use super::preview::preview;
use super::report::Failure;
use super::root::Root;
use crate::convert::{ConvertError, convert};
use crate::disks::refusals::refusals;
use crate::render::{Rendered, Rendering, embed};
use crate::spec::Config;
use crate::version::Version;
use crate::{Fetched, Parsed, Problem, canonical, diff, digest, parse, parse_with_files, plan, validate};

#[derive(Subcommand)]
pub enum Tool {
    /// Say every problem of a configuration (`-` reads standard input).
    Validate {
        file: PathBuf,
        /// Warnings make a configuration invalid as well.
        #[arg(long)]
        strict: bool,
    },
    /// Fetch and merge what the configuration names, and print the result.
    Render {
        file: PathBuf,
        /// Bring the contents of files in as well.
        #[arg(long)]
        embed: bool,
        /// Print the canonical form: one line, keys in order. Its SHA-256 names the configuration.
        #[arg(long)]
        canonical: bool,
    },
    /// Say what a configuration leads to: what would be made, changed, wiped.
    Plan {
        file: PathBuf,
        /// Compare with this root file system.
        #[arg(long)]
        root: Option<PathBuf>,
    },
    /// Carry out the files stage of a configuration in a directory.
    Apply {
        #[arg(long)]
        root: PathBuf,
        /// Leave out what only a booting machine can do (disks, kernel arguments), instead of refusing it.
        #[arg(long)]
        only_files: bool,
        file: PathBuf,
    },
    /// Say in what two configurations differ.
    Diff { old: PathBuf, new: PathBuf },
    /// Print a configuration in another version of the specification.
    Convert(Conversion),
}

#[derive(Args)]
pub struct Conversion {
    file: PathBuf,
    /// 3.0 to 3.5.
    #[arg(long, default_value = "3.5.0")]
    to: Version,
}

/// Talk for people; data is for `println!`.
fn say(text: &str) {
    eprintln!("ashlar-ignition: {text}");
}

impl Tool {
    /// # Errors
    /// What could not be read, fetched or done.
    pub async fn run(self, as_json: bool) -> anyhow::Result<ExitCode> {
        match self {
            Tool::Validate { file, strict } => check(&file, strict, as_json),
            Tool::Render { file, embed, canonical } => print_rendered(&file, embed, canonical).await,
            Tool::Plan { file, root } => print_plan(&file, root.as_deref(), as_json).await,
            Tool::Apply { root, only_files, file } => carry_out(&file, root, only_files).await,
            Tool::Diff { old, new } => print_diff(&old, &new, as_json),
            Tool::Convert(conversion) => print_converted(&conversion),
        }
    }
}

fn read(file: &Path) -> anyhow::Result<Parsed> {
    let mut bytes = Vec::new();
    let folder = if file == Path::new("-") {
        std::io::stdin().read_to_end(&mut bytes).context("reading standard input")?;
        Path::new(".")
    } else {
        bytes = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
        file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
    };
    let has_local = bytes.windows(7).any(|window| window == b"\"local\"");
    let parsed = if has_local { parse_with_files(&bytes, folder) } else { parse(&bytes) };
    parsed.map_err(|error| {
        let remedy = error.remedy();
        anyhow!("{}: {error}\nhint: {remedy}", file.display())
    })
}

fn check(file: &Path, strict: bool, as_json: bool) -> anyhow::Result<ExitCode> {
    let (report, version) = match read(file) {
        Ok(parsed) => (parsed.report(), Some(parsed.version)),
        Err(error) if as_json => {
            println!("{}", json!({"valid": false, "error": format!("{error}")}));
            return Ok(ExitCode::from(1));
        }
        Err(error) => {
            eprintln!("error: {error}");
            return Ok(ExitCode::from(1));
        }
    };
    let valid = report.errors.is_empty() && (!strict || report.warnings.is_empty());
    if as_json {
        let text =
            json!({"valid": valid, "version": version, "errors": report.errors, "warnings": report.warnings});
        println!("{}", serde_json::to_string_pretty(&text)?);
    } else {
        report.errors.iter().for_each(|problem| println!("error: {problem}"));
        report.warnings.iter().for_each(|problem| println!("warning: {problem}"));
        let (errors, warnings) = (report.errors.len(), report.warnings.len());
        eprintln!("{}: {errors} errors, {warnings} warnings", if valid { "valid" } else { "invalid" });
    }
    Ok(ExitCode::from(u8::from(!valid)))
}

/// The valid configuration in a file.
fn valid(file: &Path) -> anyhow::Result<Config> {
    let parsed = read(file)?;
    let report = parsed.report();
    report.warnings.iter().for_each(|problem| say(&format!("warning: {problem}")));
    accept(report.errors)?;
    Ok(parsed.config)
}

async fn rendered(file: &Path, fetcher: &Fetcher) -> anyhow::Result<Rendered> {
    let rendered = fetch_all(&valid(file)?, fetcher).await?;
    accept(validate(&rendered.config))?;
    Ok(rendered)
}

fn accept(problems: Vec<Problem>) -> anyhow::Result<()> {
    if problems.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = problems.iter().map(|problem| format!("\n  {problem}")).collect();
    Err(anyhow!("the configuration has {} problems:{}", problems.len(), lines.concat()))
}

async fn print_rendered(file: &Path, whole: bool, in_canonical_form: bool) -> anyhow::Result<ExitCode> {
    let fetcher = Fetcher::plain(Path::new("/"), say);
    let mut result = rendered(file, &fetcher).await?;
    if whole {
        result = embedded(&result, &fetcher).await?;
    }
    if in_canonical_form {
        println!("{}", canonical(&result.config));
        say(&format!("sha256 {}", digest(&result.config)));
    } else {
        let value: Value = serde_json::from_str(&canonical(&result.config))?;
        println!("{}", serde_json::to_string_pretty(&value)?);
    }
    Ok(ExitCode::SUCCESS)
}

/// With the contents of its files in it.
async fn embedded(result: &Rendered, fetcher: &Fetcher) -> anyhow::Result<Rendered> {
    let mut fetched = Fetched::new();
    loop {
        match embed(result, &fetched)? {
            Rendering::Done(embedded) => return Ok(*embedded),
            Rendering::Fetch(request) => {
                let bytes = fetcher.fetch(&request).await?;
                fetched.insert(request, bytes);
            }
        }
    }
}

async fn print_plan(file: &Path, root: Option<&Path>, as_json: bool) -> anyhow::Result<ExitCode> {
    let fetcher = Fetcher::plain(Path::new("/"), say);
    let rendered = rendered(file, &fetcher).await?;
    let actions = plan(&rendered.config, &rendered.settings)
        .or_else(|problems| accept(problems).map(|()| Vec::new()))?;
    let before = before_files(&rendered.config);
    let refused = refusals(&rendered.config);
    let root = root.map(Root::new);
    let standings: Vec<_> =
        actions.iter().map(|action| root.as_ref().map(|root| preview(action, root))).collect();
    if as_json {
        let stages =
            before.iter().map(|(stage, text, wipes)| json!({"stage": stage, "action": text, "wipes": wipes}));
        let files = actions
            .iter()
            .zip(&standings)
            .map(|(action, standing)| json!({"stage": "files", "action": action.to_string(), "standing": standing}));
        let refused = refused
            .iter()
            .map(|problem| json!({"stage": "plan", "action": problem.to_string(), "refused": true}));
        println!(
            "{}",
            serde_json::to_string_pretty(&refused.chain(stages).chain(files).collect::<Vec<_>>())?
        );
    } else {
        refused.iter().for_each(|problem| println!("! plan: {problem}"));
        for (stage, text, wipes) in &before {
            println!("{} {stage}: {text}", if *wipes { '!' } else { '?' });
        }
        for (action, standing) in actions.iter().zip(&standings) {
            println!("{} {action}", standing.map_or('+', super::preview::Standing::sign));
        }
        if root.is_some() {
            say("+ is made, = is there, ~ is changed, ! stops the run or wipes, ? shows when it is done");
        }
    }
    let blocked = !refused.is_empty() || standings.contains(&Some(super::preview::Standing::Blocked));
    Ok(ExitCode::from(u8::from(blocked)))
}

async fn carry_out(file: &Path, root: PathBuf, only_files: bool) -> anyhow::Result<ExitCode> {
    let fetcher = Fetcher::plain(Path::new("/"), say);
    let rendered = rendered(file, &fetcher).await?;
    let others = before_files(&rendered.config);
    if !others.is_empty() && !only_files {
        let lines: Vec<String> =
            others.iter().map(|(stage, text, _)| format!("\n  {stage}: {text}")).collect();
        return Err(anyhow!(
            "only a booting machine can do this (--only-files leaves it out):{}",
            lines.concat()
        ));
    }
    let actions = plan(&rendered.config, &rendered.settings)
        .or_else(|problems| accept(problems).map(|()| Vec::new()))?;
    let applied = apply(&actions, &Root::new(root), &fetcher).await;
    let warnings =
        applied.map_err(|(entry, error)| anyhow!(Failure::new("apply", entry, &error, error.remedy())))?;
    warnings.iter().for_each(|warning| say(&format!("warning: {warning}")));
    Ok(ExitCode::SUCCESS)
}

fn print_diff(old: &Path, new: &Path, as_json: bool) -> anyhow::Result<ExitCode> {
    let found = diff(&read(old)?.config, &read(new)?.config);
    if as_json {
        println!("{}", serde_json::to_string_pretty(&found)?);
    } else {
        found.iter().for_each(|difference| println!("{difference}"));
    }
    Ok(ExitCode::from(u8::from(!found.is_empty())))
}

fn print_converted(conversion: &Conversion) -> anyhow::Result<ExitCode> {
    match convert(&valid(&conversion.file)?, conversion.to) {
        Ok(value) => println!("{}", serde_json::to_string_pretty(&value)?),
        Err(ConvertError::TooNew { version, problems }) => {
            accept(problems).with_context(|| format!("converting to spec {version}"))?;
        }
        Err(error) => return Err(error.into()),
    }
    Ok(ExitCode::SUCCESS)
}
