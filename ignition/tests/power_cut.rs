//! A power cut at many points of the whole first boot, on images of disks: the process and its children are killed, and
//! what `/run` held is lost. The next boot ends in the same place as one that was never cut.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ashlar_model::slot::{self, Slot};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::json;

const STAGES: [&str; 6] = ["fetch-offline", "kargs", "disks", "mount", "files", "umount"];
const FILES: usize = 400;

struct Bench(tempfile::TempDir);

impl Bench {
    fn new() -> Self {
        let bench = Self(tempfile::tempdir().expect("a directory"));
        for folder in ["sysroot/etc", "boot/loader/entries"] {
            fs::create_dir_all(bench.0.path().join(folder)).expect("directories");
        }
        fs::write(bench.0.path().join("boot/loader/entries/a.conf"), "options root=x\n").expect("a file");
        for disk in ["table", "ext4", "vfat"] {
            fs::File::create(bench.0.path().join(disk))
                .and_then(|file| file.set_len(48 << 20))
                .expect("a disk");
        }
        let files: Vec<_> = (0..FILES)
            .map(|index| json!({"path": format!("/etc/{}/{index}", index % 7), "contents": {"source": format!("data:,{index}")}}))
            .collect();
        let ignition = json!({"ignition": {"version": "3.5.0"}, "kernelArguments": {"shouldExist": ["nosmt"]},
            "passwd": {"users": [{"name": "core", "sshAuthorizedKeys": ["ssh-ed25519 A"]}]},
            "storage": {
                "disks": [{"device": bench.at("table"), "partitions": [{"number": 1, "label": "a", "sizeMiB": 8}, {"number": 2, "label": "b"}]}],
                "filesystems": [{"device": bench.at("ext4"), "format": "ext4", "label": "data"}, {"device": bench.at("vfat"), "format": "vfat", "label": "EFI"}],
                "files": files}});
        let slot =
            Slot { host: "m".into(), ignition, server_ca_pem: String::new(), secret: None, issued_at: 0 };
        fs::write(bench.at("slot"), slot::encode(&slot).expect("it fits")).expect("a slot");
        bench
    }

    fn at(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn stage(&self, name: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ashlar-ignition"));
        command.args(["stage", name, "--sysroot", &self.at("sysroot"), "--slot", &self.at("slot")]);
        command.args(["--boot", &self.at("boot"), "--var", &self.at("none"), "--run", &self.at("run")]);
        // What restarts a machine is no part of this.
        command.env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", self.at("programs")));
        command.process_group(0).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// All stages, killed after `limit`. True when they ended by themselves; a restart begins anew.
    fn boot(&self, limit: Duration) -> bool {
        let began = Instant::now();
        'boot: loop {
            let _ = fs::remove_dir_all(self.at("run"));
            for stage in STAGES {
                let mut child = self.stage(stage).spawn().expect("it starts");
                let group = Pid::from_child(&child);
                let restart = self.at("restart");
                let status = loop {
                    if let Some(status) = child.try_wait().expect("it is ours") {
                        break status;
                    }
                    let asked = Path::new(&restart).exists();
                    if asked || began.elapsed() >= limit {
                        let _ = kill_process_group(group, Signal::KILL);
                        child.wait().expect("it is ours");
                        if !asked {
                            return false;
                        }
                        fs::remove_file(&restart).expect("it was there");
                        continue 'boot;
                    }
                    std::thread::sleep(Duration::from_millis(1));
                };
                assert!(status.success(), "{stage} failed");
            }
            return true;
        }
    }

    /// `systemctl --force reboot` leaves a mark in place of a restart.
    fn with_restart(self) -> Self {
        fs::create_dir(self.at("programs")).expect("a directory");
        let script = format!("#!/bin/sh\n: > {}\n", self.at("restart"));
        let path = self.at("programs/systemctl");
        fs::write(&path, script).expect("a program");
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("a mode");
        self
    }

    /// What the first boot is to lead to.
    fn check(&self, when: &str) {
        for index in 0..FILES {
            let path = self.at(&format!("sysroot/etc/{}/{index}", index % 7));
            assert_eq!(fs::read_to_string(path).expect("text"), index.to_string(), "{when}");
        }
        let keys = fs::read_to_string(self.at("sysroot/home/core/.ssh/authorized_keys")).expect("text");
        assert_eq!(keys, "ssh-ed25519 A\n", "{when}");
        let entry = fs::read_to_string(self.at("boot/loader/entries/a.conf")).expect("text");
        assert_eq!(entry, "options root=x nosmt\n", "{when}");
        for (disk, check) in [("ext4", ["e2fsck", "-fn"]), ("vfat", ["fsck.fat", "-n"])] {
            let output = Command::new(check[0]).args([check[1], &self.at(disk)]).output().expect("it runs");
            assert!(output.status.success(), "{when}: {disk}: {}", String::from_utf8_lossy(&output.stdout));
        }
        let boot: Vec<_> = fs::read_dir(self.at("boot")).expect("readable").flatten().collect();
        let names: Vec<String> =
            boot.iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        assert!(names.contains(&"ashlar-ignition-applied".to_owned()), "{when}");
        assert!(!names.contains(&"ashlar-ignition-making.json".to_owned()), "{when}");
    }
}

#[test]
fn a_first_boot_that_is_cut_anywhere_is_completed_by_the_next_one() {
    let whole = Bench::new().with_restart();
    let began = Instant::now();
    assert!(whole.boot(Duration::from_secs(120)));
    let took = began.elapsed();
    whole.check("never cut");
    const CUTS: u32 = 24;
    let mut cut = 0;
    for point in 1..CUTS {
        let bench = Bench::new().with_restart();
        let limit = took * point / CUTS;
        cut += usize::from(!bench.boot(limit));
        assert!(bench.boot(Duration::from_secs(120)), "cut after {limit:?}");
        bench.check(&format!("cut after {limit:?} of {took:?}"));
    }
    eprintln!("{cut} of {} runs were cut, within {took:?}", CUTS - 1);
    assert!(cut > 0, "no run was cut");
}
