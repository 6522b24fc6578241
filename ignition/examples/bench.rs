//! Figures, as JSON on stdout: our program (its path is the argument) beside the reference, paired in one run:
//! validation of a configuration of 1 MiB, the files stage with 1,000 files, peak memory while a file of 1 GiB is
//! streamed over HTTP, and the sizes of the programs.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use ashlar_model::slot::{self, Slot};
use serde_json::json;

const ROUNDS: usize = 7;
const THEIRS: &str = "/usr/lib/dracut/modules.d/30ignition/ignition";

fn main() -> anyhow::Result<()> {
    let program =
        std::env::args_os().nth(1).map(PathBuf::from).context("give the path of ashlar-ignition")?;
    let reference = reference()?;
    let work = reference.join("compare");
    fs::create_dir_all(&work)?;
    let large = configuration(1000, 1 << 10);
    fs::write(work.join("large.ign"), &large)?;
    let slot = Slot {
        host: "bench".into(),
        ignition: serde_json::from_str(&large)?,
        server_ca_pem: String::new(),
        secret: None,
        issued_at: 0,
    };
    fs::write(work.join("slot"), slot::encode(&slot)?)?;
    fs::create_dir_all(work.join("boot"))?;
    fs::copy(&program, work.join("ashlar-ignition"))?;
    let root = |name: &str| work.join(name);
    let (mut validate, mut files, mut synced) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        // Not removed: on ext4, creating files where others were just deleted takes many times as long.
        let put_aside = |name: &str, number: usize| {
            let _ = fs::rename(root(name), root(&format!("old-{name}-{number}")));
        };
        validate.push((
            inside(&reference, &["ignition-validate", "/compare/large.ign"])?,
            inside(&reference, &["/compare/ashlar-ignition", "validate", "/compare/large.ign"])?,
        ));
        for name in ["theirs", "ours"] {
            put_aside(name, 2 * round);
            fs::create_dir_all(root(name).join("etc/selinux"))?;
            fs::write(root(name).join("etc/selinux/config"), "SELINUXTYPE=none\n")?;
        }
        let _ = fs::remove_file(work.join("cache.json"));
        let common = "--platform file --root /compare/theirs --config-cache /compare/cache.json --state-file /compare/state --neednet /compare/net --log-to-stdout";
        let stage = |stage: &str| -> anyhow::Result<Duration> {
            let words: Vec<&str> = [THEIRS, "--stage", stage].into_iter().chain(common.split(' ')).collect();
            inside(&reference, &words)
        };
        stage("fetch")?;
        put_aside("run", round);
        inside(&reference, &ours("fetch-offline"))?;
        files.push((stage("files")?, inside(&reference, &ours("files"))?));
        put_aside("ours", 2 * round + 1);
        fs::create_dir_all(root("ours/etc"))?;
        let apply = ["/compare/ashlar-ignition", "apply", "--root", "/compare/ours", "/compare/large.ign"];
        synced.push(inside(&reference, &apply)?);
    }
    let figures = json!({
        "validation_of_1_mib": pair(&mut validate),
        "files_stage_of_1000_files": pair(&mut files),
        // The reference leaves it to the kernel when its files are on the disk.
        "fetched_written_and_on_the_disk_ms": median(synced),
        "program_bytes": {"theirs": fs::metadata(reference.join(&THEIRS[1..]))?.len(), "ours": fs::metadata(&program)?.len()},
        "peak_memory_streaming_1_gib_kib": peak_memory(&program)?,
    });
    println!("{}", serde_json::to_string_pretty(&figures)?);
    fs::remove_dir_all(&work).context("cleaning up")
}

/// Of `count` files with `size` bytes each.
fn configuration(count: usize, size: usize) -> String {
    let text = "x".repeat(size);
    let files: Vec<_> = (0..count)
        .map(|index| json!({"path": format!("/etc/bench/{}/{index}", index % 10), "mode": 420, "contents": {"source": format!("data:,{text}")}}))
        .collect();
    json!({"ignition": {"version": "3.3.0"}, "storage": {"files": files}}).to_string()
}

/// One stage of ours, with directories for the machine.
fn ours(stage: &str) -> Vec<&str> {
    let places =
        "--sysroot /compare/ours --slot /compare/slot --boot /compare/boot --var /none --run /compare/run";
    ["/compare/ashlar-ignition", "stage", stage].into_iter().chain(places.split(' ')).collect()
}

fn reference() -> anyhow::Result<PathBuf> {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache =
        std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home).map(|cache| cache.join("ashlar"));
    let root = std::env::var_os("ASHLAR_CACHE").map(PathBuf::from).or(cache).context("HOME is not set")?;
    let root = root.join("ignition-reference/root");
    ensure!(root.join("usr/bin/ignition-validate").exists(), "no reference; run the example `reference`");
    Ok(root)
}

/// Wall time of a program inside the reference's root, with a /proc of its own; both sides pay for the same entry.
fn inside(root: &Path, words: &[&str]) -> anyhow::Result<Duration> {
    let enter = format!("mount -t proc proc {0}/proc && exec chroot {0} \"$@\"", root.display());
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-ec", &enter, "sh"])
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("IGNITION_CONFIG_FILE", "/compare/large.ign");
    // What was written before is not to be paid for by whoever syncs first.
    rustix::fs::sync();
    let began = Instant::now();
    let output = command.stderr(Stdio::piped()).output()?;
    let took = began.elapsed();
    ensure!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(took)
}

/// In milliseconds.
fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1e3
}

/// Medians.
fn pair(times: &mut [(Duration, Duration)]) -> serde_json::Value {
    let theirs = median(times.iter().map(|(theirs, _)| *theirs).collect());
    let ours = median(times.iter().map(|(_, ours)| *ours).collect());
    // The best is what a machine with nothing else to do would show.
    let best = |side: fn(&(Duration, Duration)) -> Duration| {
        times.iter().map(side).min().unwrap_or_default().as_secs_f64() * 1e3
    };
    let (theirs_best, ours_best) = (best(|pair| pair.0), best(|pair| pair.1));
    json!({"theirs_ms": theirs, "ours_ms": ours, "ratio": ours / theirs,
        "theirs_best_ms": theirs_best, "ours_best_ms": ours_best, "ratio_of_the_best": ours_best / theirs_best})
}

fn peak_memory(program: &Path) -> anyhow::Result<u64> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}/large", listener.local_addr()?);
    let server = std::thread::spawn(move || -> std::io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        std::io::Read::read(&mut stream, &mut [0; 4096])?;
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 1u64 << 30)?;
        let chunk = vec![7; 1 << 20];
        (0..1024).try_for_each(|_| stream.write_all(&chunk))
    });
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("stream.ign");
    let text = json!({"ignition": {"version": "3.5.0"}, "storage": {"files": [{"path": "/large", "contents": {"source": url}}]}});
    fs::write(&config, text.to_string())?;
    let root = folder.path().join("root");
    fs::create_dir(&root)?;
    let mut child = Command::new(program).args(["apply", "--root"]).args([&root, &config]).spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait()?.is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak =
            line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(peak).max(peak);
        std::thread::sleep(Duration::from_millis(20));
    }
    ensure!(child.wait()?.success(), "streaming failed");
    ensure!(fs::metadata(root.join("large"))?.len() == 1 << 30, "the file is not whole");
    server.join().ok().context("the server ended badly")??;
    Ok(peak)
}
