//! What a person in front of the machine sees: who it is, where it is, what it does, what failed and what to do.
//! Kept in a file that the console program draws on every screen; in a container, printed at each change.

use std::fs::OpenOptions;
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use ashlar_model::console::{Failed, STATUS_FILE, Status};

use crate::durable;
use crate::failure::Failure;

/// A container has no screens: there, lines are printed.
const CONTAINER: &str = "/run/systemd/container";

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Shown {
    status: Status,
    addresses: Vec<IpAddr>,
}

#[derive(Debug, Default)]
pub struct Console {
    shown: Mutex<Shown>,
}

impl Console {
    /// `role`: what kind of machine this is now.
    pub fn new(host: &str, cluster: &str, role: &str) -> Self {
        let status = Status {
            host: host.to_owned(),
            cluster: cluster.to_owned(),
            role: role.to_owned(),
            ..Status::default()
        };
        Self { shown: Mutex::new(Shown { status, addresses: Vec::new() }) }
    }

    /// What the machine does or waits for now.
    pub fn doing(&self, what: impl Into<String>) {
        self.works(what, None);
    }

    /// The same, with bytes done and bytes in all.
    pub fn works(&self, what: impl Into<String>, progress: Option<(u64, u64)>) {
        let what = what.into();
        self.change(|shown| {
            shown.status.doing = what;
            shown.status.progress = progress;
        });
    }

    pub fn release(&self, version: String) {
        self.change(|shown| shown.status.release = version);
    }

    pub fn addresses(&self, addresses: Vec<IpAddr>) {
        self.change(|shown| shown.addresses = addresses);
    }

    /// Stays on the screen until the next success.
    pub fn failed(&self, failure: Failure) {
        let Failure { phase, cause, hint } = failure;
        let failed = Failed { what: phase.to_owned(), cause, remedy: hint };
        self.change(|shown| shown.status.failed = Some(failed));
    }

    pub fn works_again(&self) {
        self.change(|shown| shown.status.failed = None);
    }

    fn change(&self, change: impl FnOnce(&mut Shown)) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let before = shown.clone();
        change(&mut shown);
        if *shown == before {
            return;
        }
        let text = serde_json::to_vec(&shown.status).unwrap_or_default();
        let path = Path::new(STATUS_FILE);
        let folder = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        if let Err(error) =
            folder.map_err(anyhow::Error::from).and_then(|()| Ok(durable::write(path, &text, 0o600)?))
        {
            tracing::debug!(%error, "the screens do not get the status");
        }
        let news = Shown { status: Status { progress: None, ..before.status }, ..before };
        let line = Shown { status: Status { progress: None, ..shown.status.clone() }, ..shown.clone() };
        if news != line && Path::new(CONTAINER).exists() {
            print(&render(&shown, &clock()));
        }
    }
}

fn render(shown: &Shown, clock: &str) -> String {
    let Shown { status, addresses } = shown;
    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let addresses = if addresses.is_empty() { "no address yet".to_owned() } else { addresses.join(", ") };
    let mut text = format!(
        "\r\n[{clock} UTC] Ashlar: {} of cluster {} ({addresses})\r\n  now:    {}\r\n",
        status.host, status.cluster, status.doing
    );
    if let Some(failed) = &status.failed {
        text += &format!("  failed: {}: {}\r\n", failed.what, failed.cause);
        if let Some(remedy) = &failed.remedy {
            text += &format!("  hint:   {remedy}\r\n");
        }
    }
    text
}

/// The time of the day; it is also the "since" of what the line says.
fn clock() -> String {
    let seconds =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let day = seconds % 86_400;
    format!("{:02}:{:02}:{:02}", day / 3600, day / 60 % 60, day % 60)
}

/// A console that nobody reads must not stop us: open without waiting, and what does not fit is dropped.
fn print(text: &str) {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let console = OpenOptions::new().write(true).custom_flags(flags).open("/dev/console");
    if let Err(error) = console.and_then(|mut console| console.write_all(text.as_bytes())) {
        tracing::debug!(%error, "the console does not take the status");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_screen_says_who_where_what_and_what_to_do() {
        let console = Console::new("master-1", "lab", "live system");
        let mut shown = console.shown.lock().expect("not poisoned");
        shown.addresses = vec!["192.0.2.21".parse().expect("an address")];
        shown.status.doing = "waiting for the engine".into();
        let remedy = Some("unmount it".into());
        shown.status.failed = Some(Failed { what: "check".into(), cause: "/dev/vda is busy".into(), remedy });
        let text = render(&shown, "10:00:00").replace("\r\n", "\n");
        assert_eq!(
            text,
            "\n[10:00:00 UTC] Ashlar: master-1 of cluster lab (192.0.2.21)\n  now:    waiting for the engine\n  \
             failed: check: /dev/vda is busy\n  hint:   unmount it\n"
        );
    }
}
