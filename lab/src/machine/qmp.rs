//! Talking to a running QEMU (QEMU Machine Protocol: lines of JSON over a socket).

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

const CONNECT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);

/// A conversation with one QEMU.
pub struct Qmp {
    lines: Lines<BufReader<OwnedReadHalf>>,
    writer: OwnedWriteHalf,
}

/// Why QEMU is about to end, as its event says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    ByReset,
    Otherwise,
}

impl Qmp {
    /// Waits for QEMU to listen.
    ///
    /// # Errors
    /// It does not in 20 s, or speaks something else.
    pub async fn connect(socket: &Path) -> io::Result<Self> {
        let end = Instant::now() + CONNECT;
        let stream = loop {
            match UnixStream::connect(socket).await {
                Ok(stream) => break stream,
                Err(error) if Instant::now() > end => return Err(error),
                Err(_) => tokio::time::sleep(POLL).await,
            }
        };
        let (reader, writer) = stream.into_split();
        let mut qmp = Self { lines: BufReader::new(reader).lines(), writer };
        qmp.send("qmp_capabilities").await?;
        Ok(qmp)
    }

    /// # Errors
    /// QEMU has gone.
    pub async fn send(&mut self, command: &str) -> io::Result<()> {
        let line = format!("{}\n", json!({ "execute": command }));
        self.writer.write_all(line.as_bytes()).await
    }

    /// The next event that says why the machine stops; for ever pending when QEMU has gone. Safe to be cancelled.
    pub async fn stopped(&mut self) -> Stopped {
        while let Ok(Some(line)) = self.lines.next_line().await {
            if let Some(stopped) = stopped(&line) {
                return stopped;
            }
        }
        std::future::pending().await
    }
}

fn stopped(line: &str) -> Option<Stopped> {
    let message: Value = serde_json::from_str(line).ok()?;
    if let Some(error) = message.get("error") {
        tracing::warn!(%error, "QEMU refuses a command");
    }
    if message.get("event")?.as_str()? != "SHUTDOWN" {
        return None;
    }
    let by_reset = message.pointer("/data/reason").and_then(Value::as_str) == Some("guest-reset");
    Some(if by_reset { Stopped::ByReset } else { Stopped::Otherwise })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_is_told_from_a_power_off() {
        let event = |reason: &str| {
            json!({"timestamp": {}, "event": "SHUTDOWN", "data": {"guest": true, "reason": reason}})
                .to_string()
        };
        assert_eq!(stopped(&event("guest-reset")), Some(Stopped::ByReset));
        assert_eq!(stopped(&event("guest-shutdown")), Some(Stopped::Otherwise));
        assert_eq!(stopped("{\"event\": \"RESUME\"}"), None);
        assert_eq!(stopped("{\"return\": {}}"), None);
    }
}
