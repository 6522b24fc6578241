//! Handwritten units, accounts, kernel arguments and whole configurations.

use serde_json::{Value, json};

use super::handwritten::list;

pub fn units() -> Vec<Value> {
    let c = |text: &str| json!([{"name": "a.service", "contents": text}]);
    let e = |text: &str| json!([{"name": "a.service", "enabled": true, "contents": text}]);
    vec![
        json!([{"name": "a.service"}]),
        json!([{"name": "a"}]),
        json!([{"name": ""}]),
        json!([{"name": "a.txt"}]),
        json!([{"name": "a.socket", "enabled": false}]),
        json!([{"name": "a.service"}, {"name": "a.service"}]),
        json!([{"name": "a.service", "mask": true}]),
        json!([{"name": "known.service", "mask": true}]),
        json!([{"name": "a.service", "mask": true, "contents": "[Unit]\n"}]),
        json!([{"name": "masked.service", "mask": false}]),
        json!([{"name": "known.service", "enabled": true}]),
        json!([{"name": "on.service", "enabled": false}]),
        json!([{"name": "known.service", "enabled": false}]),
        c(""),
        c("[Unit]\nDescription=a\n"),
        c("[Unit\n"),
        c("[Unit]x\n"),
        c("Foo=bar\n"),
        c("nonsense"),
        c("[Unit]\nnonsense\n"),
        c("[Unit]\nnonsense"),
        c("# c\n[Unit]\n; c\nA=b\\\n c\n\nB=c"),
        c("[Unit]\nA=b \\\n# no comment\nC=d\n"),
        c("\n\n[Unit]\r\nA=b\r\n"),
        c("[Service]\nExecStart=/bin/sh -c '[ a ]'\n"),
        c(&format!("[Unit]\nDescription={}\n", "a".repeat(3000))),
        c("[Unit] \nA = b\n"),
        c("x [Unit]\nA=b\n"),
        c("[]\nA=b\n"),
        c("[Unit]\n=b\n"),
        e("[Unit]\n[Install]\nWantedBy=multi-user.target\n"),
        e("[Unit]\nDescription=a\n"),
        e("[Install]\nAlias=b.service\nRequiredBy=c.target\n"),
        json!([{"name": "t@.service", "contents": "[Unit]\n[Install]\nWantedBy=a.target\n"}, {"name": "t@1.service", "enabled": true}, {"name": "t@2.service", "enabled": true}]),
        json!([{"name": "known@x.service", "enabled": true}]),
        json!([{"name": "known@.service", "enabled": true}]),
        json!([{"name": "t@.service", "contents": "[Unit]\n"}, {"name": "t@1.service", "enabled": true}]),
        json!([{"name": "a.service", "dropins": [{"name": "1.conf", "contents": "[Unit]\nA=b\n"}, {"name": "2.conf"}]}]),
        json!([{"name": "a.service", "dropins": [{"name": "1.txt", "contents": "[Unit]\n"}]}]),
        json!([{"name": "a.service", "dropins": [{"name": "1.conf"}, {"name": "1.conf"}]}]),
        json!([{"name": "a.service", "dropins": [{"name": "1.conf", "contents": "[Unit"}]}]),
        json!([{"name": "a.service", "dropins": [{"name": "1.conf", "contents": ""}]}]),
        json!([{"name": "a.service", "enabled": true}, {"name": "b.timer", "enabled": false}, {"name": "c.mount", "contents": "[Mount]\nWhat=/dev/a\nWhere=/c\n"}]),
        json!([{"name": "also.service", "enabled": true, "contents": "[Install]\nWantedBy=a.target\nAlso=known.service\n"}]),
        json!([{"name": "known.service", "enabled": true, "dropins": [{"name": "5.conf", "contents": "[Service]\nEnvironment=A=b\n"}]}]),
        json!([{"name": "dash-name.with:odd_chars@in\\x2dst.service", "contents": "[Unit]\n"}]),
        json!([{"name": "on.service", "enabled": true}, {"name": "off.service", "enabled": true}]),
    ]
}

pub fn passwd() -> Vec<Value> {
    list(json!([
        {"users": [{"name": "core"}]}, {"users": [{"name": "core"}, {"name": "core"}]}, {"groups": [{"name": "g"}, {"name": "g"}]},
        {"users": [{"name": "core", "uid": 1500, "gecos": "Core User", "homeDir": "/var/lib/core", "shell": "/bin/bash"}]},
        {"users": [{"name": "core", "passwordHash": "$y$abc", "sshAuthorizedKeys": ["ssh-ed25519 AAAA one", "ssh-ed25519 BBBB two"]}]},
        {"users": [{"name": "core", "sshAuthorizedKeys": ["a", "a"]}]}, {"users": [{"name": "core", "groups": ["daemon", "sudo"]}]},
        {"users": [{"name": "core", "groups": ["sudo", "sudo"]}]}, {"users": [{"name": "core", "noCreateHome": true}]},
        {"users": [{"name": "core", "noUserGroup": true}]}, {"users": [{"name": "core", "primaryGroup": "daemon"}]},
        {"users": [{"name": "core", "primaryGroup": "12"}]}, {"users": [{"name": "svc", "system": true}]},
        {"users": [{"name": "svc", "system": true, "noCreateHome": true}]}, {"users": [{"name": "core", "noLogInit": true}]},
        {"groups": [{"name": "g"}]}, {"groups": [{"name": "g", "gid": 700}]}, {"groups": [{"name": "g", "system": true}]},
        {"groups": [{"name": "g", "passwordHash": "$y$abc"}]}, {"groups": [{"name": "g", "gid": 1000}], "users": [{"name": "core"}]},
        {"groups": [{"name": "g"}], "users": [{"name": "core", "groups": ["g"], "primaryGroup": "g"}]},
        {"groups": [{"name": "core"}], "users": [{"name": "core", "primaryGroup": "core"}]},
        {"users": [{"name": "old", "shell": "/bin/false", "gecos": "changed"}]}, {"users": [{"name": "old", "groups": ["sudo"]}]},
        {"users": [{"name": "old", "passwordHash": ""}]}, {"users": [{"name": "old", "passwordHash": "$y$def"}]},
        {"users": [{"name": "old", "sshAuthorizedKeys": ["ssh-ed25519 AAAA one"]}]}, {"users": [{"name": "old", "shouldExist": false}]},
        {"users": [{"name": "nobody-knows", "shouldExist": false}]}, {"groups": [{"name": "spare", "shouldExist": false}]},
        {"groups": [{"name": "nobody-knows", "shouldExist": false}]}, {"users": [{"name": "root", "passwordHash": "$y$root"}]},
        {"users": [{"name": "root", "sshAuthorizedKeys": ["ssh-ed25519 AAAA root"]}]}, {"users": [{"name": "one"}, {"name": "two"}, {"name": "three"}]},
        {"users": [{"name": "Upper"}]}, {"users": [{"name": "core", "homeDir": "/home/core/"}]}, {"users": [{"name": "old", "homeDir": "/var/lib/old"}]},
        {"users": [{"name": "old", "uid": 1003}]}, {"users": [{"name": "old", "primaryGroup": "daemon"}]}, {"users": [{"name": "core", "passwordHash": ""}]},
        {"groups": [{"name": "old"}]}, {"users": [{"name": "core", "uid": 0}]}, {"users": [{"name": "core", "groups": ["lost"]}]},
        {"groups": [{"name": "g", "gid": 27}]}, {"users": [{"name": "core", "sshAuthorizedKeys": [" ssh-ed25519 AAAA spaces "]}]},
    ]))
}

pub fn arguments() -> Vec<Value> {
    list(json!([
        {"shouldExist": ["a", "b=c"]}, {"shouldExist": ["a", "a"]}, {"shouldNotExist": ["a", "a"]}, {"shouldExist": ["a"], "shouldNotExist": ["a"]},
        {"shouldExist": ["a"], "shouldNotExist": ["b"]}, {"shouldExist": "a"},
    ]))
}

pub fn whole() -> Vec<Value> {
    list(json!([
        {}, {"unknown": {}}, {"storage": {}, "systemd": {}, "passwd": {}}, {"storage": null}, {"storage": []},
        {"storage": {"unknown": 1}, "systemd": {"units": [{"name": "a.service", "colour": "red"}]}},
        {"storage": {"disks": [{"device": "/dev/vda", "partitions": [{"number": 1}]}], "filesystems": [{"device": "/dev/vda", "format": "ext4"}]}},
        {"storage": {"disks": [{"device": "/dev/vda", "wipeTable": true}], "filesystems": [{"device": "/dev/vda", "format": "ext4"}]}},
        {"storage": {"disks": [{"device": "/dev/vda"}, {"device": "/dev/vda"}]}},
        {"storage": {"filesystems": [{"device": "/dev/a"}, {"device": "/dev/a"}]}}, {"storage": {"raid": [{"name": "a", "level": "1", "devices": ["/a"]}, {"name": "a", "level": "1", "devices": ["/b"]}]}},
    ]))
}
