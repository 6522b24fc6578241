//! DHCP and DNS of the machine network (dnsmasq): every server has its reservation and its name.

use std::fmt::Write;
use std::path::Path;

use ashlar_host::cmd::Cmd;
use ashlar_host::netns;

use super::MACHINE_BRIDGE;
use crate::rack::{self, Rack};
use crate::spec::RackSpec;

/// Where `ashlar media serve` listens by default.
const MEDIA_PORT: u16 = 6184;

/// Writes the configuration and returns the command that serves it in the foreground.
///
/// # Errors
/// The configuration cannot be written.
pub fn server(rack: &Rack, spec: &RackSpec) -> Result<Cmd, rack::Error> {
    let directory = rack.network_directory();
    let file = directory.join("dnsmasq.conf");
    rack::write(&file, configuration(spec, &directory))?;
    rack::write(&resolv_conf(rack), format!("nameserver {}\n", spec.machine_network.administrator()))?;
    let dnsmasq = netns::enter(&rack.administrator_namespace(), "dnsmasq");
    Ok(dnsmasq.arg("--keep-in-foreground").arg(format!("--conf-file={}", file.display())))
}

/// Makes a program in the administrator's namespace use the rack's DNS.
#[must_use]
pub fn resolv_conf(rack: &Rack) -> std::path::PathBuf {
    rack.network_directory().join("resolv.conf")
}

fn configuration(spec: &RackSpec, directory: &Path) -> String {
    let administrator = spec.machine_network.administrator();
    let domain = &spec.domain;
    let mut text = format!(
        "user=root\nlog-facility=-\npid-file=\nno-resolv\nno-hosts\nno-poll\nbind-interfaces\n\
         interface={MACHINE_BRIDGE}\nexcept-interface=lo\n\
         domain={domain}\nlocal=/{domain}/\n\
         dhcp-authoritative\ndhcp-leasefile={}\ndhcp-range={},static,1h\n\
         dhcp-option=option:router,{administrator}\ndhcp-option=option:ntp-server,{administrator}\n\
         dhcp-option=option:dns-server,{administrator}\n\
         host-record=api.{domain},{api}\nhost-record=api-int.{domain},{api}\n\
         address=/apps.{domain}/{ingress}\n",
        directory.join("leases").display(),
        spec.machine_network.address(0),
        api = spec.api_address,
        ingress = spec.ingress_address,
    );
    text.push_str(&network_boot(administrator));
    for server in &spec.servers {
        let (name, address) = (&server.name, server.machine_address);
        writeln!(text, "host-record={name}.{domain},{address}").expect("writing to a string");
        writeln!(text, "dhcp-host={},{address},{name}", server.mac).expect("writing to a string");
    }
    text
}

/// What servers boot from when firmware asks the network: a folder of `ashlar create media --kind network` that
/// `ashlar media serve` serves in the administrator's namespace. iPXE is known by its option 175, UEFI HTTP boot by its
/// class.
fn network_boot(administrator: std::net::Ipv4Addr) -> String {
    let folder = format!("http://{administrator}:{MEDIA_PORT}");
    format!(
        "dhcp-match=set:ipxe,175\ndhcp-vendorclass=set:http,HTTPClient\n\
         dhcp-boot=tag:ipxe,{folder}/boot.ipxe\n\
         dhcp-option-force=tag:http,60,HTTPClient\ndhcp-boot=tag:http,{folder}/EFI/BOOT/BOOTX64.EFI\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_server_has_its_reservation() {
        let text = configuration(&RackSpec::standard("demo", 1, 0), Path::new("/rack"));
        assert!(text.contains("dhcp-host=52:54:00:a5:00:14,192.168.126.20,bootstrap\n"));
        assert!(text.contains("dhcp-boot=tag:ipxe,http://192.168.126.1:6184/boot.ipxe\n"));
        assert!(text.contains("host-record=api-int.lab.ashlar.test,192.168.126.100\n"));
    }
}
