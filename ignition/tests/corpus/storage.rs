//! Handwritten values for nodes, disks, arrays, volumes and filesystems.

use serde_json::{Value, json};

use super::handwritten::list;

pub fn nodes() -> Vec<Value> {
    list(json!([
        {"directories": [{"path": "/etc/d"}]}, {"directories": [{"path": "/etc/d", "mode": 448, "user": {"id": 3}, "group": {"id": 4}}]},
        {"directories": [{"path": "/etc"}]}, {"directories": [{"path": "/etc/skel", "mode": 448}]}, {"directories": [{"path": "d"}]},
        {"directories": [{"path": "/etc/d"}, {"path": "/etc/d"}]}, {"directories": [{"path": "/etc/d", "mode": 5000}]},
        {"directories": [{"path": "/etc/d/e/f"}, {"path": "/etc/d", "mode": 448}]},
        {"directories": [{"path": "/etc/skel", "overwrite": true}]}, {"directories": [{"path": "/etc/motd", "overwrite": true}]},
        {"directories": [{"path": "/etc/motd"}]},
        {"files": [{"path": "/etc/a"}], "directories": [{"path": "/etc/a"}]}, {"files": [{"path": "/etc/a"}], "links": [{"path": "/etc/a", "target": "b"}]},
        {"links": [{"path": "/etc/l", "target": "motd"}]}, {"links": [{"path": "/etc/l"}]}, {"links": [{"path": "/etc/l", "target": ""}]},
        {"links": [{"path": "l", "target": "motd"}]}, {"links": [{"path": "/etc/l", "target": "/etc/motd", "hard": true}]},
        {"links": [{"path": "/etc/l", "target": "/etc/d", "hard": true}], "directories": [{"path": "/etc/d"}]},
        {"links": [{"path": "/etc/l", "target": "x", "user": {"id": 4}, "group": {"name": "daemon"}}]},
        {"links": [{"path": "/etc/l", "target": "x"}], "files": [{"path": "/etc/l/f"}]},
        {"links": [{"path": "/etc/l", "target": "x"}], "directories": [{"path": "/etc/l/f"}]},
        {"links": [{"path": "/etc/l", "target": "x"}, {"path": "/etc/l/m", "target": "x"}]},
        {"links": [{"path": "/etc/l", "target": "x"}], "files": [{"path": "/etc/lf"}]},
        {"links": [{"path": "/etc/motd", "target": "issue", "overwrite": true}]}, {"links": [{"path": "/etc/motd", "target": "issue"}]},
        {"links": [{"path": "/etc/link", "target": "skel"}]}, {"links": [{"path": "/etc/link", "target": "other"}]},
        {"links": [{"path": "/etc/hard", "target": "/etc/deep/file", "hard": true}], "files": [{"path": "/etc/deep/file", "contents": {"source": "data:,x"}}]},
        {"links": [{"path": "/etc/hard", "target": "/etc/motd", "hard": true, "user": {"id": 1}}]},
        {"links": [{"path": "/etc/hard", "target": "/etc/missing", "hard": true}]},
        {"files": [{"path": "/etc/z/file"}, {"path": "/etc/b/file"}], "directories": [{"path": "/etc/z", "mode": 448}, {"path": "/etc/b", "mode": 509}]},
        {"files": [{"path": "/etc/link/a"}, {"path": "/etc/skel/a"}]}, {"files": []}, {"files": null}, {"files": {}},
        {"files": [{"path": "/etc/dangling/a", "contents": {"source": "data:,x"}}]},
        {"files": [{"path": "/etc/absolute/a", "contents": {"source": "data:,x"}}]},
        {"files": [{"path": "/etc/out/a", "contents": {"source": "data:,x"}}]},
        {"directories": [{"path": "/var/lib/a/b", "user": {"name": "daemon"}}]}, {"directories": [{"path": "/"}]},
    ]))
}

pub fn disks() -> Vec<Value> {
    let guid = "01234567-89AB-CDEF-EDCB-A98765432101";
    let p = |partitions: Value| json!({"device": "/dev/vda", "partitions": partitions});
    vec![
        json!({"device": "/dev/vda"}),
        json!({"device": ""}),
        json!({"device": "vda"}),
        json!({"device": "/dev/vda", "wipeTable": true}),
        p(json!([{"number": 1}])),
        p(json!([{"label": "a"}])),
        p(json!([{}])),
        p(json!([{"number": 1}, {"number": 1}])),
        p(json!([{"label": "a"}, {"label": "a"}])),
        p(json!([{"number": 1, "label": "a"}, {"number": 2, "label": "a"}])),
        p(json!([{"number": 1, "label": "a:b"}])),
        p(json!([{"number": 1, "label": "a".repeat(36)}])),
        p(json!([{"number": 1, "label": "a".repeat(37)}])),
        p(json!([{"number": 1, "guid": guid, "typeGuid": guid}])),
        p(json!([{"number": 1, "guid": "x"}])),
        p(json!([{"number": 1, "typeGuid": "x"}])),
        p(json!([{"number": 1, "guid": ""}])),
        p(json!([{"number": 1, "shouldExist": false}])),
        p(json!([{"number": 1, "shouldExist": false, "label": "a"}])),
        p(json!([{"number": 1, "shouldExist": false, "sizeMiB": 1}])),
        p(json!([{"number": 1, "shouldExist": false, "wipePartitionEntry": true}])),
        p(json!([{"number": 1, "startMiB": 1, "sizeMiB": 10}, {"number": 2, "startMiB": 11, "sizeMiB": 10}])),
        p(json!([{"number": 1, "startMiB": 1, "sizeMiB": 10}, {"number": 2, "startMiB": 10, "sizeMiB": 10}])),
        p(json!([{"number": 1, "startMiB": 1, "sizeMiB": 0}, {"number": 2, "startMiB": 1, "sizeMiB": 10}])),
        p(json!([{"number": 1, "startMiB": 0, "sizeMiB": 10}, {"number": 2, "startMiB": 0, "sizeMiB": 10}])),
        p(json!([{"number": 1, "startMiB": 5, "sizeMiB": 20}, {"number": 2, "startMiB": 7, "sizeMiB": 1}])),
        p(json!([{"number": 1, "resize": true}])),
        p(json!([{"number": 1}, {"label": "b"}])),
        p(json!([{"label": ""}])),
    ]
}

pub fn raid() -> Vec<Value> {
    let d = json!(["/dev/a", "/dev/b"]);
    let mut cases = Vec::new();
    for level in [
        "linear", "raid0", "0", "stripe", "raid1", "1", "mirror", "raid4", "raid5", "6", "raid10", "raid7",
        "",
    ] {
        cases.push(json!({"name": "md", "level": level, "devices": d}));
    }
    cases.extend([
        json!({"name": "md", "level": "raid0", "devices": d, "spares": 1}), json!({"name": "md", "level": "raid0", "devices": d, "spares": 0}),
        json!({"name": "md", "level": "raid1", "devices": d, "spares": 1, "options": ["--verbose", "--verbose"]}),
        json!({"name": "md", "level": "raid1", "devices": []}), json!({"name": "md", "level": "raid1", "devices": ["/dev/a", "/dev/a"]}),
        json!({"name": "md", "level": "raid1", "devices": ["a"]}),
    ]);
    cases
}

pub fn filesystems() -> Vec<Value> {
    let f = |format: &str, label: usize| json!({"device": "/dev/vda1", "format": format, "label": "l".repeat(label)});
    let mut cases = vec![
        json!({"device": "/dev/vda1"}),
        json!({"device": "vda1", "format": "ext4"}),
        json!({"device": "/dev/vda1", "format": ""}),
        json!({"device": "/dev/vda1", "path": "/var"}),
        json!({"device": "/dev/vda1", "label": "a"}),
        json!({"device": "/dev/vda1", "uuid": "a"}),
        json!({"device": "/dev/vda1", "wipeFilesystem": true}),
        json!({"device": "/dev/vda1", "wipeFilesystem": false}),
        json!({"device": "/dev/vda1", "options": ["a"]}),
        json!({"device": "/dev/vda1", "mountOptions": ["a"]}),
        json!({"device": "/dev/vda1", "format": "ext3"}),
        json!({"device": "/dev/vda1", "format": "none"}),
        json!({"device": "/dev/vda1", "format": "ext4", "path": "var"}),
        json!({"device": "/dev/vda1", "format": "ext4", "path": "/var/../a"}),
        json!({"device": "/dev/vda1", "format": "ext4", "path": "/", "options": ["a", "a"], "mountOptions": ["b", "b"]}),
        json!({"device": "/dev/vda1", "format": "ext4", "path": ""}),
    ];
    for (format, most) in [("ext4", 16), ("xfs", 12), ("btrfs", 256), ("vfat", 11), ("swap", 15)] {
        cases.extend([f(format, most), f(format, most + 1)]);
    }
    cases
}

pub fn luks() -> Vec<Value> {
    let l = |more: Value| {
        let mut value = json!({"name": "data", "device": "/dev/vda1"});
        value.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        value
    };
    let tang = json!({"url": "http://tang.example", "thumbprint": "x"});
    vec![
        l(json!({})),
        json!({"name": "data"}),
        json!({"name": "a/b", "device": "/dev/vda1"}),
        json!({"name": "a", "device": "vda1"}),
        l(json!({"label": "a".repeat(47)})),
        l(json!({"label": "a".repeat(48)})),
        l(json!({"keyFile": {"source": "data:,key"}})),
        l(json!({"keyFile": {"source": "x://key"}})),
        l(json!({"keyFile": {"source": "data:,key", "compression": "zip"}})),
        l(json!({"clevis": {"tpm2": true}})),
        l(json!({"clevis": {"tang": [tang], "threshold": 1}})),
        l(json!({"clevis": {"tang": [{"url": "ftp://a", "thumbprint": "x"}]}})),
        l(json!({"clevis": {"tang": [{"url": "http://a"}]}})),
        l(json!({"clevis": {"tang": [{"url": "", "thumbprint": "x"}]}})),
        l(json!({"clevis": {"tang": [tang, tang]}})),
        l(json!({"clevis": {"custom": {"pin": "sss", "config": "{}"}}})),
        l(json!({"clevis": {"custom": {"pin": "x", "config": "{}"}}})),
        l(json!({"clevis": {"custom": {"pin": "tang", "config": ""}}})),
        l(json!({"clevis": {"custom": {"pin": "tang", "config": "{}"}, "tpm2": true}})),
        l(json!({"options": ["--verbose", "--verbose"], "uuid": "x", "wipeVolume": true})),
    ]
}
