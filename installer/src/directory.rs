//! The install directory: `install-config.yaml` and `agent-config.yaml` in, `auth/` and `.ashlar/` out.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ashlar_model::config::{self, AgentConfig, Host, InstallConfig, Problem};

use crate::failure::{Fails, Failure};

pub const INSTALL_CONFIG: &str = "install-config.yaml";
pub const AGENT_CONFIG: &str = "agent-config.yaml";

#[derive(Debug, Clone)]
pub struct InstallDirectory {
    path: PathBuf,
}

/// Both files, valid by themselves and against each other.
#[derive(Debug, Clone)]
pub struct Configuration {
    pub install: InstallConfig,
    pub agent: AgentConfig,
}

/// A problem and the file that has it.
#[derive(Debug, serde::Serialize)]
pub struct FileProblem {
    pub file: &'static str,
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

    /// Both configuration files, or every problem of both.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn read(&self) -> Result<Result<Configuration, Vec<FileProblem>>, Failure> {
        let install = config::parse(&self.text(INSTALL_CONFIG)?);
        let agent = match self.path.join(AGENT_CONFIG).exists() {
            true => config::agent_config::parse(&self.text(AGENT_CONFIG)?),
            false => Ok(AgentConfig::default()),
        };
        let of = |file: &'static str| move |problem| FileProblem { file, problem };
        match (install, agent) {
            (Ok(install), Ok(agent)) => {
                let conflicts = config::agent_config::conflicts(&agent, &install);
                if conflicts.is_empty() {
                    return Ok(Ok(Configuration { install, agent }));
                }
                Ok(Err(conflicts.into_iter().map(of(AGENT_CONFIG)).collect()))
            }
            (install, agent) => {
                let install = install.err().into_iter().flatten().map(of(INSTALL_CONFIG));
                Ok(Err(install.chain(agent.err().into_iter().flatten().map(of(AGENT_CONFIG))).collect()))
            }
        }
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
        write!(f, "{}: {}", self.file, self.problem)
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
