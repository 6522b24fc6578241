//! Under which of its addresses this computer can be reached from a network: asked of the kernel's routes, without
//! sending anything.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use crate::failure::Failure;

/// Media for BMCs, plain HTTP.
pub const MEDIA_PORT: u16 = 6180;
/// Agent API and media, HTTPS.
pub const AGENT_PORT: u16 = 6183;

/// The local address from which `target` is reached.
///
/// # Errors
/// There is no route.
pub fn towards(target: IpAddr) -> Result<IpAddr, Failure> {
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let ask = || -> std::io::Result<IpAddr> {
        let socket = UdpSocket::bind(any)?;
        // The port does not matter: a UDP connect only looks up the route.
        socket.connect((target, 9))?;
        Ok(socket.local_addr()?.ip())
    };
    ask().map_err(|error| {
        Failure::user(format!("this computer has no route to {target}"))
            .because(error)
            .hint("run the command on a computer in the machine and BMC networks, or give --serve-address")
    })
}

/// Address of a BMC, looked up when it is a name.
///
/// # Errors
/// The name has no address.
pub async fn resolve(host: &str) -> Result<IpAddr, Failure> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse() {
        return Ok(address);
    }
    let found = tokio::net::lookup_host((bare, 443)).await;
    let failed = || Failure::environment(format!("looking up the address of the BMC {bare}"));
    match found {
        Ok(mut all) => all.next().map(|address| address.ip()).ok_or_else(failed),
        Err(error) => Err(failed().because(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_to_ourselves_is_the_loopback_address() {
        assert_eq!(towards([127, 0, 0, 1].into()).expect("a route"), IpAddr::from([127, 0, 0, 1]));
    }
}
