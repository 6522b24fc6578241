//! What the command line and the rack's daemon say to each other: one line of JSON each way over a socket in the
//! rack's directory.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use crate::rack::Rack;

/// A power-off waits for the machine to stop.
const LIMIT: Duration = Duration::from_secs(180);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the daemon of rack `{rack}` does not answer at {}\nhint: `ashlar lab down` clears it away", socket.display())]
    Connect { rack: String, socket: PathBuf, source: io::Error },
    #[error("talking to the daemon of rack `{rack}`")]
    Talk { rack: String, source: io::Error },
    #[error("the daemon of rack `{rack}` did not answer in {LIMIT:?}")]
    Silent { rack: String },
    #[error("understanding the daemon of rack `{rack}`")]
    Json { rack: String, source: serde_json::Error },
    #[error("the daemon of rack `{rack}` refused: {reason}")]
    Refused { rack: String, reason: String },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case")]
pub enum Request {
    Status,
    Power { server: String, action: PowerAction },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PowerAction {
    On,
    /// Presses the power button and waits until the machine is off.
    Off,
    /// Cuts the power.
    Cut,
    /// Cuts the power and gives it back.
    Reset,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Answer {
    Done,
    Servers { servers: Vec<ServerNow> },
    Refused { reason: String },
}

/// What only the daemon knows of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerNow {
    pub name: String,
    pub on: bool,
    /// URL of the inserted medium.
    pub medium: Option<String>,
    /// `None` when the next boot is a normal one.
    pub boot_override: Option<String>,
}

/// Sends one request to a rack's daemon.
///
/// # Errors
/// The daemon does not run, does not answer or refuses.
pub async fn ask(rack: &Rack, request: &Request) -> Result<Answer, Error> {
    let name = || rack.name.clone();
    let answer = tokio::time::timeout(LIMIT, converse(rack, request));
    match answer.await.map_err(|_| Error::Silent { rack: name() })?? {
        Answer::Refused { reason } => Err(Error::Refused { rack: name(), reason }),
        answer => Ok(answer),
    }
}

async fn converse(rack: &Rack, request: &Request) -> Result<Answer, Error> {
    let socket = rack.control_socket();
    let mut stream = UnixStream::connect(&socket).await.map_err(|source| Error::Connect {
        rack: rack.name.clone(),
        socket,
        source,
    })?;
    let talk = |source| Error::Talk { rack: rack.name.clone(), source };
    stream.write_all(line(request).as_bytes()).await.map_err(talk)?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).await.map_err(talk)?;
    serde_json::from_str(&answer).map_err(|source| Error::Json { rack: rack.name.clone(), source })
}

/// One message with its end of line.
pub fn line(message: &impl Serialize) -> String {
    let mut line = serde_json::to_string(message).expect("messages are plain data");
    line.push('\n');
    line
}
