//! A host's BMC as the engine uses it: what the Redfish client offers, with the host named in every failure.

use std::time::Duration;

use ashlar_model::config::{BmcAccess, BmcTrust, Host};
use ashlar_redfish::client::{Bmc, BootTarget, Credentials, Endpoint, Error, Timeouts, Trust};
use ashlar_redfish::power::{PowerState, ResetType};
use secrecy::ExposeSecret;

use crate::failure::Failure;

/// Authorities that the operating system of this computer trusts.
const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// How long a power change may take to show.
const POWER_LIMIT: Duration = Duration::from_secs(90);
/// For many BMCs a reset is off and on again: how long the first may show.
const RESET_LIMIT: Duration = Duration::from_secs(30);
/// How long an operating system may take to shut down by itself.
const GRACE: Duration = Duration::from_secs(20);

pub struct Controller {
    host: String,
    bmc: Bmc,
}

/// Short enough that a dead address is said soon, long enough for a slow BMC.
fn timeouts() -> Timeouts {
    Timeouts {
        connect: Duration::from_secs(5),
        attempts: 3,
        pause: Duration::from_millis(500),
        poll: Duration::from_millis(250),
        ..Timeouts::default()
    }
}

impl Controller {
    /// # Errors
    /// It cannot be reached or trusted, or refuses the login.
    pub async fn connect(host: &Host) -> Result<Self, Failure> {
        let access = &host.bmc;
        let name = &host.name;
        let act = async {
            let endpoint = Endpoint::parse(&access.address.to_string())?;
            let credentials = Credentials::new(access.username.clone(), access.password.expose_secret());
            Bmc::connect(&endpoint, &credentials, trust(access)?, timeouts()).await
        };
        match act.await {
            Ok(bmc) => Ok(Self { host: name.clone(), bmc }),
            Err(error) => Err(failure(name, "connecting to its BMC", error)),
        }
    }

    pub async fn is_on(&self) -> Result<bool, Failure> {
        let state = self.ask("reading its power state", self.bmc.power_state()).await?;
        Ok(!matches!(state, PowerState::Off | PowerState::PoweringOff))
    }

    /// URL of what is in the virtual CD.
    pub async fn medium(&self) -> Result<Option<String>, Failure> {
        let media = self.ask("reading its virtual media", self.bmc.media()).await?;
        Ok(media.inserted.then(|| media.image.unwrap_or_default()))
    }

    /// Old media out, the first of `urls` that the BMC takes in, next boot from it, reset.
    pub async fn boot_medium(&self, urls: &[String]) -> Result<(), Failure> {
        let mut refused = None;
        for url in urls {
            match self.bmc.insert(url).await {
                Ok(()) => {
                    refused = None;
                    break;
                }
                // The first refusal says most: it is of the URL that nearly every BMC takes.
                Err(error @ Error::NotInserted { .. }) => refused = refused.or(Some(error)),
                Err(error) => return Err(failure(&self.host, "inserting the medium", error)),
            }
        }
        if let Some(error) = refused {
            return Err(failure(&self.host, "inserting the medium", error));
        }
        self.boot_once("choosing the medium for the next boot", BootTarget::Cd).await?;
        self.restart().await
    }

    /// Next boot from the disk, reset.
    pub async fn boot_disk(&self) -> Result<(), Failure> {
        self.boot_once("choosing the disk for the next boot", BootTarget::Hdd).await?;
        self.restart().await
    }

    pub async fn power_on(&self) -> Result<(), Failure> {
        self.reset("powering it on", ResetType::On).await?;
        self.see_on().await
    }

    /// Whether the machine comes on by itself, as one does that was reset. One that stays off has lost its power since.
    pub async fn comes_on(&self) -> Result<bool, Failure> {
        match self.bmc.wait_for_power(PowerState::On, RESET_LIMIT).await {
            Ok(()) => Ok(true),
            Err(Error::TimedOut { .. }) => self.is_on().await,
            Err(error) => Err(failure(&self.host, "waiting for it to power on", error)),
        }
    }

    /// Sees the machine on.
    pub async fn see_on(&self) -> Result<(), Failure> {
        self.ask("waiting for it to power on", self.bmc.wait_for_power(PowerState::On, POWER_LIMIT)).await
    }

    /// Asks the machine to shut down, then forces it.
    pub async fn power_off(&self) -> Result<(), Failure> {
        if !self.is_on().await? {
            return Ok(());
        }
        let asked = self.reset("asking it to shut down", ResetType::GracefulShutdown).await;
        let wait = self.ask("waiting for it to shut down", self.bmc.wait_for_power(PowerState::Off, GRACE));
        if asked.is_ok() && wait.await.is_ok() {
            return Ok(());
        }
        self.force_off().await
    }

    pub async fn force_off(&self) -> Result<(), Failure> {
        self.ask("powering it off", self.bmc.power_off(POWER_LIMIT)).await
    }

    pub async fn eject(&self) -> Result<(), Failure> {
        self.ask("taking the medium out", self.bmc.eject()).await
    }

    /// Ends the session: BMCs have few. One that does not answer ends it by itself, later.
    pub async fn leave(&self) {
        let closing = tokio::time::timeout(Duration::from_secs(5), self.bmc.close());
        if !matches!(closing.await, Ok(Ok(()))) {
            tracing::debug!(host = self.host, "the BMC session stays until it times out");
        }
    }

    async fn boot_once(&self, doing: &str, target: BootTarget) -> Result<(), Failure> {
        self.ask(doing, self.bmc.set_boot_once(target)).await
    }

    async fn reset(&self, doing: &str, wanted: ResetType) -> Result<(), Failure> {
        self.ask(doing, self.bmc.reset(wanted)).await
    }

    /// On when it is off, reset when it is on.
    async fn restart(&self) -> Result<(), Failure> {
        let reset = if self.is_on().await? { ResetType::ForceRestart } else { ResetType::On };
        self.reset("resetting it", reset).await
    }

    async fn ask<T>(&self, doing: &str, call: impl Future<Output = Result<T, Error>>) -> Result<T, Failure> {
        call.await.map_err(|error| failure(&self.host, doing, error))
    }
}

fn trust(access: &BmcAccess) -> Result<Trust, Error> {
    Ok(match &access.trust {
        BmcTrust::Fingerprint(bytes) => Trust::Fingerprint(hex::encode(bytes).parse()?),
        BmcTrust::CertificateAuthority(pem) => Trust::CertificateAuthority(pem.clone()),
        BmcTrust::Disabled => Trust::Insecure,
        BmcTrust::System => {
            let pem = std::fs::read_to_string(SYSTEM_AUTHORITIES).map_err(|error| {
                Error::BadCertificateAuthority {
                    bmc: access.address.to_string(),
                    cause: format!("{SYSTEM_AUTHORITIES}: {error}"),
                }
            })?;
            Trust::CertificateAuthority(pem)
        }
    })
}

/// Who must act, and what to try.
fn failure(host: &str, doing: &str, error: Error) -> Failure {
    let what = format!("{host}: {doing}");
    let (failure, hint) = match &error {
        Error::WrongPassword { .. } => {
            (Failure::user(what), format!("correct bmc.username and bmc.password of {host}"))
        }
        Error::FingerprintMismatch { presented, .. } => (
            Failure::user(what),
            format!(
                "if the certificate was replaced on purpose, set bmc.certificateFingerprint of {host} to {presented}; \
                 otherwise find out who answers"
            ),
        ),
        Error::CertificateRefused { .. } => (
            Failure::user(what),
            format!("set bmc.certificateFingerprint or bmc.certificateAuthority of {host}"),
        ),
        Error::BadAddress { .. } | Error::SeveralSystems { .. } | Error::NoSystem { .. } => {
            (Failure::user(what), format!("correct bmc.address of {host}"))
        }
        Error::BadCertificateAuthority { .. } | Error::BadFingerprint { .. } => {
            (Failure::user(what), format!("correct bmc.certificateAuthority or the fingerprint of {host}"))
        }
        Error::Unreachable { .. } | Error::NoAnswer { .. } | Error::Broken { .. } => (
            Failure::environment(what),
            format!(
                "check bmc.address of {host}, its cable and the route to it, then run the same command again"
            ),
        ),
        Error::NotInserted { .. } => (
            Failure::environment(what),
            "see that the BMC can reach the URL: `ashlar plan` shows the address, --serve-address changes it"
                .into(),
        ),
        Error::Lacks { .. } | Error::NotOffered { .. } => {
            (Failure::user(what), "virtual media often needs a licence of the BMC's vendor".into())
        }
        Error::TimedOut { .. } => {
            (Failure::timed_out(what), "look at the BMC's own page, then run the same command again".into())
        }
        _ => (Failure::environment(what), "run the same command again; it goes on where it stopped".into()),
    };
    failure.because(error).hint(hint)
}
