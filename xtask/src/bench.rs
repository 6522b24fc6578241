//! `cargo xtask bench`: installs on a rack, kubeadm on the same kind of machines in the same run, the figures beside
//! what is allowed and beside each other.

mod disk;
mod image;
mod machine;
mod media;
mod ours;
mod peer;
mod update;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};

use crate::process::Session;
use crate::{release, setup, workspace};
use ours::Install;
use peer::Kubeadm;

/// From powered-off servers to three Ready masters with the bootstrap gone.
const INSTALL_SECONDS: f64 = 180.0;
const BOOTSTRAP_MEMORY: f64 = 2048.0;
/// With the control plane's images.
const MEDIUM: f64 = 600.0;
const MINIMAL_MEDIUM: f64 = 150.0;
const MEBIBYTE: f64 = 1_048_576.0;

#[derive(Args)]
pub struct Arguments {
    /// Pairs of an install and a kubeadm run; medians count
    #[arg(long, default_value_t = 3)]
    runs: u32,
    /// Leave kubeadm out
    #[arg(long)]
    no_peer: bool,
    /// Only the image: sizes of the media and changing one, writing the system to a disk, building a release, the
    /// bytes of an update. No rack is needed
    #[arg(long)]
    image: bool,
}

/// A figure and what it must not exceed.
struct Row {
    name: String,
    measured: f64,
    beside: f64,
    is_limit: bool,
}

impl Row {
    fn limit(name: &str, measured: f64, allowed: f64) -> Self {
        Self { name: name.to_owned(), measured, beside: allowed, is_limit: true }
    }

    fn peer(name: &str, measured: f64, peer: f64) -> Self {
        Self { name: name.to_owned(), measured, beside: peer, is_limit: false }
    }
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let session = Session::open("bench")?;
    setup::ensure(&session)?;
    release::programs(&session)?;
    let release = release::build(&session, 3)?;
    let unpacked = disk::unpack(&session, &release)?;
    let mut of_image = media_rows(&session, &release, arguments.runs)?;
    of_image.extend(writing_rows(&session, &unpacked, arguments.runs)?);
    of_image.extend(building_rows(&session, &release)?);
    if arguments.image {
        show(&[], &[], &of_image);
        return judge(&of_image);
    }
    let peer = if arguments.no_peer {
        None
    } else {
        Some((disk::make(&session, &unpacked)?, peer::Versions::of(&release)?))
    };
    let mut installs = Vec::new();
    let mut peers = Vec::new();
    for run in 1..=arguments.runs.max(1) {
        let install = ours::measure(&session)?;
        session.say(&format!(
            "run {run}: create cluster {:.1} s, of that {:.1} s from installed masters",
            install.total, install.stretch
        ));
        installs.push(install);
        if let Some((disk, versions)) = &peer {
            let peer = peer::measure(&session, disk, versions)?;
            session.say(&format!("run {run}: kubeadm {:.1} s", peer.total()));
            peers.push(peer);
        }
    }
    let mut rows = rows(&installs, &peers);
    rows.extend(of_image);
    let path = write(&rows, &installs, &peers)?;
    show(&installs, &peers, &rows);
    session.say(&format!("all figures: {}", path.display()));
    judge(&rows)
}

fn judge(rows: &[Row]) -> Result<()> {
    match rows.iter().find(|row| row.is_limit && row.measured > row.beside) {
        Some(row) => bail!("{} is above what is allowed", row.name),
        None => Ok(()),
    }
}

fn media_rows(session: &Session, release: &Path, runs: u32) -> Result<Vec<Row>> {
    session.say("Changing a medium, beside xorriso");
    let mut measured = Vec::new();
    for _ in 0..runs.max(1) {
        measured.push(media::measure(release)?);
    }
    let of = |figure: fn(&media::Media) -> f64| median(measured.iter().map(figure));
    let repack = of(|media| media.repack);
    let size = |name: &str| size(&release.join(name)).map(|bytes| bytes / MEBIBYTE);
    Ok(vec![
        Row::limit("medium (MiB)", size("ashlar.iso")?, MEDIUM),
        Row::limit("minimal medium (MiB)", size("ashlar-minimal.iso")?, MINIMAL_MEDIUM),
        Row::peer("a medium changed in place (s), beside xorriso", of(|media| media.customize), repack),
        Row::peer("a changed copy of a medium (s), beside xorriso", of(|media| media.copy), repack),
    ])
}

fn writing_rows(session: &Session, unpacked: &Path, runs: u32) -> Result<Vec<Row>> {
    session.say("Writing the system to a disk, beside dd");
    let mut measured = Vec::new();
    for _ in 0..runs.max(1) {
        measured.push(disk::measure(session, unpacked)?);
    }
    let of = |figure: fn(&disk::Writing) -> f64| median(measured.iter().map(figure));
    let (plain, packed) = (of(|writing| writing.ours), of(|writing| writing.ours_compressed));
    Ok(vec![
        Row::peer("the system written to a disk (s), beside dd", plain, of(|writing| writing.dd)),
        Row::peer("the same from a medium (s), beside zstd and dd", packed, of(|writing| writing.zstd)),
    ])
}

fn building_rows(session: &Session, release: &Path) -> Result<Vec<Row>> {
    let building = image::measure(session, release)?;
    let update = update::measure(session, release)?;
    let (delta, objects) = (update.delta / 1000.0, update.objects / 1000.0);
    Ok(vec![
        Row::peer("a release from its recipe (s), beside one image of mkosi", building.ours, building.mkosi),
        Row::peer("update of one file by delta (kB), beside objects", delta, objects),
    ])
}

fn rows(installs: &[Install], peers: &[Kubeadm]) -> Vec<Row> {
    let of = |figure: fn(&Install) -> f64| median(installs.iter().map(figure));
    let mut rows = vec![
        Row::limit("create cluster (s)", of(|install| install.total), INSTALL_SECONDS),
        Row::limit(
            "bootstrap's memory, peak (MiB)",
            of(|install| install.memory / MEBIBYTE),
            BOOTSTRAP_MEMORY,
        ),
    ];
    if !peers.is_empty() {
        let stretch = of(|install| install.stretch);
        let kubeadm = median(peers.iter().map(Kubeadm::total));
        rows.push(Row::peer("installed masters to three Ready (s), beside kubeadm", stretch, kubeadm));
    }
    rows
}

fn show(installs: &[Install], peers: &[Kubeadm], rows: &[Row]) {
    if let Some(last) = installs.last() {
        println!("\nlast install, by phase");
        for span in &last.spans {
            println!("  {:>7.1} s  {:<12}  {}", span.seconds, span.who, span.title);
        }
    }
    for (name, figures) in [
        ("install", pick(installs, |install| install.total)),
        ("stretch", pick(installs, |install| install.stretch)),
        ("kubeadm", pick(peers, Kubeadm::total)),
    ] {
        println!("{name:<10} {}", figures.iter().map(|figure| format!("{figure:>8.1}")).collect::<String>());
    }
    println!("\n{:<58}{:>10}{:>12}{:>8}", "figure (median)", "measured", "beside", "ratio");
    for Row { name, measured, beside, is_limit } in rows {
        let what = if *is_limit { "allowed" } else { "peer" };
        println!("{name:<58}{measured:>10.1}{beside:>12.1}{:>8.2}  {what}", measured / beside);
    }
}

fn write(rows: &[Row], installs: &[Install], peers: &[Kubeadm]) -> Result<PathBuf> {
    let figures: Vec<Value> = rows
        .iter()
        .map(|row| {
            json!({"name": row.name, "measured": row.measured, "beside": row.beside, "ratio": row.measured / row.beside})
        })
        .collect();
    let all = json!({
        "figures": figures,
        "installs": installs.iter().map(Install::json).collect::<Vec<_>>(),
        "kubeadm": peers.iter().map(Kubeadm::json).collect::<Vec<_>>(),
    });
    let path = workspace::programs().with_file_name("xtask").join("bench.json");
    fs::write(&path, format!("{all:#}\n")).with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}

fn pick<T>(all: &[T], figure: impl Fn(&T) -> f64) -> Vec<f64> {
    all.iter().map(figure).collect()
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    match figures.len() {
        0 => f64::NAN,
        even if even % 2 == 0 => f64::midpoint(figures[middle - 1], figures[middle]),
        _ => figures[middle],
    }
}

fn size(path: &Path) -> Result<f64> {
    Ok(path.metadata().with_context(|| format!("reading {}", path.display()))?.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert!((median([3.0, 1.0, 2.0].into_iter()) - 2.0).abs() < 1e-9);
        assert!((median([4.0, 1.0, 2.0, 3.0].into_iter()) - 2.5).abs() < 1e-9);
    }
}
