//! Working with a running rack: programs in its administrator's namespace, machines' consoles, their power.

use std::convert::Infallible;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::time::Duration;

use ashlar_host::cmd;
use ashlar_host::netns;

use crate::control::{self, PowerAction, Request};
use crate::network::{self, names};
use crate::rack::{self, Rack};

const CONSOLE_POLL: Duration = Duration::from_millis(100);
/// The rack's DNS for this one process: the bind is in a mount namespace of its own and goes with it.
const WITH_NAMES: &str =
    "mount --bind \"$RACK_RESOLV_CONF\" /etc/resolv.conf && unset RACK_RESOLV_CONF && exec \"$@\"";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Rack(#[from] rack::Error),
    #[error(transparent)]
    Control(#[from] control::Error),
    #[error("rack `{rack}` has no server `{server}`\nhint: it has {known}")]
    Server { rack: String, server: String, known: String },
    #[error("changing its cable")]
    Network(#[from] netns::Error),
    #[error("there is no program to run")]
    NoProgram,
    #[error("starting the program")]
    Start { source: cmd::Error },
    #[error("reading the console {}", path.display())]
    Console { path: PathBuf, source: io::Error },
    #[error("showing the console")]
    Show { source: io::Error },
}

/// Becomes a program in the rack's administrator namespace with the rack's DNS, and with `KUBECONFIG` set when the
/// rack's cluster has one. It is this process, so that signals meant for it reach it.
///
/// # Errors
/// There is no such rack or program.
pub fn exec(name: &str, argv: &[String]) -> Result<Infallible, Error> {
    let rack = Rack::named(name);
    rack.spec()?;
    if argv.is_empty() {
        return Err(Error::NoProgram);
    }
    let mut enter = netns::enter(&rack.administrator_namespace(), "unshare")
        .args(["--mount", "--propagation", "private", "--", "sh", "-c", WITH_NAMES, "sh"])
        .args(argv)
        .env("RACK_RESOLV_CONF", names::resolv_conf(&rack));
    let kubeconfig = rack.cluster_directory().join("auth/kubeconfig");
    if kubeconfig.exists() {
        enter = enter.env("KUBECONFIG", kubeconfig);
    }
    Err(Error::Start { source: enter.replace_this_process() })
}

/// Copies a machine's console to `out`; with `follow`, goes on until it is cancelled.
///
/// # Errors
/// There is no such server, or the console cannot be read.
pub async fn console(
    name: &str,
    server: &str,
    follow: bool,
    out: &mut (impl Write + Send),
) -> Result<(), Error> {
    let rack = Rack::named(name);
    known(&rack, server)?;
    let path = rack.console_log(server);
    let mut at = 0;
    loop {
        let bytes = match read_from(&path, at) {
            // A machine that never had power has said nothing.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            bytes => bytes.map_err(|source| Error::Console { path: path.clone(), source })?,
        };
        at += bytes.len() as u64;
        out.write_all(&bytes).and_then(|()| out.flush()).map_err(|source| Error::Show { source })?;
        if !bytes.is_empty() {
            continue;
        }
        if !follow {
            return Ok(());
        }
        tokio::time::sleep(CONSOLE_POLL).await;
    }
}

/// Acts on a machine's power, as its BMC would.
///
/// # Errors
/// There is no such server, or its daemon does not answer.
pub async fn power(name: &str, server: &str, action: PowerAction) -> Result<(), Error> {
    let rack = Rack::named(name);
    known(&rack, server)?;
    control::ask(&rack, &Request::Power { server: server.to_owned(), action }).await?;
    Ok(())
}

/// Plugs a machine's network cable in or pulls it out. Its BMC has a cable of its own.
///
/// # Errors
/// There is no such server, or the rack's networks are gone.
pub async fn cable(name: &str, server: &str, plugged: bool) -> Result<(), Error> {
    let rack = Rack::named(name);
    known(&rack, server)?;
    network::cable(&rack, &rack.spec()?, server, plugged).await?;
    Ok(())
}

fn known(rack: &Rack, server: &str) -> Result<(), Error> {
    let spec = rack.spec()?;
    if spec.server(server).is_some() {
        return Ok(());
    }
    let known = spec.servers.iter().map(|server| server.name.as_str()).collect::<Vec<_>>().join(", ");
    Err(Error::Server { rack: rack.name.clone(), server: server.to_owned(), known })
}

fn read_from(path: &std::path::Path, at: u64) -> io::Result<Vec<u8>> {
    let mut file = std::fs::File::open(path)?;
    file.seek(SeekFrom::Start(at))?;
    let mut bytes = Vec::new();
    file.take(1 << 20).read_to_end(&mut bytes)?;
    Ok(bytes)
}
