//! `ashlar plan machine-config`: what machine configs would do to a cluster that runs.

use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use ashlar_controllers::machine_config::plan::{NoPlan, View, Wanted, plan};
use ashlar_model::machine_config;
use clap::Args;
use serde_json::Value;

use crate::cli::{Directory, Output, print_json};
use crate::engine::cluster;
use crate::failure::{Fails, Failure};

/// There is something to do; it is not 1 or 2, so that a script can tell it from a refusal and from a cluster that does
/// not answer.
const CHANGES: u8 = 4;
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Args)]
pub struct Arguments {
    /// Machine configs and pools, as kubectl would apply them; `-` is stdin.
    #[arg(short, long = "filename", value_name = "FILE", required_unless_present = "delete")]
    file: Vec<PathBuf>,
    /// Machine configs that would be deleted.
    #[arg(long, value_name = "NAME")]
    delete: Vec<String>,
    /// Default: auth/kubeconfig of the install directory.
    #[arg(long, value_name = "FILE", env = "KUBECONFIG")]
    kubeconfig: Option<PathBuf>,
    #[command(flatten)]
    directory: Directory,
}

impl Arguments {
    /// 0: nothing to do; 4: what is to be done is on stdout; 1: it is refused.
    pub async fn run(self, output: Output) -> Result<ExitCode, Failure> {
        let wanted = self.wanted()?;
        let view = self.view().await?;
        let plan = plan(&view, &wanted).map_err(failure)?;
        match output {
            Output::Text => print!("{plan}"),
            Output::Json => print_json(&plan)?,
        }
        if plan.is_refused() {
            return Err(Failure::user("nodes that run cannot have this")
                .hint("leave out what only an install can change, or install the nodes again"));
        }
        Ok(if plan.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(CHANGES) })
    }

    fn wanted(&self) -> Result<Wanted, Failure> {
        let mut apply: Vec<Value> = Vec::new();
        for path in &self.file {
            for object in machine_config::objects(&text(path)?) {
                let object =
                    object.map_err(|problem| Failure::user(format!("{}: {problem}", path.display())))?;
                let name = |object: &Value| object["metadata"]["name"].clone();
                if apply.iter().any(|other| other["kind"] == object["kind"] && name(other) == name(&object)) {
                    let what = format!("{}: {} stands there twice", path.display(), name(&object));
                    return Err(Failure::user(what).hint("give each object once"));
                }
                apply.push(object);
            }
        }
        Ok(Wanted { apply, delete: self.delete.clone() })
    }

    async fn view(&self) -> Result<View, Failure> {
        let path = self.kubeconfig.clone().unwrap_or_else(|| self.directory.open().kubeconfig());
        let text = std::fs::read_to_string(&path).map_err(|error| {
            Failure::user(format!("reading {}", path.display()))
                .because(error)
                .hint("--kubeconfig names the kubeconfig of the cluster, --dir the install directory")
        })?;
        let client = cluster::client(&text).await?;
        let view = tokio::time::timeout(PATIENCE, View::read(&client)).await;
        view.map_err(|_| Failure::timed_out("the cluster did not answer in a minute"))?
            .failing(|| "asking the cluster".into())
    }
}

fn text(path: &PathBuf) -> Result<String, Failure> {
    let mut text = String::new();
    let read = match path.to_str() {
        Some("-") => std::io::stdin().read_to_string(&mut text).map(|_| text),
        _ => std::fs::read_to_string(path),
    };
    read.map_err(|error| {
        Failure::user(format!("reading {}", path.display())).because(error).hint("it must be a file of text")
    })
}

fn failure(error: NoPlan) -> Failure {
    let hint = match &error {
        NoPlan::Invalid(_) => "correct the machine configs; nothing was applied",
        NoPlan::NotThere(_) => "`kubectl get machineconfigs` lists those that are there",
        NoPlan::OtherRelease { .. } => {
            "take the program of the cluster's release; if something was applied this moment, ask again"
        }
    };
    Failure::user(error.to_string()).hint(hint)
}
