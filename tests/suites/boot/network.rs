//! A server with an empty disk that boots from the network: iPXE with BIOS, HTTP boot with UEFI. It fetches the system,
//! installs itself as the medium's answers say and switches itself off; then its disk boots.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use ashlar_tests::process::{self, wait};
use ashlar_tests::rack::Rack;
use ashlar_tests::runner::Runner;

use super::{BOOT, WORKER, console, console_end};

const INSTALL: Duration = Duration::from_secs(20 * 60);
const LIMIT: Duration = Duration::from_secs(120);
const ANSWERS: &str = "disk: /dev/vda\nwipe: true\nthen: power-off\nignition:\n  ignition: {version: 3.4.0}\n  \
                       storage: {files: [{path: /etc/hostname, overwrite: true, contents: {source: 'data:,alone'}}]}\n";

pub fn facts(runner: &mut Runner, rack: &Rack) {
    let mut server = None;
    runner.foundation("a folder for network boot is made and served in the rack", || {
        let media = rack.directory.join("media");
        let answers = rack.directory.join("answers.yaml");
        std::fs::write(&answers, ANSWERS)?;
        let mut create = Command::new(rack.program());
        create.args(["create", "media", "--kind", "network", "--to"]).arg(&media);
        process::run(create.arg("--answers").arg(&answers), LIMIT)?;
        server = Some(serve(rack, &media.join("network"))?);
        Ok(())
    });
    runner.foundation("it boots from the network and shows what it fetches", || {
        rack.power(WORKER, "on")?;
        // Two lines of its form.
        shown(rack, "fetching the system from")?;
        shown(rack, "http://192.168.126.1:6184/rootfs.squashfs")
    });
    runner.foundation("it installs itself as the answers say, and switches itself off", || {
        shown(rack, "installing to /dev/vda as the medium")?;
        wait("the server to be off", INSTALL, || {
            let status = rack.status()?;
            let worker = status.iter().find(|server| server["name"] == WORKER).context("no such server")?;
            ensure!(worker["on"] == false, "it is on");
            Ok(())
        })
        .with_context(|| console_end(rack))
    });
    runner.fact(
        "its disk boots, its first boot did what the answers say, and its console says who it is",
        || {
            rack.power(WORKER, "on")?;
            shown(rack, "alone, node of no cluster yet")
        },
    );
    if let Some(mut server) = server
        && let Err(error) = process::kill_hard(&mut server)
    {
        println!("the server of media stays: {error}");
    }
}

fn serve(rack: &Rack, folder: &Path) -> anyhow::Result<Child> {
    let log = std::fs::File::create(rack.directory.join("serve.log")).context("making the log")?;
    let program = rack.program().to_str().context("a path in UTF-8")?;
    let folder = folder.to_str().context("a path in UTF-8")?;
    let mut command = rack.exec_command(&[program, "media", "serve", folder]);
    command.stdin(Stdio::null()).stderr(log).spawn().context("starting the server of media")
}

fn shown(rack: &Rack, text: &str) -> anyhow::Result<()> {
    let what = format!("the console to show `{text}`");
    let seen = wait(&what, BOOT, || {
        ensure!(console(rack)?.contains(text), "it does not");
        Ok(())
    });
    seen.with_context(|| console_end(rack))
}
