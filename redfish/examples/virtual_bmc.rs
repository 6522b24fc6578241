//! A virtual BMC in front of a machine that is only switched on and off: something to point Redfish tools at.
//!
//! `cargo run -p ashlar-redfish --example virtual_bmc -- 127.0.0.1:8443 [personality]`; user `admin`, password
//! `s3cret`. The certificate is printed, and the service ends with standard input.

use ashlar_redfish::power::PowerState;
use ashlar_redfish::virtual_bmc::{
    BootSource, Certificate, Config, Interface, Machine, MachineInventory, Personality, VirtualBmc, app,
    serve,
};
use async_trait::async_trait;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:8443".into());
    let personality = arguments.next().unwrap_or_else(|| "standard".into());
    let personality: Personality = serde_json::from_value(personality.into())?;
    let config = Config { personality, ..Config::new("admin", "s3cret") };
    let bmc = VirtualBmc::new(config, Arc::new(Switch::default()))?;
    let certificate = Certificate::self_signed(&["127.0.0.1".to_owned(), "localhost".to_owned()])?;
    let listener = tokio::net::TcpListener::bind(&address).await?;
    print!("{}", certificate.certificate_pem);
    eprintln!("https://{address} fingerprint {}", certificate.fingerprint()?);
    let stop = CancellationToken::new();
    let service = serve(listener, &certificate, app(bmc), stop.clone());
    let input = async {
        tokio::io::copy(&mut tokio::io::stdin(), &mut tokio::io::sink()).await.ok();
        stop.cancel();
    };
    let (served, ()) = tokio::join!(service, input);
    Ok(served?)
}

#[derive(Default)]
struct Switch(AtomicBool);

#[async_trait]
impl Machine for Switch {
    async fn power_state(&self) -> PowerState {
        if self.0.load(Ordering::SeqCst) { PowerState::On } else { PowerState::Off }
    }

    async fn power_on(&self, boot: BootSource) -> Result<(), String> {
        eprintln!("on, from {boot:?}");
        self.0.store(true, Ordering::SeqCst);
        Ok(())
    }

    async fn force_off(&self) -> Result<(), String> {
        self.0.store(false, Ordering::SeqCst);
        Ok(())
    }

    async fn graceful_shutdown(&self) -> Result<(), String> {
        self.force_off().await
    }

    fn inventory(&self) -> MachineInventory {
        MachineInventory {
            manufacturer: "Ashlar".into(),
            model: "Switch".into(),
            serial: "SW-1".into(),
            uuid: "8f6dbb8e-1b7c-4f6e-9a53-6c9a5a3f0001".into(),
            processor_model: "None".into(),
            processors: 1,
            cores: 1,
            memory_bytes: 1 << 30,
            bios_version: "1.0".into(),
            interfaces: vec![Interface { id: "NIC.1".into(), mac: "52:54:00:00:00:01".into() }],
        }
    }
}
