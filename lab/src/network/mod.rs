//! The rack's networks. They have no route out: nothing in a rack can reach anything outside it.
//!
//! ```text
//! ashlar-R (administrator)            ashlar-R-bmc              ashlar-R-<server>
//!   br-machine .126.1 ─ port0 ─────────────────────────────────── eth0 (DHCP)
//!                     ─ port1 …
//!                     ─ port2 (tap) ─ a server in QEMU
//!   bmc0       .127.1 ──────────────── bmc0 .127.11, .12 …
//! ```

pub mod names;
pub mod time;

use ashlar_host::netns;

use crate::rack::Rack;
use crate::spec::{Driver, RackSpec, ServerSpec};

pub const MACHINE_BRIDGE: &str = "br-machine";

/// Makes the namespaces and the links between them.
///
/// # Errors
/// A namespace of this name exists, or the kernel refuses a link.
pub async fn up(rack: &Rack, spec: &RackSpec) -> Result<(), netns::Error> {
    for namespace in rack.namespaces(spec) {
        netns::add(&namespace).await?;
    }
    netns::batch(&rack.administrator_namespace(), &administrator_links(rack, spec)).await?;
    netns::batch(&rack.bmc_namespace(), &bmc_links(spec)).await?;
    for server in spec.servers.iter().filter(|server| server.driver == Driver::Container) {
        let up = ["link set eth0 up".to_owned()];
        netns::batch(&rack.machine_namespace(&server.name), &up).await?;
    }
    Ok(())
}

/// Plugs a server's cable into the machine network's switch, or pulls it out.
///
/// # Errors
/// The rack has no such server, or its networks are gone.
pub async fn cable(rack: &Rack, spec: &RackSpec, server: &str, plugged: bool) -> Result<(), netns::Error> {
    let number = spec.servers.iter().position(|known| known.name == server).unwrap_or(spec.servers.len());
    let state = if plugged { "up" } else { "down" };
    netns::ip(&rack.administrator_namespace(), &format!("link set {} {state}", port(number))).await
}

/// Removes every namespace of the rack, by name.
///
/// # Errors
/// A namespace cannot be removed.
pub async fn down(rack: &Rack, spec: &RackSpec) -> Result<(), netns::Error> {
    let existing = netns::list()?;
    for namespace in rack.namespaces(spec) {
        if existing.contains(&namespace) {
            netns::delete(&namespace).await?;
        }
    }
    netns::forget_empty_directory()
}

fn administrator_links(rack: &Rack, spec: &RackSpec) -> Vec<String> {
    let mut commands = vec![
        format!("link add {MACHINE_BRIDGE} type bridge forward_delay 0 mcast_snooping 0"),
        format!("address add {}/24 dev {MACHINE_BRIDGE}", spec.machine_network.administrator()),
        format!("link set {MACHINE_BRIDGE} up"),
        format!("link add bmc0 type veth peer name bmc0 netns {}", rack.bmc_namespace()),
        format!("address add {}/24 dev bmc0", spec.bmc_network.administrator()),
        "link set bmc0 up".to_owned(),
    ];
    for (number, server) in spec.servers.iter().enumerate() {
        commands.push(cable_of(rack, server, &port(number)));
        commands.push(format!("link set {} master {MACHINE_BRIDGE} up", port(number)));
    }
    commands
}

/// The end of a server's cable in the switch.
#[must_use]
pub fn port(server: usize) -> String {
    format!("port{server}")
}

/// A container gets the other end as its interface; QEMU opens the switch's end.
fn cable_of(rack: &Rack, server: &ServerSpec, port: &str) -> String {
    match server.driver {
        Driver::Container => {
            let namespace = rack.machine_namespace(&server.name);
            format!("link add {port} type veth peer name eth0 address {} netns {namespace}", server.mac)
        }
        Driver::Qemu(_) => format!("tuntap add {port} mode tap"),
    }
}

fn bmc_links(spec: &RackSpec) -> Vec<String> {
    let addresses =
        spec.servers.iter().map(|server| format!("address add {}/24 dev bmc0", server.bmc_address));
    addresses.chain(["link set bmc0 up".to_owned()]).collect()
}
