//! When the first boot stops: every console says what stopped it and what to do, the engine is told, and somebody in
//! front of the machine can try again, restart it or turn it off. There is no login: the root account is locked.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use ashlar_host::cmd::Cmd;
use ashlar_model::bootstrap_api::FirstBootFailure;

use super::files;
use super::first_boot::read_slot;
use super::machine::Machine;
use super::notify::notify;
use super::prepare::make_run;
use super::report::Failure;

/// What stopped, for the unit that waits for an operator.
const TOLD: &str = "failure.json";
/// What the network may cure is tried again after this time.
const AGAIN: Duration = Duration::from_secs(60);
/// Pulls in every stage that has not succeeded.
const GOAL: &str = "initrd-parse-etc.service";
/// The stage of what is none of ours.
const BOOT: &str = "boot";
const KEYS: &str = "Enter: try again    r, Enter: restart the host    p, Enter: turn it off";

/// For the unit that waits for an operator, and to the engine that installed the host.
pub async fn tell(machine: &Machine, failure: &Failure) {
    let told = failure.told();
    let text = serde_json::to_vec(&told).unwrap_or_default();
    let keep = make_run(&machine.run);
    let path = machine.run.join(TOLD);
    if let Err(error) = keep.and_then(|()| files::write(&path, &text, 0o600, files::Ids::default())) {
        (machine.say)(&format!("{}: {error}", path.display()));
    }
    let Ok(Some(slot)) = read_slot(&machine.slot, machine.offset) else { return };
    match notify(machine, &slot, failure).await {
        Some(Ok(())) => (machine.say)("the installer was told"),
        Some(Err(cause)) => (machine.say)(&format!("the installer could not be told: {cause}")),
        None => {}
    }
}

/// What somebody at a console asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    Again,
    Restart,
    PowerOff,
}

/// Waits for an operator until the boot goes on.
///
/// # Errors
/// `systemctl` cannot be run.
pub async fn attend(machine: &Machine) -> anyhow::Result<()> {
    let consoles = consoles();
    let lines = listen(&consoles);
    loop {
        let told = told(&machine.run).await;
        show(&consoles, &screen(&told));
        let choice = ask(&lines, &consoles, told.may_pass);
        show(&consoles, &format!("\r\n{}\r\n", doing(choice)));
        match choice {
            Choice::Again => {
                let _ = fs::remove_file(machine.run.join(TOLD));
                Cmd::new("systemctl").arg("reset-failed").run().await?;
                let start = Cmd::new("systemctl").args(["start", GOAL]).timeout(Duration::MAX);
                if start.run().await.is_ok() {
                    return Ok(());
                }
            }
            Choice::Restart => drop(Cmd::new("systemctl").args(["--force", "reboot"]).run().await?),
            Choice::PowerOff => drop(Cmd::new("systemctl").args(["--force", "poweroff"]).run().await?),
        }
    }
}

fn doing(choice: Choice) -> &'static str {
    match choice {
        Choice::Again => "trying again",
        Choice::Restart => "restarting the host",
        Choice::PowerOff => "turning the host off",
    }
}

/// The failure that a stage left; else what systemd knows.
async fn told(run: &Path) -> FirstBootFailure {
    let kept = fs::read(run.join(TOLD)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    if let Some(kept) = kept {
        return kept;
    }
    let list = ["--failed", "--plain", "--no-legend", "list-units"];
    let units = Cmd::new("systemctl").args(list).run().await.map(|output| output.stdout).unwrap_or_default();
    let units: Vec<&str> = units.lines().filter_map(|line| line.split_whitespace().next()).collect();
    FirstBootFailure {
        stage: BOOT.to_owned(),
        entry: if units.is_empty() { "the initramfs".to_owned() } else { units.join(", ") },
        cause: "it stopped without saying why; the lines above may say it".to_owned(),
        remedy: "check the disk and its cables, or install the host again".to_owned(),
        may_pass: false,
    }
}

/// The first line that means something, of any console; `Again` after a while for what may pass by itself.
fn ask(lines: &Receiver<String>, consoles: &[PathBuf], may_pass: bool) -> Choice {
    loop {
        let line = if may_pass {
            lines.recv_timeout(AGAIN)
        } else {
            lines.recv().map_err(|_| RecvTimeoutError::Disconnected)
        };
        match line.map(|line| choice(&line)) {
            Ok(Some(choice)) => return choice,
            Ok(None) => show(consoles, &format!("\r\n{KEYS}\r\n")),
            Err(RecvTimeoutError::Timeout) => return Choice::Again,
            // No console can be read: only time helps.
            Err(RecvTimeoutError::Disconnected) => {
                std::thread::sleep(AGAIN);
                if may_pass {
                    return Choice::Again;
                }
            }
        }
    }
}

fn choice(line: &str) -> Option<Choice> {
    match line.trim() {
        "" => Some(Choice::Again),
        "r" | "R" => Some(Choice::Restart),
        "p" | "P" => Some(Choice::PowerOff),
        _ => None,
    }
}

fn screen(failure: &FirstBootFailure) -> String {
    let line = "-".repeat(76);
    let entry = |name: &str, text: &str| {
        let text = text.lines().map(|line| line.chars().filter(|c| !c.is_control()).collect::<String>());
        format!("{name:<9}{}\n", text.collect::<Vec<_>>().join("\n         "))
    };
    let again = if failure.may_pass {
        format!("\nThe same is tried again every {} s.\n", AGAIN.as_secs())
    } else {
        String::new()
    };
    let what = if failure.stage == BOOT { "boot" } else { "first boot" };
    let text = format!(
        "\n{line}\nThe {what} of this host stopped.\n\n{}{}{}{}{again}\n{KEYS}\n{line}\n",
        entry("stage:", &failure.stage),
        entry("entry:", &failure.entry),
        entry("cause:", &failure.cause),
        entry("remedy:", &failure.remedy),
    );
    text.replace('\n', "\r\n")
}

/// Every console of the kernel, each once.
fn consoles() -> Vec<PathBuf> {
    let active = fs::read_to_string("/sys/class/tty/console/active").unwrap_or_default();
    let registered = fs::read_to_string("/proc/consoles").unwrap_or_default();
    let found = names(&active, &registered).into_iter().map(|name| Path::new("/dev").join(name));
    let found: Vec<PathBuf> = found.filter(|path| path.exists()).collect();
    if found.is_empty() { vec!["/dev/console".into()] } else { found }
}

/// `tty0 ttyS0`, and lines as `ttyS0 -W- (EC p a) 4:64`.
fn names(active: &str, registered: &str) -> BTreeSet<String> {
    let first = registered.lines().filter_map(|line| line.split_whitespace().next());
    active.split_whitespace().chain(first).map(str::to_owned).collect()
}

/// A console that nobody reads must not stop us: opened without waiting, and what does not fit is dropped.
fn show(consoles: &[PathBuf], text: &str) {
    for path in consoles {
        let mut options = OpenOptions::new();
        options
            .write(true)
            .custom_flags((rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY).bits() as i32);
        if let Ok(mut console) = options.open(path) {
            let _ = console.write_all(text.as_bytes());
        }
    }
}

/// Lines of every console that can be read; each has a thread, which ends with the process.
fn listen(consoles: &[PathBuf]) -> Receiver<String> {
    let (sender, receiver) = channel();
    for path in consoles {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(rustix::fs::OFlags::NOCTTY.bits() as i32);
        let Ok(console) = options.open(path) else { continue };
        let sender = sender.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(console).lines() {
                let Ok(line) = line else { return };
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
    }
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(may_pass: bool) -> FirstBootFailure {
        FirstBootFailure {
            stage: "fetch".into(),
            entry: "https://192.0.2.1/config".into(),
            cause: "no answer\nand more".into(),
            remedy: "check the network".into(),
            may_pass,
        }
    }

    #[test]
    fn every_console_of_the_kernel_is_named_once() {
        let registered =
            "ttyS0                -W- (EC p a)    4:64\ntty0                 -WU (E  p  )    4:2\n";
        let found = names("tty0 ttyS0\n", registered);
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["tty0", "ttyS0"]);
        assert_eq!(names("", "hvc0 -W- (E) 229:0\n").into_iter().collect::<Vec<_>>(), ["hvc0"]);
    }

    #[test]
    fn every_console_gets_the_whole_text() {
        let folder = tempfile::tempdir().expect("a directory");
        let consoles: Vec<PathBuf> = ["a", "b"].map(|name| folder.path().join(name)).into();
        consoles.iter().for_each(|path| fs::write(path, "").expect("a file"));
        let absent = folder.path().join("none/c");
        show(&[consoles.clone(), vec![absent]].concat(), &screen(&failure(false)));
        for path in &consoles {
            let text = fs::read_to_string(path).expect("text").replace("\r\n", "\n");
            for line in [
                "stage:   fetch",
                "cause:   no answer\n         and more",
                "remedy:  check the network",
                KEYS,
            ] {
                assert!(text.contains(line), "{text}");
            }
        }
        assert!(screen(&failure(true)).contains("every 60 s"));
    }

    #[test]
    fn lines_of_any_console_choose_what_is_done() {
        let folder = tempfile::tempdir().expect("a directory");
        let console = folder.path().join("a");
        fs::write(&console, "root\nr\n").expect("a file");
        let consoles = [console];
        assert_eq!(ask(&listen(&consoles), &[], false), Choice::Restart, "what means nothing is passed over");
        assert_eq!(choice("\n"), Some(Choice::Again));
        assert_eq!(choice(" p "), Some(Choice::PowerOff));
        assert_eq!(choice("root"), None);
    }
}
