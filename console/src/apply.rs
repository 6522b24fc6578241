//! Makes the form's settings true: connections, time servers, the server's URL; then looks whether it answers.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use ashlar_host::cmd::Cmd;
use ashlar_model::console::{ENGINE_FILE, SOURCE_FILE};

use crate::facts::Place;
use crate::keyfile::{self, keyfiles};
use crate::settings::{Settings, host_of};

const LIVE: &str = "/etc/NetworkManager/system-connections";
const INITRAMFS: &str = "/run/NetworkManager/system-connections";
const TIME_SERVERS: &str = "/etc/chrony/sources.d/form.sources";
/// For DHCP, and for a switch that lets traffic through late.
const ACTIVATE: Duration = Duration::from_secs(30);
const ANSWER: Duration = Duration::from_secs(5);

/// What a person reads afterwards.
pub async fn apply(settings: &Settings, place: &Place) -> String {
    match try_apply(settings, place).await {
        Ok(said) => said,
        Err(error) => format!("failed: {error:#}"),
    }
}

async fn try_apply(settings: &Settings, place: &Place) -> anyhow::Result<String> {
    let folder = Path::new(if place.is_initramfs() { INITRAMFS } else { LIVE });
    let files = keyfiles(settings);
    fs::create_dir_all(folder)?;
    for entry in fs::read_dir(folder)?.flatten() {
        if entry.file_name().to_string_lossy().starts_with(keyfile::PREFIX) {
            fs::remove_file(entry.path())?;
        }
    }
    for (name, text) in &files {
        let path = folder.join(format!("{name}.nmconnection"));
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        file.write_all(text.as_bytes())?;
    }
    if !settings.ntp.is_empty() && !place.is_initramfs() {
        let lines: String = settings.ntp.iter().map(|name| format!("server {name} iburst\n")).collect();
        fs::write(TIME_SERVERS, lines)?;
        Cmd::new("chronyc").args(["reload", "sources"]).run().await?;
    }
    if let Some(server) = &settings.server {
        let path = Path::new(if place.is_initramfs() { SOURCE_FILE } else { ENGINE_FILE });
        fs::create_dir_all(path.parent().unwrap_or(path))?;
        fs::write(path, format!("{server}\n"))?;
    }
    Cmd::new("nmcli").args(["connection", "reload"]).run().await?;
    let mut last = Ok(());
    for (name, _) in &files {
        let wait = ACTIVATE.as_secs().to_string();
        let up = Cmd::new("nmcli").args(["--wait", &wait, "connection", "up", "id", name]);
        last = up.timeout(ACTIVATE * 2).run().await.map(drop);
    }
    last?;
    Ok(match settings.server.as_deref().and_then(host_of) {
        None => "the network is up".into(),
        Some((host, port)) => format!("the network is up; {}", answers(&host, port).await),
    })
}

async fn answers(host: &str, port: u16) -> String {
    let connect = tokio::net::TcpStream::connect((host, port));
    match tokio::time::timeout(ANSWER, connect).await {
        Ok(Ok(_)) => format!("{host} port {port} answers"),
        Ok(Err(error)) => {
            format!("{host} port {port} does not answer: {error}. Check the URL and that it runs there")
        }
        Err(_) => format!(
            "{host} port {port} does not answer within {} seconds. Check gateway, VLAN and firewall",
            ANSWER.as_secs()
        ),
    }
}
