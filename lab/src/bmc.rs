//! A virtual BMC for each server: a real Redfish service on its own address, in front of the server's body.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use ashlar_redfish::power::PowerState;
use ashlar_redfish::virtual_bmc::{
    self, BootEnabled, BootSource, Certificate, CertificateError, Config, Interface, MachineInventory,
    VirtualBmc,
};
use async_trait::async_trait;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::machine::{Machine, Source};
use crate::rack::{self, Rack};
use crate::spec::ServerSpec;

const PORT: u16 = 443;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error(transparent)]
    Rack(#[from] rack::Error),
    #[error("reading {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error(transparent)]
    State(#[from] virtual_bmc::Error),
    #[error("listening on {address}:{PORT}")]
    Listen { address: std::net::Ipv4Addr, source: io::Error },
}

/// A running BMC.
pub struct Bmc {
    service: Arc<VirtualBmc>,
}

/// Makes the BMC's certificate; it lasts as long as the rack.
///
/// # Errors
/// It cannot be made or written.
pub fn make_certificate(rack: &Rack, server: &ServerSpec) -> Result<(), Error> {
    let certificate = Certificate::self_signed(&[server.bmc_address.to_string()])?;
    let folder = rack.bmc_directory(&server.name);
    rack::write(&folder.join("certificate.pem"), &certificate.certificate_pem)?;
    Ok(rack::write(&folder.join("key.pem"), &certificate.key_pem)?)
}

/// SHA-256 of the BMC's certificate, for pinning.
///
/// # Errors
/// The certificate cannot be read.
pub fn fingerprint(rack: &Rack, server: &ServerSpec) -> Result<String, Error> {
    Ok(certificate(rack, server)?.fingerprint()?.to_string())
}

/// Starts a server's BMC on its address, in the network namespace of the calling process.
///
/// # Errors
/// The address is taken, or the BMC's files cannot be read.
pub async fn start(
    rack: &Rack,
    server: &ServerSpec,
    machine: &Machine,
    tasks: &TaskTracker,
    stop: CancellationToken,
) -> Result<Arc<Bmc>, Error> {
    let certificate = certificate(rack, server)?;
    let mut config = Config::new(&server.bmc_user, &server.bmc_password);
    config.state_file = Some(rack.bmc_directory(&server.name).join("state.json"));
    let service = VirtualBmc::new(config, Arc::new(Body(machine.clone())))?;
    let bmc = Arc::new(Bmc { service: service.clone() });
    let asked = Arc::downgrade(&bmc);
    machine.set_next_boot(Box::new(move || {
        let source = asked.upgrade().map_or(Source::Disk, |bmc| bmc.next_boot());
        Box::pin(std::future::ready(source))
    }));
    let address = server.bmc_address;
    let listener = TcpListener::bind((address, PORT)).await;
    let listener = listener.map_err(|source| Error::Listen { address, source })?;
    let name = server.name.clone();
    tasks.spawn(async move {
        let app = virtual_bmc::app(service);
        if let Err(error) = virtual_bmc::serve(listener, &certificate, app, stop).await {
            tracing::error!(%error, server = name, "the BMC has ended");
        }
    });
    Ok(bmc)
}

impl Bmc {
    /// Where the machine boots from now; uses up an override for one boot.
    pub fn next_boot(&self) -> Source {
        source_of(self.service.next_boot())
    }

    /// URL of the inserted medium, and the boot override in words.
    pub fn settings(&self) -> (Option<String>, Option<String>) {
        let boot = self.service.boot_override();
        let words =
            (boot.enabled != BootEnabled::Disabled).then(|| format!("{:?} {:?}", boot.target, boot.enabled));
        (self.service.medium().map(|medium| medium.url), words)
    }
}

fn certificate(rack: &Rack, server: &ServerSpec) -> Result<Certificate, Error> {
    let read = |name: &str| {
        let path = rack.bmc_directory(&server.name).join(name);
        std::fs::read_to_string(&path).map_err(|source| Error::Read { path, source })
    };
    Ok(Certificate { certificate_pem: read("certificate.pem")?, key_pem: read("key.pem")? })
}

fn source_of(source: BootSource) -> Source {
    match source {
        BootSource::Medium(medium) => Source::Medium { url: medium.url },
        BootSource::Disk => Source::Disk,
        BootSource::Network => Source::Network,
    }
}

/// The seam to the BMC.
struct Body(Machine);

#[async_trait]
impl virtual_bmc::Machine for Body {
    async fn power_state(&self) -> PowerState {
        if self.0.is_on() { PowerState::On } else { PowerState::Off }
    }

    async fn power_on(&self, boot: BootSource) -> Result<(), String> {
        self.0.power_on(source_of(boot)).await;
        Ok(())
    }

    async fn force_off(&self) -> Result<(), String> {
        self.0.cut().await;
        Ok(())
    }

    async fn graceful_shutdown(&self) -> Result<(), String> {
        self.0.shut_down();
        Ok(())
    }

    fn inventory(&self) -> MachineInventory {
        let server = &self.0.server;
        MachineInventory {
            manufacturer: "Ashlar".into(),
            model: "Ashlar Lab Server".into(),
            serial: server.serial.clone(),
            uuid: server.uuid.clone(),
            processor_model: "Virtual processor".into(),
            processors: 1,
            cores: server.cpus,
            memory_bytes: server.memory_mib << 20,
            bios_version: "1.0".into(),
            interfaces: vec![Interface { id: "NIC.1".into(), mac: server.mac.clone() }],
        }
    }
}
