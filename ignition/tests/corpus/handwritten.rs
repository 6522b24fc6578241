//! One configuration per rule, valid and invalid, and those where we differ on purpose.

use serde_json::{Value, json};

use super::{Case, versioned};

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (group, make, values) in groups() {
        for version in ["3.0.0", "3.1.0", "3.2.0", "3.3.0"] {
            for (index, value) in values.iter().enumerate() {
                // Every value at the latest version; at earlier ones a third of them, another third each.
                let rotation = version.as_bytes()[2] as usize;
                if version == "3.3.0" || index % 3 == rotation % 3 {
                    let case =
                        Case::new(format!("{group}-{index}-{version}"), &versioned(version, make(value)));
                    let untargeted =
                        group == "nodes" && value["links"][0]["target"].as_str().unwrap_or("").is_empty();
                    let differs = untargeted && value["links"].is_array() && version != "3.3.0";
                    cases.push(Case { differs: differs.then_some(NO_TARGET), ..case });
                }
            }
        }
    }
    cases.extend(texts());
    cases.extend(differences());
    cases
}

const NO_TARGET: &str = "a link without a target is refused before the disk is touched, as from spec 3.3 on";

type Group = (&'static str, fn(&Value) -> Value, Vec<Value>);

fn groups() -> Vec<Group> {
    vec![
        ("file", |v| json!({"storage": {"files": [v]}}), files()),
        (
            "source",
            |v| json!({"storage": {"files": [{"path": "/etc/a", "contents": {"source": v}}]}}),
            sources(),
        ),
        ("resource", |v| json!({"storage": {"files": [{"path": "/etc/a", "contents": v}]}}), resources()),
        ("merge", |v| json!({"ignition": {"config": v}}), references()),
        ("ignition", |v| json!({"ignition": v}), ignition()),
        ("nodes", |v| json!({"storage": v}), nodes()),
        ("disk", |v| json!({"storage": {"disks": [v]}}), disks()),
        ("raid", |v| json!({"storage": {"raid": [v]}}), raid()),
        ("filesystem", |v| json!({"storage": {"filesystems": [v]}}), filesystems()),
        ("luks", |v| json!({"storage": {"luks": [v]}}), luks()),
        ("unit", |v| json!({"systemd": {"units": v}}), units()),
        ("passwd", |v| json!({"passwd": v}), passwd()),
        ("kargs", |v| json!({"kernelArguments": v}), arguments()),
        ("whole", Value::clone, whole()),
    ]
}

fn list(value: Value) -> Vec<Value> {
    value.as_array().expect("a list").clone()
}

fn files() -> Vec<Value> {
    list(json!([
        {"path": "/etc/a"}, {"path": "etc/a"}, {"path": ""}, {"path": "/etc/../a"}, {"path": "/etc//a"}, {"path": "/etc/a/"},
        {"path": "/etc/a", "mode": 0}, {"path": "/etc/a", "mode": 420}, {"path": "/etc/a", "mode": 4095},
        {"path": "/etc/a", "mode": 4096}, {"path": "/etc/a", "mode": -1}, {"path": "/etc/a", "mode": "0644"},
        {"path": "/etc/a", "overwrite": true}, {"path": "/etc/a", "overwrite": false},
        {"path": "/etc/motd", "overwrite": true, "contents": {"source": "data:,new"}},
        {"path": "/etc/motd", "append": [{"source": "data:,one%0A"}, {"source": "data:,two%0A"}]},
        {"path": "/etc/new", "append": [{"source": "data:,one%0A"}], "mode": 384},
        {"path": "/etc/new", "contents": {"source": "data:,zero%0A"}, "append": [{"source": "data:;base64,b25lCg=="}]},
        {"path": "/etc/motd", "mode": 384},
        {"path": "/etc/motd", "mode": 511, "user": {"id": 7}, "group": {"name": "daemon"}},
        {"path": "/etc/a", "user": {"id": 500}}, {"path": "/etc/a", "user": {"name": "daemon"}, "group": {"name": "daemon"}},
        {"path": "/etc/a", "user": {"id": 1, "name": "daemon"}}, {"path": "/etc/a", "user": {"id": 1, "name": ""}},
        {"path": "/etc/a", "group": {"id": 1, "name": "daemon"}}, {"path": "/etc/a", "contents": {"source": ""}},
        {"path": "/var/log/deep/er/file", "contents": {"source": "data:,x"}},
        {"path": "/home/x", "contents": {"source": "data:,x"}}, {"path": "/etc/link/through", "contents": {"source": "data:,x"}},
        {"path": "/etc/a b", "contents": {"source": "data:,x"}}, {"path": "/etc/ünïcode", "contents": {"source": "data:,x"}},
        {"path": "/etc/a", "contents": {"source": "data:,x"}, "append": [{}]},
        {"path": "/etc/motd", "contents": {"source": "data:,x"}},
    ]))
}

fn sources() -> Vec<Value> {
    list(json!([
        "data:,",
        "data:,hello",
        "data:,hello%20world%0A",
        "data:,a b",
        "data:,%2",
        "data:,%zz",
        "data:;base64,",
        "data:;base64,aGk=",
        "data:;base64,aGk",
        "data:;base64,aGk*",
        "data:;base64,aG\nk=",
        "data:text/plain,a",
        "data:text/plain;charset=utf-8,a",
        "data:text/plain;charset=\"utf-8\",a",
        "data:text/plain;charset=utf-8;base64,aGk=",
        "data:;charset=utf-8,a",
        "data:application/octet-stream;base64,AAEC",
        "data:x-own/type,a",
        "data:what/ever,a",
        "data:text,a",
        "data:",
        "data",
        "data:text/plain;base64;a=b,aGk=",
        "data:;BASE64,aGk=",
        "data:,a#b",
        "data:,a?b=c&d",
        "data:,a[b]",
        "data:,{\"a\":1}",
        "data:,%C3%BC",
        "data:image/png;base64,iVBORw0KGgo=",
        "data:;base64,aGl=",
        "data:;a=,x",
        "data:;=a,x",
        "data:,a%00b",
        "ftp://a/b",
        "file:///etc/passwd",
        "/etc/passwd",
        "a",
        "://",
        "http://a.example/b",
        "https://a.example/b?c=d#e",
        "HTTPS://a.example/b",
        "tftp://a.example/b",
        "s3://bucket/key",
        "s3://bucket/key?versionId=1",
        "s3://bucket/key?versionId=",
        "gs://bucket/object",
        "oem:///a",
        "arn:aws:s3:::bucket/key",
        "http://[::1]:80/a",
        "http://a.example:port/b",
        "http://a b/c",
        "http://a.example/%zz",
        "https://user:secret@a.example/b",
    ]))
}

fn resources() -> Vec<Value> {
    let (right, wrong) = (format!("sha512-{}", HI_512), format!("sha512-{}", "0".repeat(128)));
    list(json!([
        {}, {"source": null}, {"source": "data:,hi", "compression": ""}, {"source": "data:,hi", "compression": "xz"},
        {"source": "data:;base64,H4sIAAAAAAAAA8vIBACshhTYAgAAAA==", "compression": "gzip"}, {"source": "data:;base64,H4sIAAAAAAACA8vI5AIAenpv7QMAAAA=", "compression": "gzip"},
        {"source": "data:,hi", "verification": {"hash": right}}, {"source": "data:,hi", "verification": {}},
        {"source": "data:,hi", "verification": {"hash": "sha512"}}, {"source": "data:,hi", "verification": {"hash": "sha512-00"}},
        {"source": "data:,hi", "verification": {"hash": "md5-00000000000000000000000000000000"}},
        {"source": "data:,hi", "verification": {"hash": format!("sha256-{HI_256}")}},
        {"source": "data:,hi", "verification": {"hash": ""}}, {"verification": {"hash": wrong}},
        {"source": "http://a.example/b", "httpHeaders": [{"name": "A", "value": "b"}]},
        {"source": "http://a.example/b", "httpHeaders": [{"name": "", "value": "b"}]},
        {"source": "http://a.example/b", "httpHeaders": [{"name": "A", "value": ""}]},
        {"source": "http://a.example/b", "httpHeaders": [{"name": "A"}]},
        {"source": "http://a.example/b", "httpHeaders": [{"name": "A", "value": "b"}, {"name": "A", "value": "c"}]},
        {"source": "data:,hi", "httpHeaders": [{"name": "A", "value": "b"}]}, {"httpHeaders": [{"name": "A", "value": "b"}]},
        {"source": "tftp://a.example/b", "httpHeaders": [{"name": "A", "value": "b"}]}, {"source": "data:,hi", "httpHeaders": []},
        {"source": 1},
    ]))
}

const HI_256: &str = "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4";
const HI_512: &str = "150a14ed5bea6cc731cf86c41566ac427a8db48ef1b9fd626664b3bfbb99071fa4c922f33dde38719b8c8354e2b7ab9d77e0e67fc12843920a712e73d558e197";

fn references() -> Vec<Value> {
    let child = "data:,%7B%22ignition%22%3A%7B%22version%22%3A%223.0.0%22%7D%7D";
    list(json!([
        {"merge": [{"source": child}]}, {"replace": {"source": child}}, {"merge": [{"source": child}, {"source": child}]},
        {"merge": [{"source": "ftp://a"}]}, {"merge": [{}], "replace": {}}, {"merge": [{"source": ""}]}, {"merge": []},
        {"replace": {"source": child, "compression": "gz"}}, {"replace": {"source": child, "verification": {"hash": "a"}}},
        {"merge": [{"source": "https://a.example/b", "httpHeaders": [{"name": "A", "value": "b"}]}]},
    ]))
}

fn ignition() -> Vec<Value> {
    list(json!([
        {"timeouts": {"httpResponseHeaders": 5, "httpTotal": 0}}, {"timeouts": {}}, {"timeouts": {"httpTotal": "5"}},
        {"security": {"tls": {"certificateAuthorities": [{"source": "https://a.example/ca.pem"}]}}},
        {"security": {"tls": {"certificateAuthorities": [{"source": ""}]}}},
        {"security": {"tls": {"certificateAuthorities": [{"source": "https://a/b"}, {"source": "https://a/b"}]}}},
        {"security": {"tls": {"certificateAuthorities": [{"source": "x://a/b"}]}}},
        {"proxy": {"httpProxy": "http://p.example:3128", "httpsProxy": "https://p.example", "noProxy": ["a", "b"]}},
        {"proxy": {"httpProxy": "socks5://p.example"}}, {"proxy": {"httpsProxy": "http://p.example"}},
        {"proxy": {"httpsProxy": ""}}, {"proxy": {"httpProxy": "p.example"}}, {"proxy": {"noProxy": ["a", "a"]}},
        {"proxy": {"httpProxy": "http://p.example:x"}}, {"security": {}}, {"unknown": 1},
    ]))
}

fn nodes() -> Vec<Value> {
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

fn disks() -> Vec<Value> {
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

fn raid() -> Vec<Value> {
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

fn filesystems() -> Vec<Value> {
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

fn luks() -> Vec<Value> {
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

fn units() -> Vec<Value> {
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

fn passwd() -> Vec<Value> {
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

fn arguments() -> Vec<Value> {
    list(json!([
        {"shouldExist": ["a", "b=c"]}, {"shouldExist": ["a", "a"]}, {"shouldNotExist": ["a", "a"]}, {"shouldExist": ["a"], "shouldNotExist": ["a"]},
        {"shouldExist": ["a"], "shouldNotExist": ["b"]}, {"shouldExist": "a"},
    ]))
}

fn whole() -> Vec<Value> {
    list(json!([
        {}, {"unknown": {}}, {"storage": {}, "systemd": {}, "passwd": {}}, {"storage": null}, {"storage": []},
        {"storage": {"unknown": 1}, "systemd": {"units": [{"name": "a.service", "colour": "red"}]}},
        {"storage": {"disks": [{"device": "/dev/vda", "partitions": [{"number": 1}]}], "filesystems": [{"device": "/dev/vda", "format": "ext4"}]}},
        {"storage": {"disks": [{"device": "/dev/vda", "wipeTable": true}], "filesystems": [{"device": "/dev/vda", "format": "ext4"}]}},
        {"storage": {"disks": [{"device": "/dev/vda"}, {"device": "/dev/vda"}]}},
        {"storage": {"filesystems": [{"device": "/dev/a"}, {"device": "/dev/a"}]}}, {"storage": {"raid": [{"name": "a", "level": "1", "devices": ["/a"]}, {"name": "a", "level": "1", "devices": ["/b"]}]}},
    ]))
}

/// Texts that are no object of a known version.
fn texts() -> Vec<Case> {
    let texts = [
        "",
        " ",
        "{",
        "[]",
        "null",
        "1",
        "\"a\"",
        "{}",
        "#cloud-config",
        "#!/bin/sh",
        "<html>",
        "{\"ignition\": {}}",
        "{\"ignition\": null}",
        "{\"ignition\": {\"version\": \"\"}}",
        "{\"ignition\": {\"version\": \"2.3.0\"}}",
        "{\"ignition\": {\"version\": \"3.6.0\"}}",
        "{\"ignition\": {\"version\": \"3.3\"}}",
        "{\"ignition\": {\"version\": \"x\"}}",
        "{\"ignition\": {\"version\": 3}}",
        "{\"ignition\": {\"version\": \"3.3.0-experimental\"}}",
        "{\"ignition\": {\"version\": \"3.3.0\"}} x",
        "{\"ignition\": {\"version\": \"3.3.0\"},}",
        "{\"ignition\": {\"version\": \"1.0.0\"}}",
        "{\"ignition\": {\"version\": \"3.3.0\"}, \"storage\": {\"files\": [1]}}",
    ];
    let cases = texts.iter().enumerate();
    cases
        .map(|(index, text)| Case { name: format!("text-{index}"), text: (*text).to_owned(), differs: None })
        .collect()
}

/// Where we mean to differ, each with its reason.
fn differences() -> Vec<Case> {
    let three = |value: Value| versioned("3.3.0", value);
    let cases: Vec<(&'static str, Value)> = vec![
        ("a name is required of everything that is made by its name", json!({"passwd": {"users": [{}]}})),
        (
            "a name is required of everything that is made by its name",
            json!({"storage": {"luks": [{"device": "/dev/a"}]}}),
        ),
        (
            "the name of an account that no program accepts is refused before the disk is touched",
            json!({"passwd": {"users": [{"name": "a:b"}]}}),
        ),
        (
            "the name of an account that no program accepts is refused before the disk is touched",
            json!({"passwd": {"groups": [{"name": "-a"}]}}),
        ),
        (
            "a field of passwd with a colon is refused before the disk is touched",
            json!({"passwd": {"users": [{"name": "a", "gecos": "a:b"}]}}),
        ),
        (
            "a field of passwd with a colon is refused before the disk is touched",
            json!({"passwd": {"users": [{"name": "a", "passwordHash": "a:b"}]}}),
        ),
        (
            "a home or shell that useradd does not accept is refused before the disk is touched",
            json!({"passwd": {"users": [{"name": "a", "homeDir": "home"}]}}),
        ),
        (
            "a home or shell that useradd does not accept is refused before the disk is touched",
            json!({"passwd": {"users": [{"name": "a", "shell": "sh"}]}}),
        ),
        (
            "an id that no account can have is refused before the disk is touched",
            json!({"passwd": {"users": [{"name": "a", "uid": -1}]}}),
        ),
        (
            "an id that no account can have is refused before the disk is touched",
            json!({"storage": {"files": [{"path": "/a", "user": {"id": -1}}]}}),
        ),
        ("a negative time has no meaning", json!({"ignition": {"timeouts": {"httpTotal": -1}}})),
        ("a file cannot replace the root directory", json!({"storage": {"files": [{"path": "/"}]}})),
        ("nothing can lie below a file", json!({"storage": {"files": [{"path": "/a"}, {"path": "/a/b"}]}})),
        (
            "a unit at the path of a file would hide it (spec 3.4 and later refuse it in every version)",
            json!({"storage": {"files": [{"path": "/etc/systemd/system/a.service"}]}, "systemd": {"units": [{"name": "a.service", "contents": "[Unit]\n"}]}}),
        ),
        (
            "a hash of other characters than hex digits matches nothing",
            json!({"storage": {"files": [{"path": "/a", "contents": {"source": "data:,a", "verification": {"hash": format!("sha512-{}", "z".repeat(128))}}}]}}),
        ),
        (
            "a header's name with a space cannot be sent",
            json!({"storage": {"files": [{"path": "/a", "contents": {"source": "http://a/b", "httpHeaders": [{"name": "a b", "value": "c"}]}}]}}),
        ),
        (
            "a unit's name is no path",
            json!({"systemd": {"units": [{"name": "../a.service", "contents": "[Unit]\n"}]}}),
        ),
        (
            "a unit's name is no path",
            json!({"systemd": {"units": [{"name": "a.service", "dropins": [{"name": "../a.conf"}]}]}}),
        ),
        (
            "GPT has 128 entries; a number beyond them fails in the disks stage",
            json!({"storage": {"disks": [{"device": "/dev/a", "partitions": [{"number": 129}]}]}}),
        ),
        (
            "a negative size fails in the disks stage",
            json!({"storage": {"disks": [{"device": "/dev/a", "partitions": [{"number": 1, "sizeMiB": -1}]}]}}),
        ),
        (
            "shouldExist: false beside a partition without a number (2.15 lifted the restriction in every version)",
            json!({"storage": {"disks": [{"device": "/dev/a", "partitions": [{"number": 1, "shouldExist": false}, {"label": "b"}]}]}}),
        ),
        (
            "a null where a value is required is not the empty value",
            json!({"passwd": {"users": [{"name": null}]}}),
        ),
        (
            "keys are matched as they are written, so Users is an unknown key (a warning)",
            json!({"passwd": {"Users": [{"name": 1}]}}),
        ),
        (
            "an array's name is part of a path in /dev/md",
            json!({"storage": {"raid": [{"name": "a/b", "level": "1", "devices": ["/dev/a"]}]}}),
        ),
    ];
    let named = cases.into_iter().enumerate();
    named
        .map(|(index, (reason, value))| Case {
            differs: Some(reason),
            ..Case::new(format!("differs-{index}"), &three(value))
        })
        .collect()
}
