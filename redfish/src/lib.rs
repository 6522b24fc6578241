//! Redfish: a client that drives the BMCs of real servers, and a virtual BMC that is a real Redfish service.
//!
//! ```no_run
//! use ashlar_redfish::client::{Bmc, BootTarget, Credentials, Endpoint, Timeouts, Trust};
//! use ashlar_redfish::power::{PowerState, ResetType};
//! # async fn install() -> Result<(), ashlar_redfish::client::Error> {
//! let endpoint = Endpoint::parse("idrac-virtualmedia://10.0.0.1/redfish/v1/Systems/System.Embedded.1")?;
//! let credentials = Credentials::new("root", "calvin");
//! let trust = Trust::Fingerprint("3f:…".parse()?);
//! let bmc = Bmc::connect(&endpoint, &credentials, trust, Timeouts::default()).await?;
//! bmc.power_off(std::time::Duration::from_secs(60)).await?;
//! bmc.insert("http://10.0.0.9:6180/media/q7/ashlar.iso").await?;
//! bmc.set_boot_once(BootTarget::Cd).await?;
//! bmc.reset(ResetType::On).await?;
//! bmc.wait_for_power(PowerState::On, std::time::Duration::from_secs(60)).await?;
//! bmc.close().await
//! # }
//! ```
//!
//! - [`client`]: [`client::Bmc`] and what it needs. `eject` takes the medium out, `media` says what is in,
//!   `clear_boot_override` goes back to the normal order.
//! - [`quirks`]: every vendor deviation as a named question. Nothing else in the project names a vendor.
//! - [`virtual_bmc`]: `app(bmc) -> Router` and `serve`; the machine behind it is the
//!   [`virtual_bmc::Machine`] seam.
//!
//! The published `redfish` crate (0.3) is not used: its typed resources cannot be had without its own HTTP
//! stack, which offers neither a certificate verifier of ours (pinning) nor `If-Match` per request.
//! What would remain of it are a dozen optional-field structs, and those are the smaller part of this client.

pub mod client;
pub mod fingerprint;
pub mod power;
pub mod quirks;
pub mod virtual_bmc;

#[cfg(test)]
mod tests;
