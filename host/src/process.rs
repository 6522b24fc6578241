//! Processes that outlive the one who started them: found again by a pid file that cannot mean another process.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

const POLL: Duration = Duration::from_millis(20);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("process {pid} does not run")]
    Gone { pid: u32 },
    #[error("writing the pid file {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("reading the pid file {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("sending signal {signal} to process {pid}")]
    Signal { pid: u32, signal: i32, source: io::Error },
    #[error("process {pid} still runs {deadline:?} after it was killed")]
    Survived { pid: u32, deadline: Duration },
}

/// A process by number and start time, so that a reused number is not taken for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    pub pid: u32,
    started: u64,
}

impl Process {
    /// A process that runs now.
    ///
    /// # Errors
    /// It does not.
    pub fn of(pid: u32) -> Result<Self, Error> {
        let started = start_time(pid).ok_or(Error::Gone { pid })?;
        Ok(Self { pid, started })
    }

    #[must_use]
    pub fn runs(&self) -> bool {
        start_time(self.pid) == Some(self.started)
    }

    /// Remembers the process in a file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        std::fs::write(path, format!("{} {}\n", self.pid, self.started))
            .map_err(|source| Error::Write { path: path.to_owned(), source })
    }

    /// The process that a file remembers, if it still runs.
    ///
    /// # Errors
    /// The file exists and cannot be read.
    pub fn read(path: &Path) -> Result<Option<Self>, Error> {
        let text = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text.map_err(|source| Error::Read { path: path.to_owned(), source })?,
        };
        Ok(parse(&text).filter(Self::runs))
    }

    /// Sends a signal by number (real-time signals have no name that every library knows).
    ///
    /// # Errors
    /// The kernel refuses. A process that is gone is not an error.
    pub fn signal(&self, signal: i32) -> Result<(), Error> {
        if !self.runs() {
            return Ok(());
        }
        let pid = i32::try_from(self.pid).expect("the kernel's pids fit");
        // SAFETY: kill takes two integers and touches no memory.
        if unsafe { libc::kill(pid, signal) } == 0 {
            return Ok(());
        }
        let source = io::Error::last_os_error();
        if source.raw_os_error() == Some(libc::ESRCH) {
            return Ok(());
        }
        Err(Error::Signal { pid: self.pid, signal, source })
    }

    /// SIGTERM, and SIGKILL when the process is still there after `grace`; returns when it is gone.
    ///
    /// # Errors
    /// It cannot be signalled, or survives even SIGKILL for ten seconds.
    pub async fn stop(&self, grace: Duration) -> Result<(), Error> {
        self.signal(libc::SIGTERM)?;
        if self.gone_within(grace).await {
            return Ok(());
        }
        self.signal(libc::SIGKILL)?;
        let deadline = Duration::from_secs(10);
        if self.gone_within(deadline).await {
            Ok(())
        } else {
            Err(Error::Survived { pid: self.pid, deadline })
        }
    }

    /// Whether the process ends (or is a zombie that only its parent can remove) before the time is over.
    pub async fn gone_within(&self, time: Duration) -> bool {
        let end = Instant::now() + time;
        while self.runs() {
            if Instant::now() >= end {
                return false;
            }
            tokio::time::sleep(POLL).await;
        }
        true
    }

    /// Direct children that run now.
    #[must_use]
    pub fn children(&self) -> Vec<Self> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid)).into_iter().flatten().flatten();
        let lists = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
        let pids: Vec<u32> = lists
            .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
            .collect();
        pids.into_iter().filter_map(|pid| Self::of(pid).ok()).collect()
    }
}

/// Kills at once; for a process that is known by number only.
///
/// # Errors
/// The kernel refuses.
pub fn kill(pid: u32) -> Result<(), Error> {
    let number = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(Error::Gone { pid })?;
    rustix::process::kill_process(number, Signal::KILL).map_err(|error| Error::Signal {
        pid,
        signal: libc::SIGKILL,
        source: error.into(),
    })
}

fn parse(text: &str) -> Option<Process> {
    let (pid, started) = text.trim().split_once(' ')?;
    Some(Process { pid: pid.parse().ok()?, started: started.parse().ok()? })
}

/// Field 22 of `/proc/PID/stat`, in clock ticks after boot; none for a process that is gone or a zombie.
fn start_time(pid: u32) -> Option<u64> {
    parse_stat(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_stat(stat: &str) -> Option<u64> {
    // The name in parentheses may itself hold blanks and parentheses.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reused_number_is_another_process() {
        let me = Process::of(std::process::id()).expect("I run");
        assert!(me.runs());
        assert!(!Process { started: me.started + 1, ..me }.runs());
    }

    #[test]
    fn a_name_with_blanks_does_not_shift_the_fields() {
        let tail = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        assert_eq!(parse_stat(&format!("9 (a b) c) {tail}")), Some(4711));
        assert_eq!(parse_stat(&format!("9 (x) {}", tail.replace('S', "Z"))), None);
    }

    #[tokio::test]
    async fn a_stubborn_process_is_killed() {
        let mut child = crate::cmd::Cmd::new("sh")
            .args(["-c", "trap '' TERM; echo ready; while :; do sleep 1; done"])
            .spawn_into(std::process::Stdio::piped(), std::process::Stdio::null())
            .expect("sh starts");
        let mut ready = [0];
        tokio::io::AsyncReadExt::read_exact(child.stdout.as_mut().expect("a pipe"), &mut ready)
            .await
            .expect("it said so");
        let process = Process::of(child.id().expect("it runs")).expect("it runs");
        process.stop(Duration::from_millis(50)).await.expect("it is gone");
        assert!(!child.wait().await.expect("waited").success());
    }
}
