//! Says what happens: to the consoles through the status file, and as lines to the journal.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use ashlar_model::agent_api::HostView;
use ashlar_model::console::{Failed, Status};
use ashlar_model::release::FetchList;

pub struct Report {
    path: PathBuf,
    state: Mutex<(Status, u64)>,
}

impl Report {
    pub fn new(path: &Path, view: &HostView, list: &FetchList) -> Self {
        let status = Status {
            host: view.host.clone(),
            cluster: view.cluster.clone(),
            role: "live system".into(),
            release: list.version.clone(),
            doing: "starting to fetch the system".into(),
            ..Status::default()
        };
        let report = Self { path: path.to_owned(), state: Mutex::new((status, 0)) };
        report.change(|_| {});
        report
    }

    pub fn fetching(&self, url: &str, done: u64, all: u64) {
        let tenth = done * 10 / all.max(1);
        let said = self.change(|(status, said)| {
            status.doing = format!("fetching the system from {url}");
            status.progress = Some((done, all));
            status.failed = None;
            std::mem::replace(said, tenth)
        });
        if tenth != said || done == 0 {
            println!("fetched {} of {} MiB from {url}", done >> 20, all >> 20);
        }
    }

    pub fn failed(&self, failed: &Failed) {
        let new = self.change(|(status, _)| status.failed.replace(failed.clone()).as_ref() != Some(failed));
        if new {
            println!("{}: {}", failed.what, failed.cause);
            if let Some(remedy) = &failed.remedy {
                println!("hint: {remedy}");
            }
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut (Status, u64)) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let changed = change(&mut state);
        if let Err(error) = write(&self.path, &state.0) {
            eprintln!("{} cannot be written: {error}", self.path.display());
        }
        changed
    }
}

/// In one step: consoles read it at any time.
fn write(path: &Path, status: &Status) -> std::io::Result<()> {
    fs::create_dir_all(path.parent().unwrap_or(path))?;
    let new = path.with_extension("new");
    fs::write(&new, serde_json::to_vec(status)?)?;
    fs::rename(new, path)
}
