//! What a person in front of the machine sees: who it is, where it is, what it does, what failed and what to do.
//! Printed to the console at each change, never more often.

use std::fs::OpenOptions;
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Mutex, PoisonError};

use crate::failure::Failure;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Status {
    who: String,
    addresses: Vec<IpAddr>,
    doing: String,
    failed: Option<Failure>,
}

#[derive(Debug, Default)]
pub struct Console {
    status: Mutex<Status>,
}

impl Console {
    pub fn new(host: &str, cluster: &str) -> Self {
        let who = format!("{host} of cluster {cluster}");
        Self { status: Mutex::new(Status { who, ..Status::default() }) }
    }

    /// What the machine does or waits for now.
    pub fn doing(&self, what: impl Into<String>) {
        let what = what.into();
        self.change(|status| status.doing = what);
    }

    pub fn addresses(&self, addresses: Vec<IpAddr>) {
        self.change(|status| status.addresses = addresses);
    }

    /// Stays on the screen until the next success.
    pub fn failed(&self, failure: Failure) {
        self.change(|status| status.failed = Some(failure));
    }

    pub fn works_again(&self) {
        self.change(|status| status.failed = None);
    }

    fn change(&self, change: impl FnOnce(&mut Status)) {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        let before = status.clone();
        change(&mut status);
        if *status != before {
            print(&render(&status, &clock()));
        }
    }
}

fn render(status: &Status, clock: &str) -> String {
    let addresses: Vec<String> = status.addresses.iter().map(ToString::to_string).collect();
    let addresses = if addresses.is_empty() { "no address yet".to_owned() } else { addresses.join(", ") };
    let mut text =
        format!("\r\n[{clock} UTC] Ashlar: {} ({addresses})\r\n  now:    {}\r\n", status.who, status.doing);
    if let Some(failure) = &status.failed {
        text += &format!("  failed: {}: {}\r\n", failure.phase, failure.cause);
        if let Some(hint) = &failure.hint {
            text += &format!("  hint:   {hint}\r\n");
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
        let status = Status {
            who: "master-1 of cluster lab".into(),
            addresses: vec!["192.0.2.21".parse().expect("an address")],
            doing: "waiting for the engine".into(),
            failed: Some(Failure::new("check", "/dev/vda is busy").hint("unmount it")),
        };
        let text = render(&status, "10:00:00").replace("\r\n", "\n");
        assert_eq!(
            text,
            "\n[10:00:00 UTC] Ashlar: master-1 of cluster lab (192.0.2.21)\n  now:    waiting for the engine\n  \
             failed: check: /dev/vda is busy\n  hint:   unmount it\n"
        );
    }
}
