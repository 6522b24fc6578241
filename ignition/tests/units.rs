//! The units of the initramfs: each stage has one, in the reference's order, none is passed over, and a failure leads to
//! the screen that waits for somebody.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// As `fetch-offline [-> fetch] [-> kargs] -> disks -> mount -> files`, and what ends them.
const ORDER: [&str; 8] = ["fetch-offline", "network", "fetch", "kargs", "disks", "mount", "files", "umount"];

fn module(name: &str) -> String {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../image/os/dracut/91ashlar-ignition");
    fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Key to words; a key that stands more than once has all of them.
fn unit(stage: &str) -> BTreeMap<String, Vec<String>> {
    let mut keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in module(&format!("ashlar-ignition-{stage}.service")).lines() {
        if let Some((key, value)) = line.split_once('=').filter(|_| !line.starts_with('#')) {
            keys.entry(key.to_owned()).or_default().extend(value.split(' ').map(str::to_owned));
        }
    }
    keys
}

fn has(stage: &str, key: &str, word: &str) -> bool {
    unit(stage).get(key).is_some_and(|words| words.iter().any(|other| other == word))
}

#[test]
fn every_stage_requires_the_one_before_it_and_holds_up_what_follows() {
    for pair in ORDER.windows(2) {
        let before = format!("ashlar-ignition-{}.service", pair[0]);
        assert!(has(pair[1], "Requires", &before) && has(pair[1], "After", &before), "{pair:?}");
    }
    for stage in ORDER {
        assert!(has(stage, "Before", "initrd-parse-etc.service"), "{stage}");
        assert!(has(stage, "ConditionKernelCommandLine", "!ashlar.live"), "{stage}");
        assert!(has(stage, "OnFailure", "emergency.target"), "{stage}");
        assert!(has(stage, "RemainAfterExit", "yes"), "{stage}");
    }
    let setup = module("module-setup.sh");
    assert!(setup.contains("add-requires initrd-parse-etc.service ashlar-ignition-umount.service"));
    assert!(setup.contains(&format!("for unit in {}; do", ORDER.join(" "))));
}

#[test]
fn disks_are_ready_before_the_root_is_mounted_and_files_come_after_it() {
    for stage in &ORDER[..5] {
        assert!(has(stage, "Before", "sysroot.mount"), "{stage}");
    }
    for unit in ["sysroot.mount", "ostree-prepare-root.service", "initrd-root-fs.target"] {
        assert!(has("mount", "After", unit), "{unit}");
    }
    assert!(has("mount", "Requires", "sysroot.mount"));
}

#[test]
fn the_network_comes_up_only_when_it_is_asked_for_and_later_stages_only_with_a_configuration() {
    for stage in ["network", "fetch"] {
        assert!(has(stage, "ConditionPathExists", "/run/ashlar-ignition/neednet"), "{stage}");
    }
    for stage in ["kargs", "disks", "mount", "files", "umount"] {
        assert!(has(stage, "ConditionPathExists", "/run/ashlar-ignition/config.json"), "{stage}");
    }
    assert!(!unit("fetch-offline").contains_key("ConditionPathExists"));
}

#[test]
fn units_run_stages_that_the_program_knows() {
    let help = std::process::Command::new(env!("CARGO_BIN_EXE_ashlar-ignition"))
        .args(["stage", "--help"])
        .output()
        .expect("it runs");
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    for stage in ORDER.iter().filter(|stage| **stage != "network") {
        let command = format!("/usr/bin/ashlar-ignition stage {stage}");
        assert_eq!(unit(stage)["ExecStart"].join(" "), command);
        assert!(help.contains(&format!("- {stage}:")), "{help}");
    }
    assert!(
        module("emergency.conf").contains("\nExecStart=\nExecStart=/usr/bin/ashlar-ignition emergency\n")
    );
}
