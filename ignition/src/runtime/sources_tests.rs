//! Precedence among the sources, in directories that stand for those of an initramfs.

use ashlar_model::slot;
use serde_json::Value;

use super::*;

fn config(path: &str) -> Value {
    json!({"ignition": {"version": "3.3.0"}, "storage": {"files": [{"path": path}]}})
}

fn machine(folder: &Path) -> Machine {
    let mut machine = Machine::new(folder.join("sysroot"), folder.join("slot"), 0, |_| {});
    machine.command_line = folder.join("cmdline");
    machine.directories = vec![folder.join("etc"), folder.join("usr")];
    machine
}

fn write(folder: &Path, path: &str, text: &str) {
    let path = folder.join(path);
    fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
    fs::write(path, text).expect("a file");
}

fn paths(config: &Config) -> Vec<String> {
    let files = config.storage.iter().flat_map(|storage| storage.files.iter().flatten());
    files.map(|file| file.path.clone()).collect()
}

#[test]
fn the_kernel_argument_comes_before_user_ign_before_the_boot_partition_before_the_slot() {
    let folder = tempfile::tempdir().expect("a directory");
    let (at, boot) = (folder.path(), folder.path().join("boot"));
    let machine = machine(at);
    let found = || find(&machine, Some(&boot)).expect("readable").user.map(|(origin, _)| origin);
    assert_eq!(found(), None);
    let slot = Slot {
        host: "h".into(),
        ignition: config("/slot"),
        server_ca_pem: String::new(),
        secret: None,
        issued_at: 0,
    };
    fs::write(&machine.slot, slot::encode(&slot).expect("it fits")).expect("a file");
    assert_eq!(found(), Some(Origin::ConfigSlot));
    write(at, "boot/ignition/config.ign", &config("/boot").to_string());
    assert_eq!(found(), Some(Origin::BootPartition));
    write(at, "usr/user.ign", &config("/usr").to_string());
    assert_eq!(found(), Some(Origin::SystemFile(at.join("usr/user.ign"))));
    write(at, "etc/user.ign", &config("/etc").to_string());
    assert_eq!(found(), Some(Origin::SystemFile(at.join("etc/user.ign"))));
    write(at, "cmdline", "quiet ignition.config.url= ignition.config.url=http://192.0.2.1/a root=x");
    assert_eq!(found(), Some(Origin::KernelArgument));
    assert!(find(&machine, None).expect("readable").slot.is_some(), "the slot still says who the host is");
}

#[test]
fn base_configurations_are_merged_by_name_and_the_platforms_come_last() {
    let folder = tempfile::tempdir().expect("a directory");
    let at = folder.path();
    write(at, "usr/base.d/20-b.ign", &config("/b").to_string());
    write(at, "usr/base.d/10-a.ign", &config("/hidden").to_string());
    write(at, "etc/base.d/10-a.ign", &config("/a").to_string());
    write(at, "usr/base.platform.d/metal/00-m.ign", &config("/m").to_string());
    write(at, "usr/base.platform.d/qemu/00-q.ign", &config("/q").to_string());
    let base = || find(&machine(at), None).expect("readable").base.map(|base| paths(&base));
    assert_eq!(base(), Some(vec!["/a".to_owned(), "/b".to_owned(), "/m".to_owned()]));
    write(at, "cmdline", "ignition.platform.id=qemu");
    assert_eq!(base(), Some(vec!["/a".to_owned(), "/b".to_owned(), "/q".to_owned()]));
}

#[test]
fn a_source_that_is_wrong_stops_the_boot_and_is_named() {
    let folder = tempfile::tempdir().expect("a directory");
    write(folder.path(), "usr/user.ign", "<html>");
    let Err(failure) = find(&machine(folder.path()), None) else { panic!("it is no configuration") };
    assert!(failure.entry.ends_with("usr/user.ign"), "{failure}");
    write(folder.path(), "usr/user.ign", &config("/a").to_string());
    let other = json!({"ignition": {"version": "3.3.0", "config": {"merge": [{"source": "data:,a"}]}}});
    write(folder.path(), "usr/base.d/a.ign", &other.to_string());
    let Err(failure) = find(&machine(folder.path()), None) else { panic!("it names another one") };
    assert!(failure.cause.contains("names other configurations"), "{failure}");
}
