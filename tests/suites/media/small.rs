//! What fetches its root file system: the minimal medium and the folder for network boot.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use ashlar_tests::process;
use ashlar_tests::rack::program;
use ashlar_tests::runner::Runner;

use crate::command::{LIMIT, digest, flip, refused, release, succeeds, text};
use crate::fetch;

const LARGEST: u64 = 150 << 20;
const SOURCE: &str = "http://192.0.2.1:6184/";
const STATE: &str = "interfaces:\n- name: eno1\n  type: ethernet\n  state: up\n  ipv4: {enabled: true, dhcp: false, \
                     address: [{ip: 192.0.2.9, prefix-length: 24}]}\n";
const AUTHORITY: &str = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
const ANSWERS: &str =
    "disk: /dev/disk/by-id/virtio-A\nwipe: true\nthen: reboot\nignition: {ignition: {version: 3.4.0}}\n";

pub fn facts(runner: &mut Runner, folder: &Path) {
    let made = folder.join("made");
    let minimal = made.join("ashlar-minimal.iso");
    runner.foundation("the small media of the release are made", || {
        let mut create = Command::new(program()?);
        create.args(["create", "media", "--kind", "minimal,network", "--to", text(&made)?]);
        let said = process::run(&mut create, LIMIT)?;
        ensure!(said.lines().count() == 3 && said.contains("network"), "said: {said}");
        Ok(())
    });
    runner.fact("the minimal medium has at most 150 MiB", || {
        let size = std::fs::metadata(&minimal)?.len();
        println!("minimal medium: {} MiB", size >> 20);
        ensure!(size <= LARGEST, "it has {size} bytes");
        Ok(())
    });
    runner.fact("the minimal medium takes settings of every kind, and is still the release's", || {
        customized(folder, &minimal)
    });
    runner.fact("the network folder takes settings of every kind, and is still the release's", || {
        customized(folder, &made.join("network"))
    });
    runner.fact("the network folder's scripts say what was asked for", || {
        let script = std::fs::read_to_string(made.join("network/boot.ipxe"))?;
        ensure!(script.contains("nomodeset") && script.contains(&format!("set source {SOURCE}")), "{script}");
        let script = std::fs::read_to_string(made.join("network/grub/grub.cfg"))?;
        ensure!(script.contains("nomodeset") && script.contains(SOURCE), "{script}");
        Ok(())
    });
    runner.fact("a reset minimal medium is the release's, byte for byte", || {
        succeeds(&["reset", text(&minimal)?])?;
        let original = release()?.join("ashlar-minimal.iso");
        ensure!(sum(&digest(&minimal)?) == sum(&digest(&original)?), "it differs");
        Ok(())
    });
    runner.fact("one changed bit in a file of the network folder is found, and the file named", || {
        let network = made.join("network");
        for (file, at) in [("initrd.img", 9 << 20), ("rootfs.squashfs", 99 << 20)] {
            flip(&network.join(file), at)?;
            let said = refused(&["verify", text(&network)?]);
            flip(&network.join(file), at)?;
            let said = said?;
            ensure!(said.contains(&format!("{file}:")), "said: {said}");
        }
        Ok(())
    });
    runner.fact("what is no URL, no certificate or no answer is refused, and nothing is changed", || {
        let before = digest(&minimal)?;
        let bad = folder.join("bad");
        std::fs::write(&bad, "disk: sda\nignition: {}\n")?;
        for (option, value) in
            [("--source", "ftp://a/"), ("--ca-bundle", text(&bad)?), ("--answers", text(&bad)?)]
        {
            let said = refused(&["customize", text(&minimal)?, option, value])?;
            ensure!(said.contains("error"), "said: {said}");
        }
        ensure!(digest(&minimal)? == before, "the medium changed");
        Ok(())
    });
    fetch::facts(runner, &made);
}

fn customized(folder: &Path, medium: &Path) -> anyhow::Result<()> {
    let file = |name: &str, text: &str| -> anyhow::Result<String> {
        let path = folder.join(name);
        std::fs::write(&path, text)?;
        Ok(path.to_str().context("a path in UTF-8")?.to_owned())
    };
    let (state, authority) = (file("state.yaml", STATE)?, file("ca.pem", AUTHORITY)?);
    let answers = file("answers.yaml", ANSWERS)?;
    let change = ["customize", text(medium)?, "--kernel-argument", "nomodeset", "--network-nmstate", &state];
    let more = ["--ca-bundle", &authority, "--answers", &answers, "--source", SOURCE];
    succeeds(&[&change[..], &more[..]].concat())?;
    let found: serde_json::Value =
        serde_json::from_str(&succeeds(&["inspect", text(medium)?, "--output", "json"])?)?;
    let view = &found["hostView"];
    ensure!(found["kernelArguments"][0] == "nomodeset", "{found}");
    ensure!(view["networkKeyfiles"][0] == "eno1.nmconnection" && view["sources"][0] == SOURCE, "{found}");
    ensure!(view["caBundle"] == 1 && view["answers"]["disk"] == "/dev/disk/by-id/virtio-A", "{found}");
    succeeds(&["verify", text(medium)?]).map(drop)
}

fn sum(line: &str) -> String {
    line.split_whitespace().next().unwrap_or_default().to_owned()
}
