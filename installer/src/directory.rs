//! The install directory: `install-config.yaml`, `agent-config.yaml` and `machine-configs/` in, `auth/` and `.ashlar/`
//! out.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ashlar_model::bootstrap_api::Cluster;
use ashlar_model::config::{self, AgentConfig, Host, InstallConfig, Problem};
use ashlar_model::machine_config::MachineConfig;

use crate::failure::{Fails, Failure};
use crate::machine_configs;

pub const INSTALL_CONFIG: &str = "install-config.yaml";
pub const AGENT_CONFIG: &str = "agent-config.yaml";

#[derive(Debug, Clone)]
pub struct InstallDirectory {
    path: PathBuf,
}

/// All files, valid by themselves and against each other.
#[derive(Debug, Clone)]
pub struct Configuration {
    pub install: InstallConfig,
    pub agent: AgentConfig,
    pub machine_configs: Vec<MachineConfig>,
}

/// A problem, and the file and the object in it that have it.
#[derive(Debug, serde::Serialize)]
pub struct FileProblem {
    pub file: String,
    /// The object's name, where a file holds several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    #[serde(flatten)]
    pub problem: Problem,
}

impl InstallDirectory {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn journal_folder(&self) -> PathBuf {
        self.path.join(".ashlar")
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.auth().join("kubeconfig")
    }

    pub fn auth(&self) -> PathBuf {
        self.path.join("auth")
    }

    /// Where a running engine leaves its latest state for `ashlar status`.
    pub fn status_file(&self) -> PathBuf {
        self.journal_folder().join("status.json")
    }

    /// All configuration files, or every problem of all of them.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn read(&self) -> Result<Result<Configuration, Vec<FileProblem>>, Failure> {
        let install = config::parse(&self.text(INSTALL_CONFIG)?);
        let agent = match self.path.join(AGENT_CONFIG).exists() {
            true => config::agent_config::parse(&self.text(AGENT_CONFIG)?),
            false => Ok(AgentConfig::default()),
        };
        let mut problems = Vec::new();
        let mut of = |file: &str, found: &[Problem]| {
            let problem = |problem: &Problem| FileProblem {
                file: file.to_owned(),
                object: None,
                problem: problem.clone(),
            };
            problems.extend(found.iter().map(problem));
        };
        of(INSTALL_CONFIG, install.as_ref().err().map(Vec::as_slice).unwrap_or_default());
        of(AGENT_CONFIG, agent.as_ref().err().map(Vec::as_slice).unwrap_or_default());
        if let (Ok(install), Ok(agent)) = (&install, &agent) {
            of(AGENT_CONFIG, &config::agent_config::conflicts(agent, install));
        }
        let machine_configs = machine_configs::read(&self.path, &mut problems)?;
        let (Ok(install), Ok(agent), true) = (install, agent, problems.is_empty()) else {
            return Ok(Err(problems));
        };
        let configuration = Configuration { install, agent, machine_configs };
        let together = machine_configs::together(&configuration);
        Ok(if together.is_empty() { Ok(configuration) } else { Err(together) })
    }

    /// As `read`; problems become one failure that lists them.
    ///
    /// # Errors
    /// A file cannot be read or has problems.
    pub fn configuration(&self) -> Result<Configuration, Failure> {
        self.read()?.map_err(|problems| {
            let lines: String = problems.iter().map(|item| format!("\n  {item}")).collect();
            Failure::user(format!(
                "the configuration in {} has {} problems:{lines}",
                self.path.display(),
                problems.len()
            ))
            .hint("change the files, then `ashlar validate`; `ashlar explain FIELD` describes a field")
        })
    }

    fn text(&self, name: &str) -> Result<String, Failure> {
        let path = self.path.join(name);
        fs::read_to_string(&path).map_err(|error| {
            Failure::user(format!("reading {}", path.display()))
                .because(error)
                .hint(format!("--dir names the folder that holds {INSTALL_CONFIG}"))
        })
    }
}

impl std::fmt::Display for FileProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.object {
            Some(object) => write!(f, "{}: {object}: {}", self.file, self.problem),
            None => write!(f, "{}: {}", self.file, self.problem),
        }
    }
}

impl Configuration {
    /// The server that only holds the bootstrap.
    ///
    /// # Errors
    /// None is named.
    pub fn bootstrap(&self) -> Result<&Host, Failure> {
        self.agent.bootstrap.as_ref().ok_or_else(|| {
            Failure::user("no bootstrap machine is named").hint(format!(
                "add `bootstrap:` with its BMC to {AGENT_CONFIG}; `ashlar explain bootstrap` describes it"
            ))
        })
    }

    /// The facts that every part of the cluster shares.
    pub fn cluster(&self, kubernetes_version: &str) -> Cluster {
        let install = &self.install;
        Cluster {
            name: install.name.clone(),
            base_domain: install.base_domain.clone(),
            kubernetes_version: kubernetes_version.to_owned(),
            machine_network: install.machine_network,
            cluster_network: install.cluster_network.cidr,
            host_prefix: install.cluster_network.host_prefix,
            service_network: install.service_network,
            api_vip: install.api_vip,
            ingress_vip: install.ingress_vip,
            ssh_key: install.ssh_key.clone(),
            ntp_servers: install.additional_ntp_servers.clone(),
            additional_trust_bundle: install.additional_trust_bundle.clone(),
            masters: install.masters().count(),
        }
    }

    /// Masters, workers and the bootstrap.
    pub fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.agent.bootstrap.iter().chain(&self.install.hosts)
    }
}

/// Writes a file that only its owner may read, whole or not at all.
///
/// # Errors
/// The file or its folder cannot be written.
pub fn write_private(path: &Path, contents: &[u8]) -> Result<(), Failure> {
    let doing = || format!("writing {}", path.display());
    if let Some(parent) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(parent).failing(doing)?;
    }
    let new = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&new).failing(doing)?;
    file.write_all(contents).failing(doing)?;
    file.sync_all().failing(doing)?;
    fs::rename(&new, path).failing(doing)
}
