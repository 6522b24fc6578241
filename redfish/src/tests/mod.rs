//! The client against the virtual BMC: in one process, over real TLS on loopback.

mod conversation;
mod faults;
mod installs;
mod media;
mod power;

use crate::client::{Bmc, Credentials, Endpoint, Error, Timeouts, Trust};
use crate::fingerprint::Fingerprint;
use crate::power::PowerState;
use crate::virtual_bmc::{
    BootSource, Certificate, Config, Interface, Machine, MachineInventory, Personality, VirtualBmc, app,
    serve,
};
use async_trait::async_trait;
use axum::Router;
use axum::routing::get;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

pub(crate) const LIMIT: Duration = Duration::from_secs(10);

/// A server whose body is a few variables.
pub(crate) struct Body {
    power: Mutex<PowerState>,
    pub(crate) boots: Mutex<Vec<BootSource>>,
    /// The next power-on fails.
    pub(crate) broken: Mutex<bool>,
    /// A graceful shutdown ends only when this has a permit.
    pub(crate) shutdown: tokio::sync::Semaphore,
}

impl Body {
    fn set(&self, power: PowerState) {
        *self.power.lock().unwrap() = power;
    }
}

#[async_trait]
impl Machine for Body {
    async fn power_state(&self) -> PowerState {
        *self.power.lock().unwrap()
    }

    async fn power_on(&self, boot: BootSource) -> Result<(), String> {
        if std::mem::take(&mut *self.broken.lock().unwrap()) {
            return Err("no fuse".into());
        }
        self.boots.lock().unwrap().push(boot);
        self.set(PowerState::On);
        Ok(())
    }

    async fn force_off(&self) -> Result<(), String> {
        self.set(PowerState::Off);
        Ok(())
    }

    async fn graceful_shutdown(&self) -> Result<(), String> {
        self.set(PowerState::PoweringOff);
        self.shutdown.acquire().await.map_err(|error| error.to_string())?.forget();
        self.set(PowerState::Off);
        Ok(())
    }

    fn inventory(&self) -> MachineInventory {
        MachineInventory {
            manufacturer: "Ashlar".into(),
            model: "Lab".into(),
            serial: "LAB-1".into(),
            uuid: "8f6dbb8e-1b7c-4f6e-9a53-6c9a5a3f0001".into(),
            processor_model: "Virtual".into(),
            processors: 1,
            cores: 2,
            memory_bytes: 4 << 30,
            bios_version: "1.0".into(),
            interfaces: vec![Interface { id: "NIC.1".into(), mac: "52:54:00:00:00:01".into() }],
        }
    }
}

/// A machine, its BMC on a port of its own, and an image server.
pub(crate) struct Bench {
    pub(crate) bmc: Arc<VirtualBmc>,
    pub(crate) machine: Arc<Body>,
    pub(crate) address: SocketAddr,
    pub(crate) certificate: Certificate,
    pub(crate) images: String,
    _stop: DropGuard,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        Self::with(config()).await
    }

    pub(crate) async fn of(personality: Personality) -> Self {
        Self::with(Config { personality, ..config() }).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        let machine = Arc::new(Body {
            power: Mutex::new(PowerState::Off),
            boots: Mutex::default(),
            broken: Mutex::default(),
            shutdown: tokio::sync::Semaphore::new(0),
        });
        let bmc = VirtualBmc::new(config, machine.clone()).unwrap();
        let stop = CancellationToken::new();
        let certificate = Certificate::self_signed(&["127.0.0.1".to_owned()]).unwrap();
        let address = listen(app(bmc.clone()), &certificate, &stop).await;
        let images =
            listen(Router::new().route("/images/a.iso", get(|| async { "iso" })), &certificate, &stop);
        let images = format!("https://{}/images", images.await);
        Self { bmc, machine, address, certificate, images, _stop: stop.drop_guard() }
    }

    pub(crate) fn image(&self) -> String {
        format!("{}/a.iso", self.images)
    }

    pub(crate) fn pin(&self) -> Fingerprint {
        self.certificate.fingerprint().unwrap()
    }

    pub(crate) async fn connect(&self) -> Bmc {
        self.connect_as("s3cret", Trust::Fingerprint(self.pin())).await.unwrap()
    }

    /// With a limit of its own on how long changes may take to show.
    pub(crate) async fn connect_patiently(&self, settle: Duration) -> Bmc {
        let endpoint = Endpoint::parse(&format!("redfish://{}", self.address)).unwrap();
        let timeouts = Timeouts { settle, ..timeouts() };
        let trust = Trust::Fingerprint(self.pin());
        Bmc::connect(&endpoint, &Credentials::new("admin", "s3cret"), trust, timeouts).await.unwrap()
    }

    pub(crate) async fn connect_as(&self, password: &str, trust: Trust) -> Result<Bmc, Error> {
        let endpoint = Endpoint::parse(&format!("redfish-virtualmedia://{}", self.address)).unwrap();
        Bmc::connect(&endpoint, &Credentials::new("admin", password), trust, timeouts()).await
    }

    pub(crate) fn last_boot(&self) -> Option<BootSource> {
        self.machine.boots.lock().unwrap().last().cloned()
    }
}

pub(crate) fn config() -> Config {
    Config::new("admin", "s3cret")
}

pub(crate) fn timeouts() -> Timeouts {
    Timeouts {
        connect: Duration::from_secs(5),
        request: LIMIT,
        attempts: 3,
        pause: Duration::from_millis(1),
        longest_pause: Duration::from_millis(10),
        poll: Duration::from_millis(2),
        settle: Duration::from_secs(5),
        task: LIMIT,
    }
}

async fn listen(router: Router, certificate: &Certificate, stop: &CancellationToken) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (certificate, stop) = (certificate.clone(), stop.clone());
    tokio::spawn(async move { serve(listener, &certificate, router, stop).await });
    address
}
