//! apt with a state of its own: it knows this computer's mirrors and settings, and nothing of what is installed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ashlar_host::cmd::{self, Cmd};

pub const SUITE: &str = "trixie";
pub const ARCHITECTURE: &str = "amd64";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Fetches one file and checks its hash.
const HELPER: &str = "/usr/lib/apt/apt-helper";
/// What every Debian system has besides what is asked for.
const ALWAYS: &[&str] = &["?essential", "?priority(required)", "apt"];

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("asking apt for this computer's mirrors")]
    Mirrors(#[source] cmd::Error),
    #[error("apt knows no Debian mirror; run `apt-get update` first")]
    NoMirror,
    #[error("preparing {} for apt", path.display())]
    Prepare { path: PathBuf, source: io::Error },
    #[error("fetching the lists of Debian packages")]
    Update(#[source] cmd::Error),
    #[error("finding the packages that the system needs")]
    Resolve(#[source] cmd::Error),
    #[error("fetching Debian packages")]
    Download(#[source] cmd::Error),
}

/// Name, as apt labels it, and address of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    pub label: String,
    pub address: String,
}

/// A file that apt would fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    pub url: String,
    pub file: String,
}

pub struct Apt {
    dir: PathBuf,
    pub mirrors: Vec<Mirror>,
}

impl Apt {
    /// # Errors
    /// apt knows no mirror of Debian, or `dir` cannot be written to.
    pub async fn new(dir: &Path) -> Result<Self, Error> {
        let targets = Cmd::new("apt-get")
            .args(["indextargets", "--format", "$(LABEL) $(REPO_URI)", "Origin: Debian"])
            .arg("Created-By: Packages")
            .run()
            .await
            .map_err(Error::Mirrors)?;
        let mirrors = mirrors(&targets.stdout);
        if !mirrors.iter().any(|mirror| mirror.label == "Debian") {
            return Err(Error::NoMirror);
        }
        let apt = Self::of(dir, mirrors);
        for folder in ["state/lists/partial", "cache/archives/partial", "empty"] {
            let path = dir.join(folder);
            fs::create_dir_all(&path).map_err(|source| Error::Prepare { path, source })?;
        }
        apt.write("status", "")?;
        apt.configure("", "")?;
        Ok(apt)
    }

    pub(super) fn of(dir: &Path, mirrors: Vec<Mirror>) -> Self {
        Self { dir: dir.to_owned(), mirrors }
    }

    /// Where apt leaves what it fetches.
    #[must_use]
    pub fn archives(&self) -> PathBuf {
        self.dir.join("cache/archives")
    }

    /// Further sources, and preferences.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn configure(&self, sources: &str, preferences: &str) -> Result<(), Error> {
        self.write("sources.list", &format!("{}{sources}", lines(&self.mirrors)))?;
        self.write("preferences", preferences)
    }

    /// # Errors
    /// A mirror cannot be reached.
    pub async fn update(&self) -> Result<(), Error> {
        self.get().args(["update", "--error-on=any"]).run().await.map(drop).map_err(Error::Update)
    }

    /// What installing `packages` on nothing would fetch.
    ///
    /// # Errors
    /// A package does not exist, or two cannot be together.
    pub async fn plan(&self, packages: &[&str]) -> Result<Vec<Planned>, Error> {
        let planned = self.install(packages).arg("--print-uris").run().await.map_err(Error::Resolve)?;
        Ok(planned.stdout.lines().filter_map(plan_line).collect())
    }

    /// # Errors
    /// As `plan`; or a file cannot be fetched or is not what Debian signed.
    pub async fn download(&self, packages: &[&str]) -> Result<(), Error> {
        self.install(packages).arg("--download-only").run().await.map(drop).map_err(Error::Download)
    }

    /// Fetches one file of an archive.
    ///
    /// # Errors
    /// It cannot be had any more, or has another hash.
    pub async fn file(&self, url: &str, sha256: &str, to: &Path) -> Result<(), cmd::Error> {
        let helper = Cmd::new(HELPER).args(["-o", "APT::Sandbox::User=root", "download-file", url]);
        helper.arg(to).arg(format!("SHA256:{sha256}")).run().await.map(drop)
    }

    fn install(&self, packages: &[&str]) -> Cmd {
        self.get().args(["install", "--yes", "--allow-downgrades"]).args(ALWAYS).args(packages)
    }

    /// The computer's own settings stay (a proxy, say).
    fn get(&self) -> Cmd {
        let path = |name: &str| self.dir.join(name).display().to_string();
        let options = [
            ("Dir::State", path("state")),
            ("Dir::State::status", path("status")),
            ("Dir::Cache", path("cache")),
            ("Dir::Etc::sourcelist", path("sources.list")),
            ("Dir::Etc::sourceparts", path("empty")),
            ("Dir::Etc::preferences", path("preferences")),
            ("Dir::Etc::preferencesparts", path("empty")),
            ("APT::Architecture", ARCHITECTURE.into()),
            ("APT::Architectures", ARCHITECTURE.into()),
            ("APT::Default-Release", String::new()),
            ("APT::Install-Recommends", "false".into()),
            ("APT::Sandbox::User", "root".into()),
            ("Acquire::Languages", "none".into()),
        ];
        let options = options.into_iter().flat_map(|(name, value)| ["-o".into(), format!("{name}={value}")]);
        Cmd::new("apt-get").args(options).env("LC_ALL", "C").timeout(Duration::from_secs(1800))
    }

    fn write(&self, name: &str, text: &str) -> Result<(), Error> {
        let path = self.dir.join(name);
        fs::write(&path, text).map_err(|source| Error::Prepare { path, source })
    }
}

fn mirrors(targets: &str) -> Vec<Mirror> {
    let mut mirrors: Vec<Mirror> = Vec::new();
    for (label, address) in targets.lines().filter_map(|line| line.trim().rsplit_once(' ')) {
        if !mirrors.iter().any(|known| known.label == label) {
            mirrors.push(Mirror { label: label.into(), address: address.into() });
        }
    }
    mirrors
}

/// Without a mirror of security updates their suite is left out.
fn lines(mirrors: &[Mirror]) -> String {
    let mut sources = String::new();
    for Mirror { label, address } in mirrors {
        let suites: &[&str] = match label.as_str() {
            "Debian" => &["", "-updates"],
            "Debian-Security" => &["-security"],
            _ => &[],
        };
        for suite in suites {
            sources += &format!("deb [signed-by={KEYRING}] {address} {SUITE}{suite} main\n");
        }
    }
    sources
}

/// `'URL' FILE SIZE HASH`
fn plan_line(line: &str) -> Option<Planned> {
    let (url, rest) = line.strip_prefix('\'')?.split_once("' ")?;
    let file = rest.split_whitespace().next()?;
    Some(Planned { url: url.into(), file: file.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sources_are_those_of_this_computers_mirrors() {
        let told = "Debian http://m/debian/\nDebian http://m/debian/\nDebian-Security http://s/x/\nOther http://o/\n";
        let text = lines(&mirrors(told));
        assert_eq!(text.matches(" http://m/debian/ ").count(), 2, "{text}");
        assert!(text.contains("http://s/x/ trixie-security main\n") && !text.contains("http://o/"), "{text}");
        assert!(!lines(&mirrors("Debian http://m/debian/")).contains("security"));
    }

    #[test]
    fn apts_plan_is_read() {
        let line = "'http://m/debian/pool/main/g/glibc/libc6_2.41%2bd_amd64.deb' libc6_2.41+d_amd64.deb 28 MD5Sum:55";
        let planned = plan_line(line).expect("a file");
        assert_eq!(planned.file, "libc6_2.41+d_amd64.deb");
        assert!(planned.url.ends_with("%2bd_amd64.deb"));
        assert_eq!(plan_line("Reading package lists..."), None);
    }
}
