//! The peer: kubeadm of the same source on the same kind of machines, with the same images there beforehand. `init`,
//! then two control-plane joins, one after the other as kubeadm wants it; without its add-ons and with a network
//! that needs no pods, so that it has less to do than an install of ours.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::machine::{Machine, wait};
use crate::process::{Session, ashlar, output};
use crate::{lab, workspace};

const RACK: &str = "peer";
const MASTERS: [&str; 3] = ["master-1", "master-2", "master-3"];
const BOOT: Duration = Duration::from_secs(60);
const READY: Duration = Duration::from_secs(180);
/// For an hour, in a rack that nothing can reach: no secrets.
const TOKEN: &str = "abcdef.0123456789abcdef";
const CERTIFICATE_KEY: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

const CLUSTER: &str = include_str!("peer/cluster.yaml");
const KUBELET_UNIT: &str = include_str!("peer/kubelet.conf");
const NETWORK: &str = include_str!("peer/network.conflist");
/// The product's own units start on its own files only.
const ANYWHERE: &str = "[Unit]\nConditionPathExists=\n";

pub struct Kubeadm {
    init: f64,
    joins: [f64; 2],
    /// From the last join's end to three Ready masters that serve.
    ready: f64,
}

impl Kubeadm {
    pub fn total(&self) -> f64 {
        self.init + self.joins[0] + self.joins[1] + self.ready
    }

    pub fn json(&self) -> Value {
        json!({"seconds": self.total(), "init": self.init, "joins": self.joins, "until_ready": self.ready})
    }
}

/// The versions that the release carries.
pub struct Versions {
    kubernetes: String,
    etcd: String,
}

impl Versions {
    pub fn of(release: &Path) -> Result<Self> {
        let path = release.join("release.json");
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let release: Value =
            serde_json::from_str(&text).with_context(|| format!("reading {}", path.display()))?;
        let tag = |image: &str| {
            let names =
                release["images"].as_array().into_iter().flatten().filter_map(|image| image["name"].as_str());
            let mut found =
                names.filter_map(|name| name.rsplit_once('/')?.1.strip_prefix(image)?.strip_prefix(':'));
            found.next().map(str::to_owned).with_context(|| format!("no image {image} in {}", path.display()))
        };
        Ok(Self { kubernetes: tag("kube-apiserver")?, etcd: tag("etcd")? })
    }
}

pub fn measure(session: &Session, disk: &Path, versions: &Versions) -> Result<Kubeadm> {
    if lab::is_up(RACK) {
        lab::down(session, RACK)?;
    }
    lab::up(session, RACK, 0)?;
    let end = run(session, disk, versions);
    lab::down(session, RACK)?;
    end
}

fn run(session: &Session, disk: &Path, versions: &Versions) -> Result<Kubeadm> {
    let status: Value =
        serde_json::from_str(&output(&mut ashlar(["--output", "json", "lab", "status", "--name", RACK]))?)
            .context("reading the rack's status")?;
    let rack = PathBuf::from(status["directory"].as_str().context("a rack without a directory")?);
    let kubeadm = kubeadm()?;
    for name in MASTERS {
        let copy = rack.join("machines").join(name).join("disk0.img");
        let mut clone = Command::new("cp");
        session.run(
            &format!("Writing the disk of {name}"),
            "5 s",
            clone.arg("--sparse=always").arg(disk).arg(&copy),
        )?;
    }
    for name in MASTERS {
        output(&mut ashlar(["lab", "power", "--name", RACK, name, "on"]))?;
    }
    let machines = MASTERS.map(|name| boot(&rack, &status, name)).into_iter().collect::<Result<Vec<_>>>()?;
    for machine in &machines {
        session.say(&format!("preparing {}: kubeadm, images", machine.name));
        prepare(machine, &kubeadm, versions)?;
    }
    cluster(session, &machines)
}

fn boot(rack: &Path, status: &Value, name: &str) -> Result<Machine> {
    let servers = status["servers"].as_array();
    let server = servers.into_iter().flatten().find(|server| server["name"] == name);
    let address = server
        .and_then(|server| server["machine_address"].as_str())
        .context("a server without an address")?;
    let machine = Machine::booted(rack, name, address, BOOT)?;
    let has = format!("ip -4 address show dev eth0 | grep -q ' {address}/'");
    wait(&format!("the address of {name}"), BOOT, || machine.run(&has))?;
    Ok(machine)
}

/// What a site would have done before it runs kubeadm.
fn prepare(machine: &Machine, kubeadm: &Path, versions: &Versions) -> Result<()> {
    for unit in ["containerd", "ashlar-images", "kubelet"] {
        machine.write(&format!("/etc/systemd/system/{unit}.service.d/10-anywhere.conf"), ANYWHERE)?;
    }
    machine.write("/etc/systemd/system/kubelet.service.d/20-kubeadm.conf", KUBELET_UNIT)?;
    machine.write("/etc/cni/net.d/10-peer.conflist", &filled(NETWORK, machine))?;
    let cluster = CLUSTER.replace("@KUBERNETES@", &versions.kubernetes).replace("@ETCD@", &versions.etcd);
    machine.write("/var/lib/peer/cluster.yaml", &filled(&cluster, machine))?;
    fs::copy(kubeadm, machine.path("/var/lib/peer/kubeadm")).context("copying kubeadm")?;
    machine.run("chmod 755 /var/lib/peer/kubeadm")?;
    machine.run(
        "systemctl daemon-reload; systemctl start containerd.service; systemctl start ashlar-images.service",
    )?;
    Ok(())
}

fn filled(text: &str, machine: &Machine) -> String {
    let last = machine.address.rsplit('.').next().unwrap_or_default();
    text.replace("@NAME@", &machine.name)
        .replace("@ADDRESS@", &machine.address)
        .replace("@LAST@", last)
        .replace("@TOKEN@", TOKEN)
        .replace("@CERTIFICATE_KEY@", CERTIFICATE_KEY)
}

fn cluster(session: &Session, machines: &[Machine]) -> Result<Kubeadm> {
    let [first, second, third] = machines else { bail!("not three machines") };
    let init = "kubeadm init --config /var/lib/peer/cluster.yaml --upload-certs --skip-phases=addon \
                --ignore-preflight-errors=all";
    let init = timed(session, first, "kubeadm init", init)?;
    let join = |machine: &Machine| {
        let join = format!(
            "kubeadm join {}:6443 --control-plane --node-name {} --apiserver-advertise-address {} --token {TOKEN} \
             --discovery-token-unsafe-skip-ca-verification --certificate-key {CERTIFICATE_KEY} \
             --ignore-preflight-errors=all",
            first.address, machine.name, machine.address
        );
        timed(session, machine, &format!("kubeadm join of {}", machine.name), &join)
    };
    let joins = [join(second)?, join(third)?];
    let start = Instant::now();
    wait("three Ready masters that serve", READY, || {
        machines.iter().try_for_each(|machine| serves(first, machine))
    })?;
    Ok(Kubeadm { init, joins, ready: start.elapsed().as_secs_f64() })
}

fn serves(first: &Machine, machine: &Machine) -> Result<()> {
    let kubectl = "kubectl --kubeconfig /etc/kubernetes/admin.conf --request-timeout=5s";
    let Machine { name, address, .. } = machine;
    let ready = r#"-o jsonpath='{.status.conditions[?(@.type=="Ready")].status}'"#;
    let ask = format!(
        "{kubectl} --server https://{address}:6443 get --raw /readyz; {kubectl} get node {name} {ready}"
    );
    let said = first.run(&ask)?;
    if said == "okTrue" { Ok(()) } else { bail!("{name} says {said}") }
}

fn timed(session: &Session, machine: &Machine, title: &str, script: &str) -> Result<f64> {
    let start = Instant::now();
    session.run(title, "20 s", &mut machine.command(script))?;
    Ok(start.elapsed().as_secs_f64())
}

/// As it was compiled with the release's Kubernetes.
fn kubeadm() -> Result<PathBuf> {
    let components = workspace::cache().join("components");
    let entries = fs::read_dir(&components).with_context(|| format!("reading {}", components.display()))?;
    let found = entries.flatten().map(|entry| entry.path().join("kubeadm")).filter(|path| path.exists());
    found
        .max_by_key(|path| path.metadata().and_then(|about| about.modified()).ok())
        .context("kubeadm was not compiled")
}
