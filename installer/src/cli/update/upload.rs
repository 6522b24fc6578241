//! Brings a release's files to a master: those that it has not, each checked there against its SHA-256. The other
//! masters fetch them from there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ashlar_controllers::config_server::PORT;
use ashlar_image::{release as directory, repository, stage};
use ashlar_model::keys::KeyPair;
use ashlar_model::release::File;
use ashlar_model::update::{Index, RELEASE_PATH};
use futures::{StreamExt, TryStreamExt};
use reqwest::{Client, Response};

use crate::failure::{Fails, Failure};

const AT_ONCE: usize = 4;
/// Of one file, over a slow line.
const TIMEOUT: Duration = Duration::from_secs(600);
const SMALL: Duration = Duration::from_secs(60);

/// What nodes need of a release: its manifest and its repository.
///
/// # Errors
/// A file cannot be read.
pub fn index(release: &Path) -> Result<Index, Failure> {
    let mut paths = vec![PathBuf::from(directory::MANIFEST), PathBuf::from(directory::SIGNATURE)];
    below(release, Path::new(repository::DIRECTORY), &mut paths)?;
    let mut files = BTreeMap::new();
    for path in paths {
        let (sha256, bytes) =
            stage::hash_file(&release.join(&path)).failing(|| format!("reading {}", path.display()))?;
        files.insert(path.to_string_lossy().into_owned(), File { sha256, bytes });
    }
    Ok(Index { files })
}

fn below(release: &Path, folder: &Path, paths: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let place = release.join(folder);
    for entry in std::fs::read_dir(&place).failing(|| format!("reading {}", place.display()))? {
        let entry = entry.failing(|| format!("reading {}", place.display()))?;
        let path = folder.join(entry.file_name());
        let kind = entry.file_type().failing(|| format!("reading {}", path.display()))?;
        if kind.is_dir() {
            below(release, &path, paths)?;
        } else if kind.is_file() {
            paths.push(path);
        }
    }
    Ok(())
}

/// Who brings it, and what.
pub struct Upload<'a> {
    pub release: &'a Path,
    pub commit: &'a str,
    pub index: &'a Index,
    /// Whom the masters' servers are signed by, PEM.
    pub authority: &'a str,
    pub identity: &'a KeyPair,
}

impl Upload<'_> {
    /// Brings the release to the first of these masters that takes it; `told` hears bytes of bytes.
    ///
    /// # Errors
    /// None takes it.
    pub async fn run(
        &self,
        masters: &[(String, String)],
        told: &dyn Fn(u64, u64),
    ) -> Result<String, Failure> {
        let client = ashlar_pki::tls::http_client(self.authority, Some(self.identity), TIMEOUT);
        let client = client.failing(|| "preparing TLS".into())?;
        let mut failures = Vec::new();
        for (name, address) in masters {
            let base = format!("https://{address}:{PORT}{RELEASE_PATH}/{}", self.commit);
            match self.bring(&client, &base, told).await {
                Ok(()) => return Ok(name.clone()),
                Err(failure) => failures.push(failure),
            }
        }
        Err(Failure::several(failures).hint(
            "this computer must reach a master on port 22623; `ashlar update start` goes on where it stopped",
        ))
    }

    async fn bring(&self, client: &Client, base: &str, told: &dyn Fn(u64, u64)) -> Result<(), Failure> {
        let missing = self.tell(client, base).await?;
        let mut wanted = BTreeMap::new();
        for (path, file) in self.index.files.iter().filter(|(_, file)| missing.contains(&file.sha256)) {
            wanted.insert(file.sha256.clone(), (path.clone(), file.bytes));
        }
        let all: u64 = wanted.values().map(|(_, bytes)| bytes).sum();
        let brought = std::cell::Cell::new(0);
        let brought = &brought;
        let sends = wanted.into_iter().map(|(sha256, (path, bytes))| async move {
            let body = tokio::fs::read(self.release.join(&path)).await;
            let body = body.failing(|| format!("reading {path}"))?;
            let url = format!("{base}/blob/{sha256}");
            taken(client.put(&url).body(body).send().await, &url).await?;
            brought.set(brought.get() + bytes);
            told(brought.get(), all);
            Ok::<(), Failure>(())
        });
        futures::stream::iter(sends).buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await?;
        let missing = self.tell(client, base).await?;
        if missing.is_empty() {
            return Ok(());
        }
        Err(Failure::environment(format!(
            "{} files are still missing at {base} after all were sent",
            missing.len()
        )))
    }

    /// Says what the release has; hears what is missing.
    async fn tell(&self, client: &Client, base: &str) -> Result<BTreeSet<String>, Failure> {
        let url = format!("{base}/index");
        let answer = taken(client.put(&url).json(self.index).timeout(SMALL).send().await, &url).await?;
        answer.json().await.failing(|| format!("understanding {url}"))
    }
}

async fn taken(answer: reqwest::Result<Response>, url: &str) -> Result<Response, Failure> {
    let answer = answer.failing(|| format!("sending {url}"))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let why = answer.text().await.unwrap_or_default();
    Err(Failure::environment(format!("{url} answers {status}: {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_brought_the_manifest_and_the_repository_and_no_medium() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::create_dir_all(dir.path().join("ostree/objects/aa")).expect("folders");
        for name in
            ["release.json", "release.json.minisig", "ashlar.iso", "ostree/config", "ostree/objects/aa/b"]
        {
            std::fs::write(dir.path().join(name), name).expect("written");
        }
        let index = index(dir.path()).expect("an index");
        let names: Vec<&str> = index.files.keys().map(String::as_str).collect();
        assert_eq!(names, ["ostree/config", "ostree/objects/aa/b", "release.json", "release.json.minisig"]);
        assert_eq!(index.files["ostree/config"].bytes, 13);
    }
}
