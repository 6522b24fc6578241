//! The only place that starts processes. One file per tool stands beside it: it builds arguments and parses
//! output in pure functions, and calls `run` in between. A child dies with us unless it was `spawn`ed.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

/// Enough of stderr to explain a failure, little enough to log.
const STDERR_TAIL: usize = 2048;
/// Nothing waits forever; long jobs (`stream`) set their own limit.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(120);

/// A process to be run.
#[derive(Debug, Clone)]
#[must_use = "a command does nothing until it is run"]
pub struct Cmd {
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    clear_env: bool,
    dir: Option<PathBuf>,
    stdin: Option<Vec<u8>>,
    timeout: Duration,
}

/// What a successful process said.
#[derive(Debug, Clone, Default)]
pub struct Output {
    pub stdout: String,
    pub stderr: String,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the program `{program}` is not installed{}", package_hint(program))]
    NotFound { program: String, source: io::Error },
    #[error("starting `{program}`")]
    Start { program: String, source: io::Error },
    #[error("talking to `{command}`")]
    Pipe { command: String, source: io::Error },
    #[error("`{command}` did not finish in {timeout:?}")]
    TimedOut { command: String, timeout: Duration },
    #[error("`{command}` failed with {status}: {stderr}")]
    Failed { command: String, status: ExitStatus, stderr: String },
}

impl Cmd {
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            env: Vec::new(),
            clear_env: false,
            dir: None,
            stdin: None,
            timeout: DEFAULT_TIMEOUT,
        }
    }

    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    pub fn args<I, S>(mut self, args: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((key.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Starts from an empty environment; what `env` sets is all the child gets.
    pub fn clear_env(mut self) -> Self {
        self.clear_env = true;
        self
    }

    pub fn dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.dir = Some(dir.as_ref().to_owned());
        self
    }

    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Runs to the end and returns what it printed.
    ///
    /// # Errors
    /// The program is missing, takes longer than `timeout`, or exits non-zero.
    pub async fn run(self) -> Result<Output, Error> {
        self.stream(|_| {}).await
    }

    /// Like `run`, and hands every line of stdout and stderr to `line` as it appears.
    ///
    /// # Errors
    /// As `run`.
    pub async fn stream(self, mut line: impl FnMut(&str)) -> Result<Output, Error> {
        let mut child = self.start(Stdio::piped(), Stdio::piped())?;
        let talk = async {
            let (sender, mut lines) = tokio::sync::mpsc::unbounded_channel();
            let input = feed(child.stdin.take(), self.stdin.as_deref());
            let stdout = collect(child.stdout.take(), sender.clone());
            let stderr = collect(child.stderr.take(), sender);
            let show = async {
                while let Some(text) = lines.recv().await {
                    line(&text);
                }
            };
            let (stdout, stderr, (), ()) = tokio::join!(stdout, stderr, input, show);
            let status = child.wait().await?;
            Ok::<_, io::Error>((Output { stdout: stdout?, stderr: stderr? }, status))
        };
        let (output, status) = tokio::time::timeout(self.timeout, talk)
            .await
            .map_err(|_| Error::TimedOut { command: self.line(), timeout: self.timeout })?
            .map_err(|source| Error::Pipe { command: self.line(), source })?;
        if status.success() {
            return Ok(output);
        }
        let said = if output.stderr.trim().is_empty() { &output.stdout } else { &output.stderr };
        Err(Error::Failed { command: self.line(), status, stderr: tail(said) })
    }

    /// Starts the process with our own stdout and stderr and leaves it to the caller, who must wait for it.
    /// It is not killed when the handle is dropped.
    ///
    /// # Errors
    /// The program is missing or cannot be started.
    pub fn spawn(self) -> Result<Child, Error> {
        self.spawn_into(Stdio::inherit(), Stdio::inherit())
    }

    /// As `spawn`, with its output going elsewhere (a file, a pipe).
    ///
    /// # Errors
    /// The program is missing or cannot be started.
    pub fn spawn_into(self, stdout: Stdio, stderr: Stdio) -> Result<Child, Error> {
        let mut command = self.command();
        command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        command.spawn().map_err(|source| self.start_error(source))
    }

    /// Becomes the program: same process id, stdin, stdout and stderr. Returns only when that fails.
    #[must_use]
    pub fn replace_this_process(self) -> Error {
        let source = self.command().as_std_mut().exec();
        self.start_error(source)
    }

    /// The command as a `tokio` or `std` command, for what this type does not offer (pre-exec hooks).
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        if self.clear_env {
            command.env_clear();
        }
        command.args(&self.args).envs(self.env.iter().map(|(key, value)| (key, value)));
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        command
    }

    /// The command as a person would type it.
    #[must_use]
    pub fn line(&self) -> String {
        let args = self.args.iter().map(|arg| arg.to_string_lossy());
        std::iter::once(self.program.to_string_lossy()).chain(args).collect::<Vec<_>>().join(" ")
    }

    fn start(&self, stdout: Stdio, stderr: Stdio) -> Result<Child, Error> {
        let stdin = if self.stdin.is_some() { Stdio::piped() } else { Stdio::null() };
        let mut command = self.command();
        command.stdin(stdin).stdout(stdout).stderr(stderr).kill_on_drop(true);
        tracing::debug!(command = self.line(), "start");
        command.spawn().map_err(|source| self.start_error(source))
    }

    fn start_error(&self, source: io::Error) -> Error {
        let program = self.program.to_string_lossy().into_owned();
        let no_dir = self.dir.as_ref().is_some_and(|dir| !dir.is_dir());
        if source.kind() == io::ErrorKind::NotFound && !no_dir {
            return Error::NotFound { program, source };
        }
        Error::Start { program, source }
    }
}

impl Error {
    /// The exit code, when the process ran to an end of its own.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        match self {
            Self::Failed { status, .. } => status.code(),
            _ => None,
        }
    }
}

/// A process that stops reading early is judged by its exit status, not by our broken pipe.
async fn feed(pipe: Option<tokio::process::ChildStdin>, bytes: Option<&[u8]>) {
    if let (Some(mut pipe), Some(bytes)) = (pipe, bytes)
        && let Err(error) = pipe.write_all(bytes).await
    {
        tracing::debug!(%error, "the process did not read all of its input");
    }
}

async fn collect(
    pipe: Option<impl AsyncRead + Unpin>,
    lines: tokio::sync::mpsc::UnboundedSender<String>,
) -> io::Result<String> {
    let mut text = String::new();
    let Some(pipe) = pipe else { return Ok(text) };
    let mut pipe = BufReader::new(pipe);
    let mut line = Vec::new();
    while pipe.read_until(b'\n', &mut line).await? > 0 {
        let part = String::from_utf8_lossy(&line);
        text.push_str(&part);
        let shown = part.trim_end_matches(['\n', '\r']).to_owned();
        // The receiver lives as long as this future; a failed send cannot lose what `text` keeps.
        drop(lines.send(shown));
        line.clear();
    }
    Ok(text)
}

/// Reads all of a pipe; for callers of `spawn_into` with piped output.
///
/// # Errors
/// The pipe cannot be read.
pub async fn read_all(mut pipe: impl AsyncRead + Unpin) -> io::Result<String> {
    let mut bytes = Vec::new();
    pipe.read_to_end(&mut bytes).await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn tail(text: &str) -> String {
    let text = text.trim();
    let start = text.len().saturating_sub(STDERR_TAIL);
    let start = (start..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text[start..].to_owned()
}

/// The Debian package that brings a program, for the hint of a missing one.
const PACKAGES: &[(&[&str], &str)] = &[
    (&["systemd-nspawn"], "systemd-container"),
    (&["swtpm"], "swtpm"),
    (&["losetup", "mount", "umount"], "mount"),
    (&["blkid", "nsenter", "unshare", "partx", "wipefs", "lsblk", "findmnt"], "util-linux"),
    (&["mke2fs", "mkfs.ext4", "resize2fs", "e2fsck", "dumpe2fs", "debugfs"], "e2fsprogs"),
    (&["mkfs.vfat"], "dosfstools"),
    (&["mkfs.xfs"], "xfsprogs"),
    (&["sfdisk"], "fdisk"),
    (&["mcopy", "mmd", "mformat"], "mtools"),
    (&["mksquashfs", "unsquashfs"], "squashfs-tools"),
    (&["xorriso"], "xorriso"),
    (&["mmdebstrap"], "mmdebstrap"),
    (&["ostree"], "ostree"),
    (&["dracut"], "dracut"),
    (&["ip", "bridge", "ss"], "iproute2"),
    (&["nft"], "nftables"),
    (&["nmcli", "NetworkManager"], "network-manager"),
    (&["ethtool"], "ethtool"),
    (&["dnsmasq"], "dnsmasq-base"),
    (&["chronyd", "chronyc"], "chrony"),
    (&["systemctl", "journalctl", "systemd-tmpfiles"], "systemd"),
    (&["grub-mkimage"], "grub-common"),
    (&["zstd"], "zstd"),
    (&["keepalived"], "keepalived"),
    (&["runc"], "runc"),
    (&["go"], "golang-go"),
    (&["qemu-system-x86_64"], "qemu-system-x86"),
];

fn package_hint(program: &str) -> String {
    let name = program.rsplit('/').next().unwrap_or(program);
    PACKAGES
        .iter()
        .find(|(programs, _)| programs.contains(&name))
        .map_or_else(String::new, |(_, package)| format!(" (hint: Debian package `{package}`)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Cmd {
        Cmd::new("sh").args(["-c", script]).timeout(Duration::from_secs(5))
    }

    #[tokio::test]
    async fn a_failure_names_the_command_and_what_it_said() {
        let error = shell("echo no such disk >&2; exit 4").run().await.expect_err("exit 4");
        assert_eq!(error.code(), Some(4));
        assert_eq!(
            error.to_string(),
            "`sh -c echo no such disk >&2; exit 4` failed with exit status: 4: no such disk"
        );
    }

    #[tokio::test]
    async fn a_missing_program_names_its_package() {
        let error = Cmd::new("/nowhere/losetup").run().await.expect_err("not there");
        assert_eq!(
            error.to_string(),
            "the program `/nowhere/losetup` is not installed (hint: Debian package `mount`)"
        );
    }

    #[tokio::test]
    async fn large_input_and_output_do_not_block_each_other() {
        let bytes = vec![b'x'; 1 << 20];
        let output = Cmd::new("cat").stdin(bytes.clone()).run().await.expect("cat");
        assert_eq!(output.stdout.len(), bytes.len());
    }

    #[tokio::test]
    async fn lines_are_seen_and_kept() {
        let mut seen = Vec::new();
        let output = shell("echo one; echo two").stream(|line| seen.push(line.to_owned())).await.expect("sh");
        assert_eq!(seen, ["one", "two"]);
        assert_eq!(output.stdout, "one\ntwo\n");
    }

    #[tokio::test]
    async fn a_slow_process_is_stopped() {
        let slow = shell("sleep 60").timeout(Duration::from_millis(50));
        assert!(matches!(slow.run().await, Err(Error::TimedOut { .. })));
    }
}
