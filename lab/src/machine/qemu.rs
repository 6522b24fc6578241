//! A server in QEMU: firmware, boot loader, kernel and initramfs are the real ones. One QEMU is one boot; at a
//! reset the BMC is asked anew what to boot from.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use ashlar_host::cmd;
use ashlar_host::netns;
use ashlar_host::process::Process;
use tokio::process::Child;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;

use super::boot::Place;
use super::console::Console;
use super::nspawn::End;
use super::qmp::{Qmp, Stopped};
use super::{Command, SHUTDOWN_LIMIT, Source, medium, power_goes, tpm};
use crate::network;
use crate::rack;
use crate::spec::{Chassis, Drive, Firmware};

const PROGRAM: &str = "qemu-system-x86_64";
/// Of Debian's package ovmf.
const FIRMWARE: &str = "/usr/share/OVMF";
/// Places in the boot order.
const FIRST_DISK: u32 = 10;
const LAST: u32 = 100;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no bootable medium")]
    Medium(#[from] medium::Error),
    #[error(transparent)]
    Rack(#[from] rack::Error),
    #[error("giving the machine its firmware from {} (package ovmf)", path.display())]
    Firmware { path: PathBuf, source: io::Error },
    #[error("opening the machine's log")]
    Log { source: io::Error },
    #[error("starting the machine")]
    Start { source: cmd::Error },
    #[error("the emulator ended at once ({}): {log}", status.map_or("killed".into(), |status| status.to_string()))]
    Ended { status: Option<std::process::ExitStatus>, log: String },
    #[error(transparent)]
    Tpm(#[from] tpm::Error),
    #[error("talking to the emulator")]
    Talk { source: io::Error },
}

/// One boot, from power-on to the end of the system.
///
/// # Errors
/// The medium cannot be fetched, or QEMU cannot be started.
pub(super) async fn boot(
    place: &Place<'_>,
    chassis: Chassis,
    source: &Source,
    console: &Console,
    commands: &mut UnboundedReceiver<Command>,
) -> Result<End, Error> {
    let prepared = tokio::select! {
        prepared = prepare(place, chassis, source, console) => prepared?,
        () = power_goes(commands) => return Ok(End::Off),
    };
    let arguments = arguments(place, chassis, source, &prepared);
    let log = place.file("qemu.log");
    let open = || std::fs::File::create(&log).map_err(|source| Error::Log { source });
    let output = open()?;
    let errors = output.try_clone().map_err(|source| Error::Log { source })?;
    // The name of a socket that an earlier boot left is in the way; none is as good.
    drop(std::fs::remove_file(&prepared.socket));
    let child = netns::enter(&place.rack.administrator_namespace(), PROGRAM)
        .args(arguments)
        .spawn_into(Stdio::from(output), Stdio::from(errors))
        .map_err(|source| Error::Start { source })?;
    if let Some(process) = child.id().and_then(|pid| Process::of(pid).ok()) {
        let written = process.write(&place.rack.pid_file(&format!("machine-{}", place.server.name)));
        written.unwrap_or_else(|error| tracing::warn!(%error, "`lab down` will not find this machine"));
    }
    watch(child, &prepared.socket, &log, console, commands).await
}

struct Prepared {
    medium: Option<PathBuf>,
    /// Read-only code and the machine's own variables; none for BIOS.
    firmware: Option<[PathBuf; 2]>,
    socket: PathBuf,
    port: String,
    /// Socket of the TPM.
    tpm: Option<PathBuf>,
}

async fn prepare(
    place: &Place<'_>,
    chassis: Chassis,
    source: &Source,
    console: &Console,
) -> Result<Prepared, Error> {
    let servers = place.rack.spec()?.servers;
    let number = servers.iter().position(|server| server.name == place.server.name).unwrap_or(servers.len());
    let firmware = match chassis.firmware {
        Firmware::Bios => None,
        Firmware::Uefi => Some(["OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"]),
        Firmware::UefiSecureBoot => Some(["OVMF_CODE_4M.ms.fd", "OVMF_VARS_4M.ms.fd"]),
    };
    let firmware = firmware.map(|names| names.map(|name| Path::new(FIRMWARE).join(name)));
    let firmware = match firmware {
        None => None,
        Some([code, variables]) => Some([code, own_variables(place, &variables)?]),
    };
    let medium = match source {
        Source::Medium { url } => {
            console.say(&format!("booting from virtual media {url}"));
            let file = place.file("medium.iso");
            medium::fetch(url, &file).await?;
            Some(file)
        }
        Source::Disk | Source::Network => None,
    };
    let tpm = if chassis.tpm { Some(tpm::start(place).await?) } else { None };
    Ok(Prepared { medium, firmware, socket: place.file("qmp.sock"), port: network::port(number), tpm })
}

/// What firmware remembers outlives a power cut.
fn own_variables(place: &Place<'_>, template: &Path) -> Result<PathBuf, Error> {
    let own = place.file("firmware.fd");
    if !own.exists() {
        let copied = std::fs::copy(template, &own);
        copied.map_err(|source| Error::Firmware { path: template.to_owned(), source })?;
    }
    Ok(own)
}

async fn watch(
    mut child: Child,
    socket: &Path,
    log: &Path,
    console: &Console,
    commands: &mut UnboundedReceiver<Command>,
) -> Result<End, Error> {
    let mut qmp = tokio::select! {
        qmp = Qmp::connect(socket) => qmp.map_err(|source| Error::Talk { source })?,
        status = child.wait() => {
            let log = std::fs::read_to_string(log).unwrap_or_default().trim().to_owned();
            return Err(Error::Ended { status: status.ok(), log });
        }
    };
    qmp.send("cont").await.map_err(|source| Error::Talk { source })?;
    let mut end = End::Off;
    let mut limit: Option<Instant> = None;
    loop {
        let over = async {
            match limit {
                Some(limit) => tokio::time::sleep_until(limit).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            stopped = qmp.stopped() => if stopped == Stopped::ByReset { end = End::Reboot },
            status = child.wait() => {
                tracing::info!(?status, ?end, "the system ended");
                return Ok(end);
            }
            () = over => {
                console.say("the system does not stop: cutting the power");
                return cut(child).await;
            }
            command = commands.recv() => match command {
                Some(Command::On(_)) => {}
                Some(Command::ShutDown) => {
                    qmp.send("system_powerdown").await.map_err(|source| Error::Talk { source })?;
                    limit = Some(Instant::now() + SHUTDOWN_LIMIT);
                }
                Some(Command::Cut) | None => {
                    console.say("power cut");
                    return cut(child).await;
                }
            },
        }
    }
}

/// What the system had not written to its disk is lost with its memory.
async fn cut(mut child: Child) -> Result<End, Error> {
    if let Err(error) = child.kill().await {
        tracing::error!(%error, "cannot cut the power");
    }
    Ok(End::Off)
}

fn arguments(place: &Place<'_>, chassis: Chassis, source: &Source, prepared: &Prepared) -> Vec<String> {
    let server = place.server;
    let mut all: Vec<String> = Vec::new();
    let mut add = |option: &str, value: String| all.extend([option.to_owned(), value]);
    let secure = chassis.firmware == Firmware::UefiSecureBoot;
    add("-name", place.rack.machine_namespace(&server.name));
    add("-machine", format!("q35,accel=tcg,smm={}", if secure { "on" } else { "off" }));
    add("-cpu", "max".into());
    add("-smp", server.cpus.to_string());
    add("-m", server.memory_mib.to_string());
    if chassis.dead_battery {
        add("-rtc", "base=1970-01-01T00:00:00".into());
    }
    add("-uuid", server.uuid.clone());
    add("-smbios", format!("type=1,manufacturer=Ashlar,product=Ashlar Lab Server,serial={}", server.serial));
    if let Some([code, variables]) = &prepared.firmware {
        add("-drive", format!("if=pflash,unit=0,format=raw,readonly=on,file={}", code.display()));
        add("-drive", format!("if=pflash,unit=1,format=raw,file={}", variables.display()));
    }
    if secure {
        add("-global", "driver=cfi.pflash01,property=secure,value=on".into());
    }
    for (number, disk) in server.disks.iter().enumerate() {
        let file = place.rack.disk(&server.name, number);
        add("-drive", format!("if=none,id=disk{number},format=raw,discard=unmap,file={}", file.display()));
        let sector = disk.sector;
        let sectors = format!("logical_block_size={sector},physical_block_size={}", sector.max(4096));
        let boot = FIRST_DISK as usize + number;
        add(
            "-device",
            format!("virtio-blk-pci,drive=disk{number},serial={},bootindex={boot},{sectors}", disk.serial),
        );
    }
    if let Some(medium) = &prepared.medium {
        let (kind, device) = match chassis.drive {
            Drive::Cd => ("cdrom", "ide-cd,bus=ide.1,drive=medium,bootindex=0"),
            Drive::Usb => ("disk", "usb-storage,bus=usb.0,drive=medium,bootindex=0,removable=on"),
        };
        add(
            "-drive",
            format!("if=none,id=medium,media={kind},format=raw,readonly=on,file={}", medium.display()),
        );
        add("-device", "qemu-xhci,id=usb".into());
        add("-device", device.into());
    }
    add("-netdev", format!("tap,id=machine,ifname={},script=no,downscript=no", prepared.port));
    // As firmware does: the network when no disk boots.
    let order = if *source == Source::Network { 0 } else { LAST };
    // QEMU's card brings iPXE; UEFI has a network stack of its own, as servers do.
    let rom = if chassis.firmware == Firmware::Bios { "" } else { ",romfile=" };
    add("-device", format!("virtio-net-pci,netdev=machine,mac={},bootindex={order}{rom}", server.mac));
    if let Some(tpm) = &prepared.tpm {
        add("-chardev", format!("socket,id=tpm,path={}", tpm.display()));
        add("-tpmdev", "emulator,id=tpm,chardev=tpm".into());
        add("-device", "tpm-tis,tpmdev=tpm".into());
    }
    add("-device", "virtio-rng-pci".into());
    add("-device", "VGA".into());
    add(
        "-chardev",
        format!("file,id=console,append=on,path={}", place.rack.console_log(&server.name).display()),
    );
    add("-serial", "chardev:console".into());
    add("-qmp", format!("unix:{},server=on,wait=off", prepared.socket.display()));
    add("-action", "reboot=shutdown".into());
    add("-boot", "strict=on".into());
    add("-display", "none".into());
    all.extend(["-nodefaults", "-no-user-config", "-S"].map(str::to_owned));
    all
}
