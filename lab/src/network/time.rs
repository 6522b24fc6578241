//! NTP of the machine network (chronyd, which never touches this computer's clock).

use ashlar_host::cmd::Cmd;
use ashlar_host::netns;

use crate::rack::{self, Rack};
use crate::spec::RackSpec;

/// Writes the configuration and returns the command that serves it in the foreground.
///
/// # Errors
/// The configuration cannot be written.
pub fn server(rack: &Rack, spec: &RackSpec) -> Result<Cmd, rack::Error> {
    let directory = rack.network_directory();
    let file = directory.join("chrony.conf");
    let configuration = format!(
        "local stratum 10\nallow all\nbindaddress {}\ncmdport 0\nbindcmdaddress /\npidfile {}\n",
        spec.machine_network.administrator(),
        directory.join("chronyd.pid").display(),
    );
    rack::write(&file, configuration)?;
    let chronyd = netns::enter(&rack.administrator_namespace(), "chronyd");
    Ok(chronyd.args(["-x", "-d", "-u", "root", "-f"]).arg(file))
}
