//! Processors, memory, DMI and how the machine was booted.

use ashlar_model::inventory::{BootMode, Cpu, System};

use super::Machine;
use crate::cmd::Cmd;

pub(super) fn cpu(machine: &Machine) -> Cpu {
    let text = machine.text("proc/cpuinfo").unwrap_or_default();
    let values = |key: &'static str| {
        text.lines().filter_map(move |line| {
            let (name, value) = line.split_once(':')?;
            (name.trim() == key).then(|| value.trim().to_owned())
        })
    };
    let count = std::thread::available_parallelism().map_or(0, usize::from);
    Cpu {
        model: values("model name").next().unwrap_or_default(),
        architecture: std::env::consts::ARCH.to_owned(),
        count: u32::try_from(values("processor").count().max(count.min(1))).unwrap_or(u32::MAX),
        flags: values("flags").next().unwrap_or_default().split_whitespace().map(str::to_owned).collect(),
    }
}

/// `MemTotal`, which /proc/meminfo gives in KiB.
pub(super) fn memory_bytes(machine: &Machine) -> u64 {
    let text = machine.text("proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    total.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

pub(super) fn dmi(machine: &Machine) -> System {
    let text = |file: &str| machine.text(format!("sys/class/dmi/id/{file}")).unwrap_or_default();
    System {
        vendor: text("sys_vendor"),
        product: text("product_name"),
        serial: text("product_serial"),
        uuid: text("product_uuid").to_lowercase(),
    }
}

/// How the machine was started.
pub async fn boot_mode(machine: &Machine) -> BootMode {
    if Cmd::new("systemd-detect-virt").args(["--container", "--quiet"]).run().await.is_ok() {
        return BootMode::Container;
    }
    if !machine.path("sys/firmware/efi").exists() {
        return BootMode::Bios;
    }
    let variable = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
    // Four bytes of attributes, then the value.
    match std::fs::read(machine.path(variable)) {
        Ok(bytes) if bytes.last() == Some(&1) => BootMode::UefiSecureBoot,
        _ => BootMode::Uefi,
    }
}
