//! A live system that has no engine: it does what the medium's answers say, or tells what it lacks.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use ashlar_host::inventory::{self, Machine};
use ashlar_host::systemd;
use ashlar_model::agent_api::{Answers, HostView, InstallTask, Progress, Then};
use ashlar_model::inventory::Disk;
use ashlar_model::keys::KeyPair;
use ashlar_model::slot::SlotSecret;

use super::MEDIUM;
use crate::console::Console;
use crate::disk::{Report, install};
use crate::failure::Failure;

/// What failed may be put right: a disk that somebody pulls or frees.
const AGAIN: Duration = Duration::from_secs(15);

/// Never returns, but for a machine that switches itself off.
pub async fn run(view: &HostView, identity: &KeyPair, console: &Arc<Console>) -> anyhow::Result<()> {
    let Some(answers) = &view.answers else {
        console.doing("waiting: this medium names no engine and holds no answers");
        console.failed(Failure::new("medium", "nobody said what is to be installed here").hint(
            "boot the medium that `ashlar create cluster` serves, or give this one answers: \
             `ashlar media customize --answers`",
        ));
        return std::future::pending().await;
    };
    console.doing(format!("installing to {} as the medium's answers say", answers.disk));
    while let Err(failure) = install_as(answers, view, identity, console).await {
        tracing::error!(?failure, "the install failed");
        console.failed(failure);
        tokio::time::sleep(AGAIN).await;
    }
    console.works_again();
    let ended = match answers.then {
        Then::PowerOff => {
            console.doing("installed; switching off");
            systemd::power_off().await
        }
        Then::Reboot => {
            console.doing("installed; starting from the disk");
            systemd::reboot().await
        }
    };
    ended.context("after the install")?;
    std::future::pending().await
}

async fn install_as(
    answers: &Answers,
    view: &HostView,
    identity: &KeyPair,
    console: &Arc<Console>,
) -> Result<(), Failure> {
    let machine = Machine::default();
    let disks = inventory::read().await.disks;
    let disk = find(disks.clone(), &answers.disk)?;
    let old_systems: Vec<_> = disks
        .into_iter()
        .filter(|other| other.has_system && other.name != disk.name)
        .map(|other| (other.name, other.serial, other.size_bytes))
        .collect();
    if let Some((other, ..)) = old_systems.first()
        && !answers.wipe
    {
        let cause = format!("{other} holds an Ashlar system, which this machine could boot instead");
        return Err(Failure::new("check", cause).hint(
            "name it as the disk to install to, or let it be erased with `wipe: true`, or take it out",
        ));
    }
    let task = InstallTask {
        disk: disk.name,
        disk_serial: disk.serial,
        disk_size_bytes: disk.size_bytes,
        wipe_consent: answers.wipe,
        old_systems,
        ignition: answers.ignition.clone(),
        server_ca_pem: view.engine_ca_pem.clone(),
        verify: answers.verify,
    };
    let source = install::Source {
        image: Path::new(MEDIUM).join("disk.img"),
        manifest: Path::new(MEDIUM).join("disk.json"),
        host: view.host.clone(),
        secret: SlotSecret {
            token: view.token.clone(),
            certificate_pem: identity.certificate_pem.clone(),
            private_key_pem: identity.private_key_pem.clone(),
        },
    };
    let shown = console.clone();
    let report: Report = Arc::new(move |progress: Progress| {
        shown.works(progress.message, progress.bytes);
        true
    });
    install::run(&machine, source, &task, &report).await.map(drop)
}

fn find(disks: Vec<Disk>, wanted: &str) -> Result<Disk, Failure> {
    let names: Vec<String> = disks.iter().map(|disk| disk.name.clone()).collect();
    let is = |disk: &Disk| disk.name == wanted || disk.links.iter().any(|link| link == wanted);
    disks.into_iter().find(is).ok_or_else(|| {
        let cause = format!("there is no disk {wanted}; there are: {}", names.join(", "));
        Failure::new("disk", cause).hint("plug it in, or change the answers of the medium")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_found_by_any_of_its_names() {
        let disk =
            |name: &str, link: &str| Disk { name: name.into(), links: vec![link.into()], ..Disk::default() };
        let disks = vec![disk("/dev/vda", "/dev/disk/by-id/a"), disk("/dev/vdb", "/dev/disk/by-id/b")];
        assert_eq!(find(disks.clone(), "/dev/disk/by-id/b").expect("there").name, "/dev/vdb");
        assert_eq!(find(disks.clone(), "/dev/vda").expect("there").name, "/dev/vda");
        let said = find(disks, "/dev/sda").expect_err("not there").cause;
        assert!(said.contains("/dev/sda; there are: /dev/vda, /dev/vdb"), "{said}");
    }
}
