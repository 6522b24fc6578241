//! A host's BMC as the engine uses it: what the Redfish client offers, with the host named in every failure.

use std::sync::Arc;
use std::time::Duration;

use ashlar_model::config::{BmcAccess, BmcTrust, Host};
use ashlar_redfish::client::{Bmc, BootTarget, Credentials, Endpoint, Error, Timeouts, Trust};
use ashlar_redfish::power::{PowerState, ResetType};
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use secrecy::ExposeSecret;

use crate::failure::Failure;

/// Authorities that the operating system of this computer trusts.
const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// How long a power change may take to show.
const POWER_LIMIT: Duration = Duration::from_secs(90);
/// How long an operating system may take to shut down by itself.
const GRACE: Duration = Duration::from_secs(20);

pub struct Controller {
    host: String,
    bmc: Arc<Bmc>,
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
        let (address, user) = (access.address.to_string(), access.username.clone());
        let password = access.password.expose_secret().to_owned();
        let trust = trust(access).map_err(|error| failure(name, "reading what its BMC is trusted by", error))?;
        let connected = apart(move || {
            async move {
                let endpoint = Endpoint::parse(&address)?;
                Bmc::connect(&endpoint, &Credentials::new(user, password), trust, timeouts()).await
            }
            .boxed_local()
        });
        match connected.await? {
            Ok(bmc) => Ok(Self { host: name.clone(), bmc: Arc::new(bmc) }),
            Err(error) => Err(failure(name, "connecting to its BMC", error)),
        }
    }

    pub async fn is_on(&self) -> Result<bool, Failure> {
        let state = self.ask("reading its power state", |bmc| bmc.power_state().boxed_local()).await?;
        Ok(!matches!(state, PowerState::Off | PowerState::PoweringOff))
    }

    /// URL of what is in the virtual CD.
    pub async fn medium(&self) -> Result<Option<String>, Failure> {
        let media = self.ask("reading its virtual media", |bmc| bmc.media().boxed_local()).await?;
        Ok(media.inserted.then(|| media.image.unwrap_or_default()))
    }

    /// Old media out, `url` in, next boot from it, reset.
    pub async fn boot_medium(&self, url: &str) -> Result<(), Failure> {
        let url = url.to_owned();
        self.ask("inserting the medium", |bmc| async move { bmc.insert(&url).await }.boxed_local()).await?;
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

    /// Sees the machine on.
    pub async fn see_on(&self) -> Result<(), Failure> {
        self.ask("waiting for it to power on", |bmc| bmc.wait_for_power(PowerState::On, POWER_LIMIT).boxed_local())
            .await
    }

    /// Asks the machine to shut down, then forces it.
    pub async fn power_off(&self) -> Result<(), Failure> {
        if !self.is_on().await? {
            return Ok(());
        }
        let asked = self.reset("asking it to shut down", ResetType::GracefulShutdown).await;
        let wait = self.ask("waiting for it to shut down", |bmc| {
            bmc.wait_for_power(PowerState::Off, GRACE).boxed_local()
        });
        if asked.is_ok() && wait.await.is_ok() {
            return Ok(());
        }
        self.force_off().await
    }

    pub async fn force_off(&self) -> Result<(), Failure> {
        self.ask("powering it off", |bmc| bmc.power_off(POWER_LIMIT).boxed_local()).await
    }

    pub async fn eject(&self) -> Result<(), Failure> {
        self.ask("taking the medium out", |bmc| bmc.eject().boxed_local()).await
    }

    async fn boot_once(&self, doing: &str, target: BootTarget) -> Result<(), Failure> {
        self.ask(doing, move |bmc| bmc.set_boot_once(target).boxed_local()).await
    }

    async fn reset(&self, doing: &str, wanted: ResetType) -> Result<(), Failure> {
        self.ask(doing, move |bmc| bmc.reset(wanted).boxed_local()).await
    }

    /// On when it is off, reset when it is on.
    async fn restart(&self) -> Result<(), Failure> {
        let reset = if self.is_on().await? { ResetType::ForceRestart } else { ResetType::On };
        self.reset("resetting it", reset).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        doing: &str,
        call: impl for<'a> FnOnce(&'a Bmc) -> LocalBoxFuture<'a, Result<T, Error>> + Send + 'static,
    ) -> Result<T, Failure> {
        let bmc = self.bmc.clone();
        let answer = apart(move || async move { call(&bmc).await }.boxed_local()).await?;
        answer.map_err(|error| failure(&self.host, doing, error))
    }
}

/// Runs a future that the compiler cannot prove to be `Send` (the client polls with async closures) on a thread of
/// its own.
async fn apart<T: Send + 'static>(
    make: impl FnOnce() -> LocalBoxFuture<'static, T> + Send + 'static,
) -> Result<T, Failure> {
    let runtime = tokio::runtime::Handle::current();
    let done = tokio::task::spawn_blocking(move || runtime.block_on(make())).await;
    done.map_err(|panic| Failure::environment("talking to a BMC").because(panic))
}

fn trust(access: &BmcAccess) -> Result<Trust, Error> {
    Ok(match &access.trust {
        BmcTrust::Fingerprint(bytes) => Trust::Fingerprint(hex::encode(bytes).parse()?),
        BmcTrust::CertificateAuthority(pem) => Trust::CertificateAuthority(pem.clone()),
        BmcTrust::Disabled => Trust::Insecure,
        BmcTrust::System => {
            let pem = std::fs::read_to_string(SYSTEM_AUTHORITIES).map_err(|error| Error::BadCertificateAuthority {
                bmc: access.address.to_string(),
                cause: format!("{SYSTEM_AUTHORITIES}: {error}"),
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
            format!("check bmc.address of {host}, its cable and the route to it, then run the same command again"),
        ),
        Error::NotInserted { .. } => (
            Failure::environment(what),
            "see that the BMC can reach the URL: `ashlar plan` shows the address, --serve-address changes it".into(),
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
