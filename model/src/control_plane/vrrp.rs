//! keepalived's configuration: who holds the API address.

use std::net::Ipv4Addr;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VrrpSettings {
    pub host: String,
    pub interface: String,
    pub address: Ipv4Addr,
    /// Addresses of all members, this one included.
    pub peers: Vec<Ipv4Addr>,
    pub virtual_address: Ipv4Addr,
    pub prefix: u8,
    pub router_id: u8,
    /// 1 to 254; the bootstrap has 200 until a master serves, masters 100 downwards.
    pub priority: u8,
}

/// Unicast VRRP with a check of the local API server each second: a machine whose API server does not answer
/// gives the address up.
pub fn keepalived_conf(settings: &VrrpSettings) -> String {
    let peers: String = settings
        .peers
        .iter()
        .filter(|peer| **peer != settings.address)
        .map(|peer| format!("        {peer}\n"))
        .collect();
    format!(
        "# Written by ashlar; changes are overwritten.
global_defs {{
    router_id {host}
    enable_script_security
    script_user root
    vrrp_garp_master_refresh 10
}}
vrrp_script api_server {{
    script \"/usr/bin/curl --silent --fail --max-time 2 --output /dev/null --cacert /etc/kubernetes/pki/ca.crt https://127.0.0.1:6443/readyz\"
    interval 1
    timeout 3
    fall 2
    rise 1
}}
vrrp_instance api {{
    state BACKUP
    interface {interface}
    virtual_router_id {router_id}
    priority {priority}
    advert_int 1
    unicast_src_ip {address}
    unicast_peer {{
{peers}    }}
    virtual_ipaddress {{
        {vip}/{prefix} dev {interface}
    }}
    track_script {{
        api_server
    }}
}}
",
        host = settings.host,
        interface = settings.interface,
        router_id = settings.router_id,
        priority = settings.priority,
        address = settings.address,
        vip = settings.virtual_address,
        prefix = settings.prefix,
    )
}
