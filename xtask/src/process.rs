//! Runs programs so that one can follow them: what runs, what it says, how long it took; everything also in a log.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::{setup, workspace};

/// A program that says nothing for this long is reported as still running.
const HEARTBEAT: Duration = Duration::from_secs(60);

/// Lines of a quiet program that failed.
const TAIL: usize = 30;

/// One command of ours: its log file and its clock.
pub struct Session {
    start: Instant,
    log: Arc<Mutex<File>>,
    path: PathBuf,
}

impl Session {
    pub fn open(name: &str) -> Result<Self> {
        let folder = workspace::programs().with_file_name("xtask");
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        let path = folder.join(format!("{name}.log"));
        let log = File::create(&path).with_context(|| format!("writing {}", path.display()))?;
        Ok(Self { start: Instant::now(), log: Arc::new(Mutex::new(log)), path })
    }

    pub fn seconds(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    /// A line about what happens, with the time since the beginning.
    pub fn say(&self, text: &str) {
        let line = format!("[{:>6.1} s] {text}", self.seconds());
        eprintln!("{line}");
        write(&self.log, &line);
    }

    /// Runs a program to its end; `expected` says how long that usually takes.
    pub fn run(&self, title: &str, expected: &str, command: &mut Command) -> Result<()> {
        self.act(title, expected, command, true)
    }

    /// The same for one that talks too much: what it says is in the log alone.
    pub fn run_quietly(&self, title: &str, expected: &str, command: &mut Command) -> Result<()> {
        self.act(title, expected, command, false)
    }

    fn act(&self, title: &str, expected: &str, command: &mut Command, shown: bool) -> Result<()> {
        self.say(&format!("{title} (usually {expected})"));
        let start = Instant::now();
        let status = self.follow(title, command, shown)?;
        if !status.success() {
            if !shown {
                eprintln!("{}", end_of(&self.path));
            }
            bail!("{title}: `{}` ended with {status}; see {}", words(command), self.path.display());
        }
        self.say(&format!("{title}: done in {:.1} s", start.elapsed().as_secs_f64()));
        Ok(())
    }

    fn follow(&self, title: &str, command: &mut Command, shown: bool) -> Result<std::process::ExitStatus> {
        let start = |command: &Command| format!("starting `{}`", words(command));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).env("PATH", setup::path());
        let mut child = command.spawn().with_context(|| start(command))?;
        let readers = [
            child.stdout.take().map(|stdout| copy(stdout, Arc::clone(&self.log), shown)),
            child.stderr.take().map(|stderr| copy(stderr, Arc::clone(&self.log), shown)),
        ];
        let mut said = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().with_context(|| start(command))? {
                break status;
            }
            if said.elapsed() > HEARTBEAT {
                said = Instant::now();
                self.say(&format!("{title}: still running"));
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        for reader in readers.into_iter().flatten() {
            if reader.join().is_err() {
                bail!("reading what `{}` says", words(command));
            }
        }
        Ok(status)
    }
}

/// What a program prints.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command.env("PATH", setup::path()).stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("starting `{}`", words(command)))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` ended with {}: {}", words(command), output.status, said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

pub fn succeeds(command: &mut Command) -> bool {
    let command =
        command.env("PATH", setup::path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// `cargo` with the toolchain that runs us, in the repository.
pub fn cargo<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(workspace::root());
    // What `cargo xtask` tells about itself would make cargo build ring, and all above it, anew each time that
    // somebody calls cargo directly in between.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

/// `ashlar` as it was built here.
pub fn ashlar<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(workspace::ashlar());
    command.args(arguments).current_dir(workspace::root());
    command
}

fn copy(from: impl Read + Send + 'static, log: Arc<Mutex<File>>, shown: bool) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line);
            if shown {
                eprintln!("    {line}");
            }
            write(&log, &line);
        }
    })
}

/// The last lines of a log.
fn end_of(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL)..].join("\n")
}

fn write(log: &Mutex<File>, line: &str) {
    // The log is a convenience: a full disk shows elsewhere.
    let _ = writeln!(log.lock().unwrap_or_else(PoisonError::into_inner), "{line}");
}

fn words(command: &Command) -> String {
    let program =
        Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let arguments = command.get_args().map(|argument| argument.to_string_lossy().into_owned());
    std::iter::once(program).chain(arguments).collect::<Vec<_>>().join(" ")
}
