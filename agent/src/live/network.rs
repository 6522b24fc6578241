//! The network of the live system: the host's own keyfiles, then a wait for the first address.

use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use ashlar_host::cmd::Cmd;
use ashlar_host::inventory::interfaces;
use ashlar_model::inventory::Interface;

use crate::console::Console;
use crate::durable;
use crate::failure::Failure;

const KEYFILES: &str = "/etc/NetworkManager/system-connections";
/// A person is told why after this.
const PATIENCE: Duration = Duration::from_secs(20);

pub async fn write_keyfiles(keyfiles: &[(String, String)]) -> anyhow::Result<()> {
    let mut changed = false;
    for (name, contents) in keyfiles {
        let name = Path::new(name).file_name().ok_or_else(|| anyhow::anyhow!("`{name}` is no file name"))?;
        changed |= durable::write_if_changed(&Path::new(KEYFILES).join(name), contents.as_bytes(), 0o600)?;
    }
    if changed {
        Cmd::new("nmcli").args(["connection", "reload"]).run().await?;
        for (name, _) in keyfiles {
            let path = Path::new(KEYFILES).join(name);
            let load = Cmd::new("nmcli").args(["--wait", "0", "connection", "up", "filename"]).arg(path);
            if let Err(error) = load.run().await {
                tracing::warn!(%error, "NetworkManager brings it up by itself later");
            }
        }
    }
    Ok(())
}

/// Returns as soon as any interface has a global address.
pub async fn wait_for_address(console: &Console) -> Vec<IpAddr> {
    let started = Instant::now();
    let mut pause = Duration::from_millis(100);
    loop {
        let interfaces = interfaces::with_stacked().await;
        let addresses: Vec<IpAddr> = interfaces.iter().flat_map(|one| one.addresses.clone()).collect();
        if !addresses.is_empty() {
            console.works_again();
            return addresses;
        }
        console.doing("waiting for a network address");
        if started.elapsed() > PATIENCE {
            console.failed(explain(&interfaces));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}

fn explain(interfaces: &[Interface]) -> Failure {
    let with_link: Vec<&str> =
        interfaces.iter().filter(|one| one.link).map(|one| one.name.as_str()).collect();
    if with_link.is_empty() {
        let names: Vec<&str> = interfaces.iter().map(|one| one.name.as_str()).collect();
        let cause = format!("no network interface has a link ({})", names.join(", "));
        return Failure::new("network", cause).hint("check cables and switch ports");
    }
    Failure::new("network", format!("no address on {}", with_link.join(", ")))
        .hint("check the DHCP server and the port's VLAN, or press n on this console to set an address")
}
