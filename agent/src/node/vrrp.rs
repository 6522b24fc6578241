//! Takes part in VRRP for the API address, with keepalived.

use std::path::Path;

use anyhow::Context;
use ashlar_host::cmd::Cmd;
use ashlar_host::inventory::{Machine, interfaces};
use ashlar_model::bootstrap_api::NodeOrder;
use ashlar_model::control_plane::{VrrpSettings, keepalived_conf};
use ashlar_model::node::NodeFile;

use crate::durable;

const CONFIG: &str = "/etc/keepalived/keepalived.conf";
const UNIT: &str = "keepalived.service";
const FIRST_PRIORITY: u8 = 100;

pub async fn apply(node: &NodeFile, order: &NodeOrder) -> anyhow::Result<()> {
    if order.vrrp_peers.is_empty() {
        return Ok(());
    }
    let interfaces = interfaces::read(&Machine::default()).await;
    let interface = interfaces.into_iter().find(|one| one.addresses.contains(&node.address.into()));
    let interface = interface.with_context(|| format!("no interface has the address {}", node.address))?;
    let config = keepalived_conf(&settings(node, order, interface.name));
    if durable::write_if_changed(Path::new(CONFIG), config.as_bytes(), 0o644)? {
        Cmd::new("systemctl").args(["reload-or-restart", UNIT]).run().await?;
    } else {
        Cmd::new("systemctl").args(["start", UNIT]).run().await?;
    }
    Ok(())
}

fn settings(node: &NodeFile, order: &NodeOrder, interface: String) -> VrrpSettings {
    VrrpSettings {
        host: node.host.clone(),
        interface,
        address: node.address,
        peers: order.vrrp_peers.clone(),
        virtual_address: node.cluster.api_vip,
        // A host route: taking the address away never takes the network's route with it.
        prefix: 32,
        router_id: node.cluster.virtual_router_id(),
        priority: priority(node, order),
    }
}

/// All peers compute the same ranking, so no two have the same priority.
fn priority(node: &NodeFile, order: &NodeOrder) -> u8 {
    let before = order.vrrp_peers.iter().filter(|peer| **peer < node.address).count();
    FIRST_PRIORITY.saturating_sub(u8::try_from(before).unwrap_or(u8::MAX)).max(1)
}
