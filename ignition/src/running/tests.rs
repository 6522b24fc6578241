//! Changes between small configurations.

use serde_json::{Value, json};

use super::super::Demand;
use super::*;
use crate::parse_value;

fn kept(value: Value) -> Kept {
    let mut value = value;
    value["ignition"] = json!({"version": "3.5.0"});
    Kept::of(&parse_value(value).expect("a configuration").config)
        .unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn lines(old: Value, new: Value) -> Vec<(String, Need)> {
    let found = changes(&kept(old), &kept(new)).unwrap_or_else(|problems| panic!("{problems:?}"));
    found.iter().map(|change| (change.to_string(), change.need.clone())).collect()
}

fn file(path: &str, text: &str) -> Value {
    json!({"path": path, "overwrite": true, "contents": {"source": format!("data:,{text}")}})
}

#[test]
fn each_difference_asks_for_what_reads_it() {
    let old = json!({"storage": {"files": [file("/etc/a", "1"), file("/etc/motd", "1")]}});
    let new = json!({
        "storage": {"files": [file("/etc/motd", "2"), file("/etc/chrony.conf", "x")]},
        "kernelArguments": {"shouldExist": ["nosmt"]},
        "systemd": {"units": [{"name": "b.service", "enabled": true, "contents": "[Service]\nExecStart=/bin/true\n"}]},
        "passwd": {"users": []},
    });
    let restart = |unit: &str| Need::Restart(unit.into());
    assert_eq!(
        lines(old, new),
        [
            ("- /etc/a".to_owned(), Need::Reboot),
            ("+ /etc/chrony.conf".into(), restart("chrony.service")),
            ("~ /etc/motd".into(), Need::Nothing),
            ("+ /etc/systemd/system/b.service".into(), restart("b.service")),
            ("enable b.service".into(), restart("b.service")),
            ("kernel arguments +nosmt".into(), Need::Reboot),
        ]
    );
}

#[test]
fn there_and_back_is_nothing_and_the_way_back_undoes_the_way_there() {
    let a =
        json!({"storage": {"files": [file("/etc/a", "1")]}, "kernelArguments": {"shouldExist": ["x", "y"]}});
    let b = json!({"storage": {"directories": [{"path": "/etc/d"}], "files": [file("/etc/d/b", "1")]}, "kernelArguments": {"shouldExist": ["y"]}});
    assert!(lines(a.clone(), a.clone()).is_empty());
    let there: Vec<String> = lines(a.clone(), b.clone()).into_iter().map(|(line, _)| line).collect();
    assert_eq!(there, ["- /etc/a", "+ /etc/d", "+ /etc/d/b", "kernel arguments -x"]);
    let back: Vec<String> = lines(b, a).into_iter().map(|(line, _)| line).collect();
    assert_eq!(back, ["- /etc/d/b", "- /etc/d", "+ /etc/a", "kernel arguments +x"]);
}

#[test]
fn what_only_an_install_can_make_is_refused_by_its_member() {
    let disks = json!({"storage": {"disks": [{"device": "/dev/vdb", "wipeTable": true}]}});
    let problems = changes(&kept(json!({})), &kept(disks)).err().expect("refused");
    assert_eq!(problems[0].path, "$.storage.disks");
    let user = json!({"passwd": {"users": [{"name": "eve"}]}});
    assert_eq!(changes(&kept(json!({})), &kept(user)).err().expect("refused")[0].path, "$.passwd.users");
    let key = |key: &str| json!({"passwd": {"users": [{"name": "core", "sshAuthorizedKeys": [key]}]}});
    assert_eq!(
        lines(key("ssh-ed25519 A"), key("ssh-ed25519 B"))[0],
        ("~ SSH keys of core".into(), Need::Nothing)
    );
}

#[test]
fn together_they_ask_for_no_more_than_they_must() {
    let all = |files: &[&str]| {
        let files: Vec<Value> = files.iter().map(|path| file(path, "1")).collect();
        let found = changes(&kept(json!({})), &kept(json!({"storage": {"files": files}})));
        Demand::of(&found.unwrap_or_else(|problems| panic!("{problems:?}")))
    };
    let unit = "/etc/systemd/system/ssh.service.d/1.conf";
    let restart = |units: &[&str]| units.iter().map(|unit| (*unit).to_owned()).collect::<Vec<_>>();
    assert_eq!(all(&["/etc/motd"]), Demand::Nothing);
    let reload = Demand::Units { reload: restart(&["ssh.service"]), restart: vec![] };
    assert_eq!(all(&["/etc/motd", "/etc/ssh/sshd_config"]), reload);
    let both = Demand::Units { reload: vec![], restart: restart(&["chrony.service", "ssh.service"]) };
    assert_eq!(all(&["/etc/ssh/sshd_config", unit, "/etc/chrony.conf"]), both);
    assert_eq!(all(&["/etc/chrony.conf", "/etc/fstab"]), Demand::Reboot);
}
