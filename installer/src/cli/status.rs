//! `ashlar status`: how far an install is, also while another process runs it.

use std::process::ExitCode;

use clap::Args;

use super::table::table;
use super::{Directory, Output, print_json};
use crate::directory::InstallDirectory;
use crate::engine::cluster::{self, NodeRow};
use crate::engine::events::now_ms;
use crate::engine::status_file::Status;
use crate::failure::Failure;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    directory: Directory,
}

#[derive(serde::Serialize)]
struct Answer {
    running: bool,
    #[serde(flatten)]
    status: Option<Status>,
    /// `None`: the API at the VIP did not answer.
    nodes: Option<Vec<NodeRow>>,
}

/// What an engine said last of this install.
pub fn last(directory: &InstallDirectory) -> Option<Status> {
    let text = std::fs::read(directory.status_file()).ok()?;
    serde_json::from_slice(&text).ok()
}

impl Arguments {
    pub async fn run(self, output: Output) -> Result<ExitCode, Failure> {
        let directory = self.directory.open();
        let status = last(&directory);
        let running = status.as_ref().is_some_and(|status| is_running(status.process));
        let answer = Answer { running, status, nodes: nodes(&directory).await };
        match output {
            Output::Json => print_json(&answer)?,
            Output::Text => print!("{}", text(&answer, &directory)),
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn is_running(process: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{process}/comm")).is_ok_and(|name| name.trim() == "ashlar")
}

async fn nodes(directory: &InstallDirectory) -> Option<Vec<NodeRow>> {
    let text = std::fs::read_to_string(directory.kubeconfig()).ok()?;
    let client = cluster::client(&text).await.ok()?;
    cluster::nodes(&client).await.ok()
}

fn text(answer: &Answer, directory: &InstallDirectory) -> String {
    let Some(status) = &answer.status else {
        return format!("nothing was installed from {} yet\n", directory.path().display());
    };
    let age = now_ms().saturating_sub(status.written_ms) / 1000;
    let run = match answer.running {
        true => format!("process {} works on it", status.process),
        false => format!("no run works on it (last word {age} s ago)"),
    };
    let rows: Vec<Vec<String>> = status
        .hosts
        .iter()
        .map(|host| {
            let address = host.address.map(|address| address.to_string()).unwrap_or_default();
            let disk = host.disk.clone().unwrap_or_default();
            vec![host.name.clone(), host.role.clone(), host.state.words().to_owned(), address, disk]
        })
        .collect();
    let mut text = format!("{}: {run}\n\n", status.cluster);
    text += &table(&["HOST", "ROLE", "STATE", "ADDRESS", "DISK"], &rows);
    if let Some(waiting) = status.bootstrap.as_ref().and_then(|bootstrap| bootstrap.waiting_for.as_ref()) {
        text += &format!("\nthe bootstrap waits for {} (since {} s)\n", waiting.0, waiting.1);
    }
    match &answer.nodes {
        Some(nodes) => text + "\n" + &node_table(nodes),
        None => text + "\nthe API at the VIP does not answer\n",
    }
}

pub fn node_table(nodes: &[NodeRow]) -> String {
    let rows: Vec<Vec<String>> = nodes
        .iter()
        .map(|node| {
            let ready = if node.ready { "Ready" } else { "NotReady" };
            vec![
                node.name.clone(),
                ready.into(),
                node.roles.clone(),
                node.address.clone(),
                node.version.clone(),
            ]
        })
        .collect();
    table(&["NODE", "STATUS", "ROLES", "ADDRESS", "VERSION"], &rows)
}
