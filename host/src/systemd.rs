//! systemd's units (`systemctl`).

use crate::cmd::{self, Cmd};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{verb} of unit `{unit}`")]
    Unit { verb: &'static str, unit: String, source: cmd::Error },
    #[error("reloading systemd's units")]
    Reload { source: cmd::Error },
    #[error("asking systemd to {verb}")]
    Power { verb: &'static str, source: cmd::Error },
}

/// Starts a unit and waits until it is started.
///
/// # Errors
/// The unit fails to start.
pub async fn start(unit: &str) -> Result<(), Error> {
    act("start", unit).await
}

/// # Errors
/// The unit cannot be stopped.
pub async fn stop(unit: &str) -> Result<(), Error> {
    act("stop", unit).await
}

/// # Errors
/// The unit fails to start again.
pub async fn restart(unit: &str) -> Result<(), Error> {
    act("restart", unit).await
}

/// # Errors
/// The unit cannot be enabled.
pub async fn enable(unit: &str) -> Result<(), Error> {
    act("enable", unit).await
}

/// Whether a unit is active now.
///
/// # Errors
/// systemd cannot be asked.
pub async fn is_active(unit: &str) -> Result<bool, Error> {
    match Cmd::new("systemctl").args(["is-active", "--quiet", unit]).run().await {
        Ok(_) => Ok(true),
        Err(error) if error.code().is_some() => Ok(false),
        Err(source) => Err(Error::Unit { verb: "is-active", unit: unit.to_owned(), source }),
    }
}

/// Whether a unit has failed.
///
/// # Errors
/// systemd cannot be asked.
pub async fn is_failed(unit: &str) -> Result<bool, Error> {
    match Cmd::new("systemctl").args(["is-failed", "--quiet", unit]).run().await {
        Ok(_) => Ok(true),
        Err(error) if error.code().is_some() => Ok(false),
        Err(source) => Err(Error::Unit { verb: "is-failed", unit: unit.to_owned(), source }),
    }
}

/// Whether a unit is started with the machine; a unit that needs no enabling counts as enabled.
///
/// # Errors
/// systemd cannot be asked.
pub async fn is_enabled(unit: &str) -> Result<bool, Error> {
    match Cmd::new("systemctl").args(["is-enabled", "--quiet", unit]).run().await {
        Ok(_) => Ok(true),
        Err(error) if error.code().is_some() => Ok(false),
        Err(source) => Err(Error::Unit { verb: "is-enabled", unit: unit.to_owned(), source }),
    }
}

/// Whether systemd knows a unit of this name.
///
/// # Errors
/// systemd cannot be asked.
pub async fn exists(unit: &str) -> Result<bool, Error> {
    let show = Cmd::new("systemctl").args(["show", "--property=LoadState", "--value", unit]).run().await;
    let show = show.map_err(|source| Error::Unit { verb: "show", unit: unit.to_owned(), source })?;
    Ok(show.stdout.trim() != "not-found")
}

/// Reads unit files again.
///
/// # Errors
/// systemd cannot be asked.
pub async fn daemon_reload() -> Result<(), Error> {
    Cmd::new("systemctl")
        .arg("daemon-reload")
        .run()
        .await
        .map(drop)
        .map_err(|source| Error::Reload { source })
}

/// Starts an orderly reboot and returns at once.
///
/// # Errors
/// systemd cannot be asked.
pub async fn reboot() -> Result<(), Error> {
    power("reboot").await
}

/// Starts an orderly power-off and returns at once.
///
/// # Errors
/// systemd cannot be asked.
pub async fn power_off() -> Result<(), Error> {
    power("poweroff").await
}

async fn power(verb: &'static str) -> Result<(), Error> {
    let run = Cmd::new("systemctl").args(["--no-block", verb]).run().await;
    run.map(drop).map_err(|source| Error::Power { verb, source })
}

async fn act(verb: &'static str, unit: &str) -> Result<(), Error> {
    let run = Cmd::new("systemctl").args([verb, unit]).run().await;
    run.map(drop).map_err(|source| Error::Unit { verb, unit: unit.to_owned(), source })
}
