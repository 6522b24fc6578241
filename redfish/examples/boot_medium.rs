//! Boots a system once from a medium and cleans up after it: the calls of an install, for any BMC.
//!
//! `cargo run -p ashlar-redfish --example boot_medium -- ADDRESS USER IMAGE-URL [FINGERPRINT]`; the password is
//! read from `BMC_PASSWORD`. It powers the system off and on: not for a system in use.

use ashlar_redfish::client::{Bmc, BootTarget, Credentials, Endpoint, Timeouts, Trust};
use ashlar_redfish::power::{PowerState, ResetType};
use std::error::Error;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, user, url, pin @ ..] = arguments.as_slice() else {
        return Err("arguments: ADDRESS USER IMAGE-URL [FINGERPRINT]".into());
    };
    let trust = match pin.first() {
        Some(pin) => Trust::Fingerprint(pin.parse()?),
        None => Trust::Insecure,
    };
    let credentials = Credentials::new(user, std::env::var("BMC_PASSWORD")?);
    let bmc = Bmc::connect(&Endpoint::parse(address)?, &credentials, trust, Timeouts::default()).await?;
    println!("{:?}\n{:#?}\n{:?}", bmc.identity(), bmc.system().await?, bmc.ethernet_interfaces().await?);
    let done = boot(&bmc, url).await;
    bmc.close().await?;
    Ok(done?)
}

async fn boot(bmc: &Bmc, url: &str) -> Result<(), ashlar_redfish::client::Error> {
    bmc.power_off(LIMIT).await?;
    bmc.insert(url).await?;
    println!("{:?}", bmc.media().await?);
    bmc.set_boot_once(BootTarget::Cd).await?;
    println!("{:?}", bmc.boot_state().await?);
    bmc.reset(ResetType::On).await?;
    bmc.wait_for_power(PowerState::On, LIMIT).await?;
    bmc.power_off(LIMIT).await?;
    bmc.clear_boot_override().await?;
    bmc.eject().await?;
    println!("{:?}", bmc.media().await?);
    Ok(())
}
