//! What a system is made of, as far as its BMC tells. Every field may be missing.

use super::Error;
use super::bmc::{Bmc, link, links, text};
use super::boot::BootState;
use super::power::power_state;
use crate::power::PowerState;
use serde_json::Value;

#[derive(Debug, Clone)]
pub struct System {
    pub manufacturer: Option<String>,
    pub model: Option<String>,
    /// On Dell this is the mainboard's; the service tag is `sku`.
    pub serial: Option<String>,
    pub sku: Option<String>,
    pub uuid: Option<String>,
    pub bios_version: Option<String>,
    pub power: PowerState,
    pub processors: Processors,
    pub memory_gib: Option<f64>,
    pub boot: BootState,
}

#[derive(Debug, Clone, Default)]
pub struct Processors {
    pub count: Option<u64>,
    pub cores: Option<u64>,
    pub threads: Option<u64>,
    pub model: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EthernetInterface {
    pub id: String,
    /// Lower case with colons.
    pub mac: String,
    pub link_up: Option<bool>,
}

/// The host's end of the wire to its own BMC.
const HOST_TO_BMC: &str = "ToManager";

impl Bmc {
    pub async fn system(&self) -> Result<System, Error> {
        Ok(system(&self.read_system().await?))
    }

    /// Interfaces with a usable MAC address, without the one between host and BMC.
    pub async fn ethernet_interfaces(&self) -> Result<Vec<EthernetInterface>, Error> {
        let system = self.read_system().await?;
        let Some(collection) = link(&system, "EthernetInterfaces") else { return Ok(vec![]) };
        let members = links(self.connection.read(collection).await?.get("Members"));
        let mut interfaces = vec![];
        for path in members {
            interfaces.extend(interface(&self.connection.read(&path).await?));
        }
        Ok(interfaces)
    }
}

fn system(value: &Value) -> System {
    let cpu = value.get("ProcessorSummary").unwrap_or(&Value::Null);
    let number = |name: &str| cpu.get(name).and_then(Value::as_u64);
    System {
        manufacturer: text(value, "Manufacturer"),
        model: text(value, "Model"),
        serial: text(value, "SerialNumber"),
        sku: text(value, "SKU"),
        uuid: text(value, "UUID"),
        bios_version: text(value, "BiosVersion"),
        power: power_state(value),
        processors: Processors {
            count: number("Count"),
            cores: number("CoreCount"),
            threads: number("LogicalProcessorCount"),
            model: text(cpu, "Model"),
        },
        memory_gib: value.pointer("/MemorySummary/TotalSystemMemoryGiB").and_then(Value::as_f64),
        boot: BootState::of(value),
    }
}

fn interface(value: &Value) -> Option<EthernetInterface> {
    let id = text(value, "Id")?;
    let mac =
        text(value, "PermanentMACAddress").filter(|mac| is_mac(mac)).or_else(|| text(value, "MACAddress"))?;
    if id == HOST_TO_BMC || !is_mac(&mac) {
        return None;
    }
    let link_up = text(value, "LinkStatus").map(|status| status == "LinkUp");
    Some(EthernetInterface { id, mac: mac.to_ascii_lowercase().replace('-', ":"), link_up })
}

fn is_mac(text: &str) -> bool {
    let bytes: Vec<&str> = text.split([':', '-']).collect();
    bytes.len() == 6
        && bytes.iter().all(|byte| byte.len() == 2 && u8::from_str_radix(byte, 16).is_ok())
        && bytes.iter().any(|byte| *byte != "00")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn odd_values_of_real_bmcs_are_read_or_left_out() {
        let value = json!({"SerialNumber": "", "PowerState": null,
            "ProcessorSummary": {"Count": 2, "Model": "  AMD EPYC 7713  "}, "Boot": {"BootSourceOverrideTarget": ""}});
        let read = system(&value);
        assert_eq!((read.serial, read.power), (None, PowerState::Unknown));
        assert_eq!(read.processors.model.as_deref(), Some("AMD EPYC 7713"));
        assert_eq!(interface(&json!({"Id": "ToManager", "MACAddress": "02:00:00:00:00:01"})), None);
        assert_eq!(interface(&json!({"Id": "1", "MACAddress": ""})), None);
        let nic =
            interface(&json!({"Id": "1", "PermanentMACAddress": "", "MACAddress": "AA-BB-CC-00-11-22"}));
        assert_eq!(nic.unwrap().mac, "aa:bb:cc:00:11:22");
    }
}
