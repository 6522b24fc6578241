//! A rack of its own for one suite, driven through the command line that people use.

use crate::process;
use anyhow::{Context, ensure};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

pub struct Rack {
    pub name: &'static str,
    ashlar: PathBuf,
    pub directory: PathBuf,
}

/// The program under test: `$ASHLAR`, else the one beside this test.
pub fn program() -> anyhow::Result<PathBuf> {
    match std::env::var_os("ASHLAR") {
        Some(path) => Ok(path.into()),
        None => Ok(std::env::current_exe()?.ancestors().nth(2).context("a target folder")?.join("ashlar")),
    }
}

impl Rack {
    /// Starts a rack with three masters and what `options` of `ashlar lab up` add; a rack of this name that an interrupted suite left is ended first.
    pub fn up(name: &'static str, options: &[&str]) -> anyhow::Result<Self> {
        let mut rack = Self { name, ashlar: program()?, directory: PathBuf::new() };
        rack.lab(&[&["up", "--fresh"], options].concat())?;
        rack.directory = rack.lab(&["config"])?.trim().into();
        Ok(rack)
    }

    /// The program under test.
    pub fn program(&self) -> &Path {
        &self.ashlar
    }

    pub fn down(&self) -> anyhow::Result<()> {
        self.lab(&["down"]).map(drop)
    }

    /// `ashlar lab <verb> --name <rack> …`
    pub fn lab(&self, arguments: &[&str]) -> anyhow::Result<String> {
        process::run(&mut self.lab_command(arguments), 3 * MINUTE)
    }

    fn lab_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.ashlar);
        command.arg("lab").arg(arguments[0]).args(["--name", self.name]).args(&arguments[1..]);
        command
    }

    /// Runs a shell's line as root on an installed server.
    pub fn ssh(&self, server: &str, line: &str) -> anyhow::Result<String> {
        self.lab(&["ssh", server, "--", "sudo", "sh", "-c", &format!("'{line}'")])
    }

    /// The same, running; what it says goes nowhere.
    pub fn start_ssh(&self, server: &str, line: &str) -> anyhow::Result<Child> {
        let mut command = self.lab_command(&["ssh", server, "--", "sudo", "sh", "-c", &format!("'{line}'")]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().context("starting ssh")
    }

    /// Runs a program in the administrator's namespace.
    pub fn exec(&self, program: &[&str]) -> anyhow::Result<String> {
        process::run(&mut self.exec_command(program), 2 * MINUTE)
    }

    /// The same, not started.
    pub fn exec_command(&self, program: &[&str]) -> Command {
        let mut arguments = vec!["exec", "--"];
        arguments.extend(program);
        self.lab_command(&arguments)
    }

    /// `ashlar <arguments> --dir <install directory>` in the administrator's namespace, to its end.
    pub fn ashlar(&self, arguments: &[&str], limit: Duration) -> anyhow::Result<Output> {
        process::output(&mut self.exec_command(&self.ashlar_arguments(arguments)?), limit)
    }

    /// The same, running; its talk goes to `log`.
    pub fn start_ashlar(&self, arguments: &[&str], log: &str) -> anyhow::Result<Child> {
        let log = std::fs::File::create(self.directory.join(log)).context("making the log")?;
        self.exec_command(&self.ashlar_arguments(arguments)?)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("starting ashlar")
    }

    fn ashlar_arguments<'a>(&'a self, arguments: &[&'a str]) -> anyhow::Result<Vec<&'a str>> {
        let mut all = vec![self.ashlar.to_str().context("a path in UTF-8")?];
        all.extend(arguments);
        all.extend(["--dir", self.directory.to_str().context("a path in UTF-8")?]);
        Ok(all)
    }

    pub fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut program = vec!["kubectl"];
        program.extend(arguments);
        self.exec(&program)
    }

    pub fn kubectl_json(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        Ok(serde_json::from_str(&self.kubectl(arguments)?)?)
    }

    /// A manifest with the name of the test image that the release has.
    pub fn with_image(&self, manifest: &str) -> anyhow::Result<String> {
        let node = self.kubectl_json(&["get", "node", "master-1", "--output=json"])?;
        let images = node["status"]["images"].as_array().context("images")?;
        let names = images.iter().flat_map(|image| image["names"].as_array().into_iter().flatten());
        let found = names.filter_map(|name| name.as_str()).find(|name| name.contains("/agnhost:"));
        Ok(manifest.replace("@IMAGE_AGNHOST@", found.context("the node has no agnhost image")?))
    }

    pub fn status(&self) -> anyhow::Result<Vec<Value>> {
        let status: Value = serde_json::from_str(&self.lab(&["status", "--output", "json"])?)?;
        status["servers"].as_array().cloned().context("a list of servers")
    }

    pub fn server(&self, name: &str) -> anyhow::Result<Value> {
        self.status()?
            .into_iter()
            .find(|server| server["name"] == name)
            .with_context(|| format!("server {name}"))
    }

    pub fn power(&self, server: &str, action: &str) -> anyhow::Result<()> {
        self.lab(&["power", server, action]).map(drop)
    }

    /// The first disk of a server, as a file; it is the server's only while that is on.
    pub fn disk(&self, server: &str) -> PathBuf {
        let rack = self.directory.parent().unwrap_or(Path::new("/"));
        rack.join("machines").join(server).join("disk0.img")
    }

    /// Every host with its state, as the installer saw it last.
    pub fn host_states(&self) -> anyhow::Result<Vec<(String, String)>> {
        let status: Value =
            serde_json::from_slice(&std::fs::read(self.directory.join(".ashlar/status.json"))?)?;
        let word = |value: &Value| value.as_str().unwrap_or("?").to_owned();
        let hosts = status["hosts"].as_array().context("hosts")?;
        Ok(hosts.iter().map(|host| (word(&host["name"]), word(&host["state"]["state"]))).collect())
    }

    /// Names of the nodes that are Ready.
    pub fn ready_nodes(&self) -> anyhow::Result<Vec<String>> {
        let nodes = self.kubectl_json(&["get", "nodes", "--output", "json", "--request-timeout=5s"])?;
        let items = nodes["items"].as_array().context("a list of nodes")?;
        let ready = items.iter().filter(|node| {
            let conditions = node["status"]["conditions"].as_array();
            conditions
                .is_some_and(|all| all.iter().any(|one| one["type"] == "Ready" && one["status"] == "True"))
        });
        Ok(ready.filter_map(|node| node["metadata"]["name"].as_str()).map(ToOwned::to_owned).collect())
    }

    /// How many nodes take no pods now: they are emptied, restart, or are not Ready.
    pub fn away(&self) -> anyhow::Result<usize> {
        let nodes = self.kubectl_json(&["get", "nodes", "--output", "json", "--request-timeout=5s"])?;
        let items = nodes["items"].as_array().context("a list of nodes")?;
        let takes_pods = |node: &&serde_json::Value| {
            let mut conditions = node["status"]["conditions"].as_array().into_iter().flatten();
            node["spec"]["unschedulable"] != true
                && conditions.any(|one| one["type"] == "Ready" && one["status"] == "True")
        };
        Ok(items.len() - items.iter().filter(takes_pods).count())
    }

    pub fn expect_ready(&self, wanted: &[&str]) -> anyhow::Result<()> {
        let mut ready = self.ready_nodes()?;
        ready.sort();
        ensure!(ready == wanted, "Ready are {ready:?}, not {wanted:?}");
        Ok(())
    }
}
