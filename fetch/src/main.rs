//! In the initramfs of a minimal medium and of a network boot: brings the host's network settings to NetworkManager
//! and fetches the root file system, checked chunk by chunk. Needs nothing but what lies in the initramfs.

mod assembly;
mod download;
mod memory;
mod report;
mod sources;

use std::fs;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use ashlar_model::agent_api::HostView;
use ashlar_model::release::FetchList;
use clap::{Args, Parser, Subcommand};

#[derive(Parser)]
#[command(name = "ashlar-fetch", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write the host's network settings as NetworkManager connections.
    Network {
        /// The host's view.
        #[arg(long, value_name = "FILE", default_value = "/ashlar/host.json")]
        view: PathBuf,
        /// Folder for the connections.
        #[arg(long, value_name = "DIR")]
        into: PathBuf,
    },
    /// Fetch the root file system, however long it takes.
    Root(Root),
}

#[derive(Args)]
struct Root {
    /// What is to be fetched, and the hash of each chunk.
    #[arg(long, value_name = "FILE", default_value = "/ashlar/fetch.json")]
    list: PathBuf,
    /// The host's view.
    #[arg(long, value_name = "FILE", default_value = "/ashlar/host.json")]
    view: PathBuf,
    /// The file to make.
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// URL to fetch from, besides those of the kernel arguments and of the view; may be repeated.
    #[arg(long = "source", value_name = "URL")]
    sources: Vec<String>,
    /// Give up after so many attempts in a row that brought nothing; default: never.
    #[arg(long, value_name = "NUMBER")]
    attempts: Option<u32>,
    /// Refuse when the file would leave the system too little memory.
    #[arg(long)]
    check_memory: bool,
    /// Where the consoles read what happens.
    #[arg(long, value_name = "FILE", default_value = ashlar_model::console::STATUS_FILE)]
    status: PathBuf,
}

fn main() -> std::process::ExitCode {
    // Fails only when a provider is installed already, which is as good.
    drop(rustls::crypto::ring::default_provider().install_default());
    let ended = match Arguments::parse().command {
        Command::Network { view, into } => network(&view, &into),
        Command::Root(root) => root.run(),
    };
    match ended {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            std::process::ExitCode::from(2)
        }
    }
}

/// Connections hold secrets: only root reads them, and NetworkManager takes no others.
fn network(view: &Path, into: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(into).with_context(|| format!("making {}", into.display()))?;
    for (name, contents) in read_view(view)?.network_keyfiles {
        let name = Path::new(&name).file_name().with_context(|| format!("`{name}` is no file name"))?;
        let path = into.join(name);
        let file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
        let written = file.and_then(|mut file| {
            file.set_permissions(fs::Permissions::from_mode(0o600))?;
            std::io::Write::write_all(&mut file, contents.as_bytes())
        });
        written.with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

impl Root {
    #[tokio::main(flavor = "current_thread")]
    async fn run(self) -> anyhow::Result<()> {
        let text = fs::read(&self.list).with_context(|| format!("reading {}", self.list.display()))?;
        let list: FetchList = serde_json::from_slice(&text)
            .with_context(|| format!("understanding {}", self.list.display()))?;
        let view = read_view(&self.view)?;
        let report = report::Report::new(&self.status, &view, &list);
        if self.check_memory {
            memory::check(list.size).inspect_err(|error| report.failed(&error.failed()))?;
        }
        let command_line = fs::read_to_string("/proc/cmdline").unwrap_or_default();
        let typed = PathBuf::from(ashlar_model::console::SOURCE_FILE);
        let choose = || {
            let typed = fs::read_to_string(&typed).unwrap_or_default();
            sources::choose(&self.sources, &typed, &command_line, &view)
        };
        let wanted = download::Wanted { list: &list, to: &self.to, attempts: self.attempts };
        download::run(&wanted, &choose, &report).await?;
        Ok(())
    }
}

/// A view that nobody wrote is `{}`, and as good as none.
fn read_view(path: &Path) -> anyhow::Result<HostView> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        read => read.with_context(|| format!("reading {}", path.display()))?,
    };
    match text.trim_matches(['\0', ' ', '\n']) {
        "" | "{}" => Ok(HostView::default()),
        text => serde_json::from_str(text).with_context(|| format!("understanding {}", path.display())),
    }
}
