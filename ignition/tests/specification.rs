//! What the specification and the reference's documents say of spec 3.4 and 3.5, one test for each section, with its
//! words. The reference in Debian knows 3.3; what is below that is compared with it.

use ashlar_ignition::disks::{commands, refusals};
use ashlar_ignition::spec::Luks;
use ashlar_ignition::{Action, Config, Report, Settings, kargs, merge, parse, plan};
use serde_json::{Value, json};

fn report(version: &str, mut value: Value) -> Report {
    value["ignition"]["version"] = version.into();
    parse(value.to_string().as_bytes()).expect("a configuration").report()
}

fn config(version: &str, mut value: Value) -> Config {
    value["ignition"]["version"] = version.into();
    parse(value.to_string().as_bytes()).expect("a configuration").config
}

fn places(problems: &[ashlar_ignition::Problem]) -> Vec<&str> {
    problems.iter().map(|problem| problem.path.as_str()).collect()
}

fn luks(version: &str, more: Value) -> Luks {
    let mut volume = json!({"name": "data", "device": "/dev/vdb"});
    volume.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    let storage = config(version, json!({"storage": {"luks": [volume]}})).storage.expect("storage");
    storage.luks.expect("volumes").remove(0)
}

fn actions(config: &Config) -> Vec<Action> {
    plan(config, &Settings::default()).expect("possible")
}

/// 3.4: "The `luks` section gained a new `discard` field. If specified and true, the LUKS volume will issue discard
/// commands to the underlying block device when blocks are freed." 3.5: "If omitted, it defaults to false."
#[test]
fn luks_discard() {
    let has = |version, more| {
        commands::luks_open(&luks(version, more), "/k").contains(&"--allow-discards".to_owned())
    };
    assert!(has("3.4.0", json!({"discard": true})));
    assert!(has("3.5.0", json!({"discard": true})));
    assert!(!has("3.5.0", json!({})));
    assert!(!has("3.3.0", json!({"discard": true})), "a key that 3.3 does not know has no effect");
    assert!(
        !report("3.3.0", json!({"storage": {"luks": [{"name": "a", "device": "/dev/b", "discard": true}]}}))
            .warnings
            .is_empty()
    );
}

/// 3.4: "It is a list of options Ignition should pass to `cryptsetup luksOpen` when unlocking the volume. Ignition
/// also passes `--persistent`, so any options that support persistence will be saved to the volume".
#[test]
fn luks_open_options() {
    let more = json!({"openOptions": ["--perf-no_read_workqueue", "--perf-no_write_workqueue"]});
    let open = commands::luks_open(&luks("3.4.0", more), "/k").join(" ");
    assert_eq!(
        open,
        "luksOpen /dev/vdb data --key-file /k --persistent --perf-no_read_workqueue --perf-no_write_workqueue"
    );
}

/// 3.4, offline Tang provisioning: "If specified, Ignition will use it to provision the Tang server binding rather than
/// fetching the advertisement from the server at runtime. This allows the server to be unavailable at provisioning
/// time."
#[test]
fn tang_advertisement() {
    let tang = |more: Value| {
        let mut tang = json!({"url": "https://tang.example.com", "thumbprint": "T"});
        tang.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        json!({"clevis": {"tang": [tang]}})
    };
    let offline = luks("3.4.0", tang(json!({"advertisement": "{\"payload\": \"p\"}"})));
    let bind = commands::clevis_bind(&offline, "/k").expect("JSON").expect("bound").join(" ");
    assert!(bind.contains(r#""adv":{"payload":"p"}"#), "{bind}");
    assert!(commands::advertisements(&offline).is_empty() && !commands::can_be_tried(&offline));
    let online = luks("3.4.0", tang(json!({})));
    assert_eq!(commands::advertisements(&online), ["https://tang.example.com/adv"]);
    assert!(commands::can_be_tried(&online));
    let wrong = json!({"storage": {"luks": [{"name": "a", "device": "/dev/b", "clevis": tang(json!({"advertisement": "{"}))["clevis"]}]}});
    assert_eq!(places(&report("3.4.0", wrong).errors), ["$.storage.luks.0.clevis.tang.0.advertisement"]);
}

/// Clevis: "**custom**: overrides the clevis configuration. The `pin` & `config` will be passed directly to `clevis
/// luks bind`. If specified, all other clevis options must be omitted."
#[test]
fn clevis_custom() {
    let clevis =
        |clevis: Value| json!({"storage": {"luks": [{"name": "a", "device": "/dev/b", "clevis": clevis}]}});
    let custom = json!({"pin": "tang", "config": "{\"url\": \"u\"}", "needsNetwork": true});
    let bound = luks("3.5.0", json!({"clevis": {"custom": custom}}));
    let bind = commands::clevis_bind(&bound, "/k").expect("given").expect("bound");
    assert_eq!(bind[7..], ["tang", "{\"url\": \"u\"}"]);
    assert!(commands::crypttab_line(&bound, "U").contains("_netdev"));
    assert!(report("3.5.0", clevis(json!({"custom": custom}))).errors.is_empty());
    for other in [
        json!({"tpm2": true}),
        json!({"threshold": 1}),
        json!({"tang": [{"url": "http://t", "thumbprint": "x"}]}),
    ] {
        let mut both = json!({"custom": custom});
        both.as_object_mut().expect("an object").extend(other.as_object().expect("an object").clone());
        let errors = report("3.5.0", clevis(both)).errors;
        assert_eq!(places(&errors), ["$.storage.luks.0.clevis.custom"], "{other}");
    }
    let half = report("3.5.0", clevis(json!({"custom": {"pin": "tpm2"}}))).errors;
    assert_eq!(places(&half), ["$.storage.luks.0.clevis.custom.config"]);
}

/// "**threshold** (integer): sets the minimum number of pieces required to decrypt the device. Default is 1."
#[test]
fn clevis_threshold() {
    let bind =
        |more| commands::clevis_bind(&luks("3.5.0", more), "/k").expect("JSON").expect("bound").join(" ");
    assert!(bind(json!({"clevis": {"tpm2": true}})).ends_with(r#""t":1}"#));
    let two =
        json!({"clevis": {"tpm2": true, "threshold": 2, "tang": [{"url": "http://t", "thumbprint": "x"}]}});
    assert!(bind(two).ends_with(r#""t":2}"#));
}

/// 3.5: "The `luks` section gained a new `cex` field for s390x. If specified and true, the LUKS volume will issue volume
/// encryption using IBM Crypto Express Card (CEX)." The configuration is valid; no machine of ours can do it.
#[test]
fn luks_cex() {
    let with = |more: Value| {
        let mut volume = json!({"name": "a", "device": "/dev/b", "cex": {"enabled": true}});
        volume.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        json!({"storage": {"luks": [volume]}})
    };
    let said = report("3.5.0", with(json!({})));
    assert!(said.errors.is_empty());
    assert_eq!(places(&said.warnings), ["$.storage.luks.0.cex"]);
    for other in [json!({"clevis": {"tpm2": true}}), json!({"keyFile": {"source": "data:,a"}})] {
        assert_eq!(places(&report("3.5.0", with(other)).errors), ["$.storage.luks.0.cex"]);
    }
    let refused = refusals::refusals(&config("3.5.0", with(json!({}))));
    assert!(refused[0].to_string().contains("s390x"), "{}", refused[0]);
    assert!(refusals::refusals(&config("3.4.0", with(json!({})))).is_empty(), "3.4 does not know the key");
}

/// 3.4 and 3.5, files: "Setuid/setgid/sticky bits are not supported." The reference warns and leaves them out, of
/// directories as well ("Warn if setuid/setgid/sticky mode bits specified (3.4.0 - 3.5.0)").
#[test]
fn special_mode_bits() {
    for version in ["3.4.0", "3.5.0"] {
        let value = json!({"storage": {"files": [{"path": "/a", "mode": 0o4755}], "directories": [{"path": "/b", "mode": 0o1777}]}});
        let said = report(version, value.clone());
        assert!(said.errors.is_empty());
        assert_eq!(said.warnings.len(), 2, "{:?}", said.warnings);
        for action in actions(&config(version, value)) {
            match action {
                Action::File { mode, .. } => assert_eq!(mode, Some(0o755)),
                Action::Directory { mode, .. } => assert_eq!(mode, Some(0o777)),
                other => panic!("{other}"),
            }
        }
        let beyond = report(version, json!({"storage": {"files": [{"path": "/a", "mode": 0o10000}]}}));
        assert_eq!(places(&beyond.errors), ["$.storage.files.0.mode"]);
    }
}

/// 2.15, all specs: "Fail if files/links/dirs conflict with systemd units or dropins".
#[test]
fn nodes_and_units() {
    let unit = json!({"units": [{"name": "a.service", "contents": "[Unit]\n", "dropins": [{"name": "b.conf", "contents": "[Unit]\n"}]}]});
    for (list, path) in [
        ("files", "/etc/systemd/system/a.service"),
        ("links", "/etc/systemd/system/a.service"),
        ("directories", "/etc/systemd/system/a.service"),
        ("files", "/etc/systemd/system/a.service.d/b.conf"),
    ] {
        let value = json!({"storage": {list: [{"path": path, "target": "/x"}]}, "systemd": unit});
        assert!(!report("3.5.0", value).errors.is_empty(), "{list} {path}");
    }
    let beside =
        json!({"storage": {"files": [{"path": "/etc/systemd/system/a.service.d/c.conf"}]}, "systemd": unit});
    assert!(report("3.5.0", beside).errors.is_empty());
}

/// "**shouldExist** (list of strings): the list of kernel arguments that should exist. **shouldNotExist**: the list of
/// kernel arguments that should not exist." Merged: lists are united in the parent's order, the child's after it, and
/// an argument of the child leaves the parent's other list.
#[test]
fn kernel_arguments_in_order() {
    let of = |value: Value| config("3.5.0", json!({"kernelArguments": value}));
    let parent = of(json!({"shouldExist": ["console=tty0", "console=ttyS0", "quiet"]}));
    let child = of(json!({"shouldExist": ["nosmt", "console=tty0"], "shouldNotExist": ["quiet"]}));
    let wanted = merge(&parent, &child).kernel_arguments.expect("arguments");
    assert_eq!(
        wanted.should_exist,
        Some(["console=tty0", "console=ttyS0", "nosmt"].map(str::to_owned).into())
    );
    assert_eq!(
        kargs::edited("root=x quiet", &wanted).as_deref(),
        Some("root=x console=tty0 console=ttyS0 nosmt")
    );
}

/// "Similarly, if the format is set to `none`, then any preexisting filesystem will cause Ignition to fail"; with
/// `wipeFilesystem` it will "always wipe any preexisting filesystem and [...] skip creation if the format is set to
/// `none`". What is there is asked in the disks stage's own tests.
#[test]
fn filesystem_none() {
    let of = |value: Value| json!({"storage": {"filesystems": [value]}});
    assert!(report("3.5.0", of(json!({"device": "/dev/a", "format": "none"}))).errors.is_empty());
    assert!(!report("3.2.0", of(json!({"device": "/dev/a", "format": "none"}))).errors.is_empty());
    let none = config("3.5.0", of(json!({"device": "/dev/a", "format": "none"}))).storage.expect("storage");
    assert_eq!(commands::make_filesystem(&none.filesystems.expect("filesystems")[0]), None);
}

/// 3.4: "The sections which allow fetching a remote URL now accept AWS S3 access point ARNs
/// (`arn:aws:s3:<region>:<account>:accesspoint/<accesspoint>/object/<path>`) in the `source` field."
#[test]
fn access_point_arns() {
    let arn = "arn:aws:s3:us-west-1:123456789012:accesspoint/test/object/some/path";
    let of = |source: &str| json!({"storage": {"files": [{"path": "/a", "contents": {"source": source}}]}});
    assert!(report("3.4.0", of(arn)).errors.is_empty());
    assert!(report("3.4.0", of("arn:aws:s3:::bucket/key")).errors.is_empty());
    assert_eq!(places(&report("3.3.0", of(arn)).errors), ["$.storage.files.0.contents.source"]);
    assert!(!report("3.4.0", of("arn:aws:s3:us-west-1:1:accesspoint/test")).errors.is_empty());
}

/// "**hash** (string): [...] If `compression` is specified, the hash describes the decompressed file."
#[test]
fn hashes_of_compressed_contents() {
    // `text`, packed; and the SHA-256 of `text`.
    let packed = "data:;base64,H4sIAAAAAAAC/ytJrSgBAMenizsEAAAA";
    let hash = "sha256-982d9e3eb996f559e633f4d194def3761d909f5a3b647d1a851fead67c32c9d1";
    let contents = json!({"source": packed, "compression": "gzip", "verification": {"hash": hash}});
    let value = json!({"storage": {"files": [{"path": "/a", "contents": contents}]}});
    assert_eq!(actions(&config("3.5.0", value.clone())).len(), 1);
    let mut other = value;
    other["storage"]["files"][0]["contents"]["verification"]["hash"] =
        "sha256-0000000000000000000000000000000000000000000000000000000000000000".into();
    assert!(plan(&config("3.5.0", other), &Settings::default()).is_err());
}
