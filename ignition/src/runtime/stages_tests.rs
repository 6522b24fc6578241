//! The stages one after the other, as the units of the initramfs run them, with directories for the machine.

use ashlar_model::slot::{self, Slot, SlotSecret};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;

use super::*;

struct Bench {
    folder: tempfile::TempDir,
    machine: Machine,
}

const ALL: [Stage; 7] = [
    Stage::FetchOffline,
    Stage::Fetch,
    Stage::Kargs,
    Stage::Disks,
    Stage::Mount,
    Stage::Files,
    Stage::Umount,
];

impl Bench {
    fn new(ignition: Value) -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("sysroot/etc")).expect("directories");
        fs::create_dir_all(at("boot/loader/entries")).expect("directories");
        fs::write(at("boot/loader/entries/a.conf"), "options root=x\n").expect("a file");
        let mut machine = Machine::new(at("sysroot"), at("slot"), 0, |_| {});
        machine.run = at("run");
        machine.boot = at("boot");
        machine.var = at("none");
        machine.command_line = at("cmdline");
        machine.directories = vec![at("usr")];
        let bench = Self { folder, machine };
        bench.slot(ignition, None);
        bench
    }

    fn slot(&self, ignition: Value, secret: Option<SlotSecret>) {
        let slot = Slot { host: "m".into(), ignition, server_ca_pem: String::new(), secret, issued_at: 0 };
        fs::write(&self.machine.slot, slot::encode(&slot).expect("it fits")).expect("a file");
    }

    fn run(&self, stage: Stage) -> Result<Went, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(run(stage, &self.machine))
    }

    /// The units' order and conditions: `fetch` only when the network is needed, nothing after a stage that is not
    /// followed by another.
    fn boot(&self) -> Result<Vec<Went>, Failure> {
        let mut went = Vec::new();
        for stage in ALL {
            if stage == Stage::Fetch && !self.machine.run.join(NEED_NETWORK).exists() {
                continue;
            }
            went.push(self.run(stage)?);
            if went.last() == Some(&Went::Restart) {
                break;
            }
        }
        Ok(went)
    }

    fn text(&self, path: &str) -> String {
        fs::read_to_string(self.folder.path().join(path)).unwrap_or_default()
    }
}

fn config(storage: Value) -> Value {
    json!({"ignition": {"version": "3.5.0"}, "storage": storage})
}

#[test]
fn a_configuration_of_data_urls_is_applied_without_the_network_and_once() {
    let bench = Bench::new(config(json!({"files": [{"path": "/etc/a", "contents": {"source": "data:,b"}}]})));
    assert_eq!(bench.boot().expect("applied"), [Went::On; 6]);
    assert_eq!(bench.text("sysroot/etc/a"), "b");
    let result: Value = serde_json::from_str(&bench.text("sysroot/etc/.ignition-result.json")).expect("JSON");
    assert_eq!((&result["source"], &result["host"]), (&json!("the config slot"), &json!("m")));
    assert_eq!(result["userConfigProvided"], true);
    assert!(!bench.text("boot/ashlar-ignition-applied").is_empty());
    assert!(!bench.machine.run.join(HANDED).exists(), "nothing of the configuration is left in memory");
    fs::write(bench.folder.path().join("sysroot/etc/a"), "changed later").expect("a file");
    assert_eq!(bench.boot().expect("nothing to do"), [Went::NothingToDo; 6]);
    assert_eq!(bench.text("sysroot/etc/a"), "changed later");
}

#[test]
fn what_is_handed_on_is_for_root_alone() {
    let bench = Bench::new(config(json!({"files": [{"path": "/etc/a"}]})));
    bench.run(Stage::FetchOffline).expect("found");
    let mode = |path: &std::path::Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!((mode(&bench.machine.run), mode(&bench.machine.run.join(HANDED))), (0o700, 0o600));
}

#[test]
fn the_network_is_asked_for_only_when_something_must_be_fetched() {
    let remote = json!({"source": "http://192.0.2.1/a"});
    let cases = [
        (config(json!({"files": [{"path": "/a", "contents": remote}]})), Went::NeedsNetwork),
        (config(json!({"files": [{"path": "/a", "append": [remote]}]})), Went::NeedsNetwork),
        (json!({"ignition": {"version": "3.5.0", "config": {"merge": [remote]}}}), Went::NeedsNetwork),
        (
            config(
                json!({"luks": [{"name": "a", "device": "/dev/a", "clevis": {"tang": [{"url": "http://t", "thumbprint": "x"}]}}]}),
            ),
            Went::NeedsNetwork,
        ),
        (
            config(
                json!({"luks": [{"name": "a", "device": "/dev/a", "clevis": {"tang": [{"url": "http://t", "thumbprint": "x", "advertisement": "{}"}]}}]}),
            ),
            Went::On,
        ),
        (
            config(
                json!({"luks": [{"name": "a", "device": "/dev/a", "clevis": {"custom": {"pin": "tpm2", "config": "{}", "needsNetwork": true}}}]}),
            ),
            Went::NeedsNetwork,
        ),
        (config(json!({"files": [{"path": "/a", "contents": {"source": "data:,x"}}]})), Went::On),
    ];
    for (value, wanted) in cases {
        let shown = value.to_string();
        let bench = Bench::new(value);
        assert_eq!(bench.run(Stage::FetchOffline).expect("readable"), wanted, "{shown}");
        assert_eq!(bench.machine.run.join(NEED_NETWORK).exists(), wanted == Went::NeedsNetwork);
        assert_eq!(bench.machine.run.join(HANDED).exists(), wanted == Went::On);
    }
}

/// Answers one request with this configuration.
fn server(config: Value) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/a", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept().expect("a connection");
        let _ = stream.read(&mut [0; 4096]).expect("a request");
        let body = config.to_string();
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).expect("an answer");
    });
    url
}

#[test]
fn the_configuration_that_the_kernel_names_is_fetched_and_taken_in_place_of_the_slots() {
    let named = |text: &str| {
        config(json!({"files": [{"path": "/etc/a", "contents": {"source": format!("data:,{text}")}}]}))
    };
    let bench = Bench::new(named("slot"));
    let url = server(named("kernel"));
    fs::write(&bench.machine.command_line, format!("quiet ignition.config.url={url}\n")).expect("a file");
    let went = bench.boot().expect("applied");
    assert_eq!(went, [&[Went::NeedsNetwork][..], &[Went::On; 6]].concat());
    assert_eq!(bench.text("sysroot/etc/a"), "kernel");
    let result: Value = serde_json::from_str(&bench.text("sysroot/etc/.ignition-result.json")).expect("JSON");
    assert_eq!(result["source"], "the kernel argument ignition.config.url");

    let bench = Bench::new(named("slot"));
    let url = crate::data_url(named("inline").to_string().as_bytes());
    fs::write(&bench.machine.command_line, format!("ignition.config.url={url}")).expect("a file");
    assert_eq!(bench.boot().expect("applied"), [Went::On; 6], "no network is needed");
    assert_eq!(bench.text("sysroot/etc/a"), "inline");
}

#[test]
fn kernel_arguments_ask_for_one_restart_and_the_rest_follows() {
    let mut value = config(json!({"files": [{"path": "/etc/a", "contents": {"source": "data:,b"}}]}));
    value["kernelArguments"] = json!({"shouldExist": ["nosmt"]});
    let bench = Bench::new(value);
    assert_eq!(bench.boot().expect("changed"), [Went::On, Went::Restart]);
    assert_eq!(bench.text("sysroot/etc/a"), "");
    assert_eq!(bench.text("boot/loader/entries/a.conf"), "options root=x nosmt\n");
    assert_eq!(bench.boot().expect("applied"), [Went::On; 6]);
    assert_eq!(bench.text("sysroot/etc/a"), "b");
}

#[test]
fn base_configurations_stand_below_the_users() {
    let bench =
        Bench::new(config(json!({"files": [{"path": "/etc/a", "contents": {"source": "data:,user"}}]})));
    let base = config(json!({"files": [
        {"path": "/etc/a", "contents": {"source": "data:,base"}, "mode": 0o600}, {"path": "/etc/b", "contents": {"source": "data:,base"}}]}));
    let folder = bench.folder.path().join("usr/base.d");
    fs::create_dir_all(&folder).expect("directories");
    fs::write(folder.join("a.ign"), base.to_string()).expect("a file");
    bench.boot().expect("applied");
    assert_eq!(
        (bench.text("sysroot/etc/a").as_str(), bench.text("sysroot/etc/b").as_str()),
        ("user", "base")
    );
    let mode = fs::metadata(bench.folder.path().join("sysroot/etc/a")).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_host_that_has_enrolled_is_left_alone_though_its_stamp_is_missing() {
    let value = json!({"ignition": {"version": "3.5.0", "config": {"merge": [{"source": "https://192.0.2.1/config"}]}}});
    let bench = Bench::new(value.clone());
    assert_eq!(bench.run(Stage::FetchOffline).expect("readable"), Went::NothingToDo);
    let secret = SlotSecret { token: "t".into(), certificate_pem: "c".into(), private_key_pem: "k".into() };
    bench.slot(value, Some(secret));
    assert_eq!(bench.run(Stage::FetchOffline).expect("readable"), Went::NeedsNetwork);
}

#[test]
fn what_this_machine_never_does_is_told_before_anything_is_touched() {
    let value = config(json!({
        "files": [{"path": "/etc/a"}],
        "luks": [{"name": "a", "device": "/dev/vdb", "cex": {"enabled": true}}],
        "filesystems": [{"device": "/dev/disk/by-label/root", "format": "ext4", "wipeFilesystem": true}],
    }));
    let bench = Bench::new(value);
    let failure = bench.boot().unwrap_err();
    assert_eq!(failure.stage, "plan");
    assert!(failure.cause.contains("s390x") && failure.cause.contains("installed system"), "{failure}");
    assert!(!bench.machine.sysroot.join("etc/a").exists());
}

/// A power cut is the process's end at any point: here between any two stages, with what `/run` held lost.
#[test]
fn a_boot_after_a_cut_between_any_two_stages_ends_in_the_same_tree() {
    let value = || {
        let mut value = config(json!({
            "directories": [{"path": "/etc/d", "mode": 0o700}],
            "files": [{"path": "/etc/d/a", "contents": {"source": "data:,b"}}, {"path": "/etc/l", "append": [{"source": "data:,x"}]}],
        }));
        value["kernelArguments"] = json!({"shouldExist": ["nosmt"]});
        value
    };
    for cut in 0..ALL.len() {
        let bench = Bench::new(value());
        for round in 0..2 {
            for stage in ALL.iter().take(if round == 0 { cut } else { ALL.len() }) {
                match bench.run(*stage).unwrap_or_else(|failure| panic!("cut {cut}: {failure}")) {
                    Went::Restart => break,
                    _ => continue,
                }
            }
            let _ = fs::remove_dir_all(&bench.machine.run);
        }
        // The restart that the arguments ask for may still be due.
        bench.boot().expect("it ends");
        assert_eq!(bench.text("sysroot/etc/d/a"), "b", "cut {cut}");
        assert_eq!(bench.text("sysroot/etc/l"), "x", "cut {cut}");
        assert_eq!(bench.text("boot/loader/entries/a.conf"), "options root=x nosmt\n", "cut {cut}");
        assert!(bench.machine.boot.join("ashlar-ignition-applied").exists(), "cut {cut}");
    }
}
