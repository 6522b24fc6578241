//! Bad input: each is a precise error, and what was there stays as it was.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::thread;

use ashlar_ignition::runtime::{Disks, Failure, Fetcher, Marks, Root, apply, fetch_all};
use ashlar_ignition::{Config, Settings, parse, parse_value, plan};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

fn fetcher() -> Fetcher {
    Fetcher::plain(Path::new("/"), |_| {})
}

fn config(mut value: Value) -> Config {
    value["ignition"]["version"] = "3.5.0".into();
    parse_value(value).expect("a configuration").config
}

/// Serves one connection with what `answer` writes, until the other side has enough.
fn server(answer: impl FnOnce(&mut dyn Write) -> std::io::Result<()> + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/a", listener.local_addr().expect("an address"));
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let _ = stream.read(&mut [0; 4096]);
        let _ = answer(&mut stream);
    });
    url
}

fn body(bytes: Vec<u8>) -> String {
    server(move |stream| {
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", bytes.len())?;
        stream.write_all(&bytes)
    })
}

fn packed_zeros(mib: usize) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    (0..mib).for_each(|_| packer.write_all(&vec![0; 1 << 20]).expect("memory"));
    packer.finish().expect("memory")
}

fn merged(url: &str, more: Value) -> Result<(), Failure> {
    let mut resource = json!({"source": url});
    resource.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    let start = config(json!({"ignition": {"config": {"merge": [resource]}}}));
    block_on(fetch_all(&start, &fetcher())).map(drop)
}

/// Applies one file with these contents; the error's text, and whether the folder is as it was.
fn file(contents: Value) -> (String, bool) {
    let root = tempfile::tempdir().expect("a directory");
    fs::create_dir(root.path().join("etc")).expect("a directory");
    fs::write(root.path().join("etc/a"), "before").expect("a file");
    let entry = json!({"path": "/etc/a", "overwrite": true, "contents": contents});
    let config = config(json!({"storage": {"files": [entry]}}));
    let actions = plan(&config, &Settings::default()).expect("it is fetched later");
    let Err((_, error)) = block_on(apply(&actions, &Root::new(root.path()), &fetcher())) else {
        panic!("it is applied")
    };
    let names: Vec<String> = fs::read_dir(root.path().join("etc"))
        .expect("readable")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with(".ashlar-ignition"))
        .collect();
    let same = names == ["a"] && fs::read_to_string(root.path().join("etc/a")).expect("text") == "before";
    (format!("{error}; {}", error.remedy()), same)
}

#[test]
fn an_endless_configuration_ends_at_its_limit() {
    let url = server(|stream| {
        write!(stream, "HTTP/1.1 200 OK\r\n\r\n")?;
        let chunk = vec![b' '; 1 << 20];
        loop {
            stream.write_all(&chunk)?;
        }
    });
    let failure = merged(&url, json!({})).unwrap_err();
    assert!(failure.cause.contains("64 MiB"), "{failure}");
}

#[test]
fn a_packed_configuration_that_grows_without_end_is_refused() {
    let failure = merged(&body(packed_zeros(600)), json!({"compression": "gzip"})).unwrap_err();
    assert!(failure.cause.contains("larger than 512 MiB"), "{failure}");
}

#[test]
fn a_page_in_place_of_a_configuration_is_called_so() {
    let failure = merged(&body(b"<!DOCTYPE html><html>Sign in</html>".to_vec()), json!({})).unwrap_err();
    assert!(failure.cause.contains("HTML"), "{failure}");
    assert!(!failure.cause.contains("Sign in"), "no body is shown");
}

#[test]
fn other_versions_are_named() {
    for version in ["3.6.0", "2.4.0", "1.0.0", "4.0.0"] {
        let text = json!({"ignition": {"version": version}}).to_string();
        let error = parse(text.as_bytes()).expect_err("it is not known").to_string();
        assert!(error.contains(version) && error.contains("3.0.0 to 3.5.0"), "{error}");
        let failure = merged(&body(text.into_bytes()), json!({})).unwrap_err();
        assert!(failure.cause.contains(version), "{failure}");
    }
}

#[test]
fn malformed_json_and_wrong_types_say_where() {
    let error = parse(b"{\"ignition\": {\"version\": \"3.5.0\"},}").expect_err("a comma").to_string();
    assert!(error.contains("line 1"), "{error}");
    let wrong = json!({"ignition": {"version": "3.5.0"}, "storage": {"files": [{"path": 7}]}});
    let error = parse(wrong.to_string().as_bytes()).expect_err("a number").to_string();
    assert!(error.contains("spec 3.5.0") && error.contains("line 1 column"), "{error}");
}

#[test]
fn contents_with_another_hash_are_not_put_in_place() {
    let hash = format!("sha256-{}", "0".repeat(64));
    let contents = json!({"source": body(b"other".to_vec()), "verification": {"hash": hash}});
    let (error, same) = file(contents);
    assert!(error.contains("have the hash") && same, "{error}");
}

#[test]
fn contents_that_are_not_gzip_are_not_put_in_place() {
    let (error, same) = file(json!({"source": body(b"plain".to_vec()), "compression": "gzip"}));
    assert!(error.contains("not valid gzip") && same, "{error}");
}

#[test]
fn an_answer_that_breaks_off_is_not_put_in_place() {
    let url = server(|stream| write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf"));
    let root = tempfile::tempdir().expect("a directory");
    let config = config(json!({"ignition": {"timeouts": {"httpTotal": 1}},
        "storage": {"files": [{"path": "/a", "contents": {"source": url}}]}}));
    let settings = Settings {
        timeouts: ashlar_ignition::Timeouts { response_headers: 10, total: 1 },
        ..Settings::default()
    };
    let actions = plan(&config, &settings).expect("it is fetched later");
    let failed = block_on(apply(&actions, &Root::new(root.path()), &fetcher()));
    assert!(failed.is_err_and(|(_, error)| error.to_string().contains("httpTotal")));
    assert!(!root.path().join("a").exists());
}

#[test]
fn a_host_that_does_not_answer_is_waited_for_until_the_time_is_over() {
    // Bound and never accepted from: nobody answers there.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let source = format!("http://{}/a", listener.local_addr().expect("an address"));
    let value =
        json!({"ignition": {"timeouts": {"httpTotal": 1}, "config": {"merge": [{"source": source}]}}});
    let failure = block_on(fetch_all(&config(value), &fetcher())).unwrap_err();
    assert!(failure.may_pass && failure.cause.contains("httpTotal"), "{failure}");
}

#[test]
fn no_path_and_no_link_leads_out_of_the_root() {
    let dots = json!({"ignition": {"version": "3.5.0"}, "storage": {"files": [{"path": "/etc/../../a"}]}});
    let said = parse(dots.to_string().as_bytes()).expect("the form is right").report();
    assert_eq!(said.errors[0].path, "$.storage.files.0.path");
    let outer = tempfile::tempdir().expect("a directory");
    let root = outer.path().join("root");
    fs::create_dir_all(&root).expect("a directory");
    std::os::unix::fs::symlink("../../..", root.join("out")).expect("a link");
    let config =
        config(json!({"storage": {"files": [{"path": "/out/a", "contents": {"source": "data:,b"}}]}}));
    let actions = plan(&config, &Settings::default()).expect("possible");
    block_on(apply(&actions, &Root::new(&root), &fetcher())).map_err(|(_, error)| error).expect("inside");
    assert!(root.join("a").exists() && !outer.path().join("a").exists());
}

fn disks(storage: Value) -> Result<(), Failure> {
    let config = config(json!({"storage": storage}));
    let (fetcher, settings, marks) = (fetcher(), Settings::default(), Marks::new(None));
    let disks = Disks { fetcher: &fetcher, settings: &settings, marks: &marks, say: |_| {} };
    block_on(disks.run(&config))
}

#[test]
fn devices_that_do_not_exist_are_named_in_every_list() {
    let device = "/dev/no-such-device";
    for storage in [
        json!({"disks": [{"device": device, "partitions": [{"number": 1}]}]}),
        json!({"raid": [{"name": "no-such-array", "level": "raid1", "devices": [device]}]}),
        json!({"luks": [{"name": "no-such-volume", "device": device}]}),
        json!({"filesystems": [{"device": device, "format": "ext4"}]}),
    ] {
        let failure = disks(storage).unwrap_err();
        assert_eq!((failure.stage, failure.entry.as_str()), ("disks", device));
        assert!(failure.cause.contains("no such device"), "{failure}");
    }
}

/// A loop device with a mounted ext4, taken away at the end.
struct Mounted {
    device: String,
    place: tempfile::TempDir,
}

impl Mounted {
    /// Nothing where the kernel or our rights do not allow it.
    fn new(folder: &Path) -> Option<Self> {
        let disk = folder.join("disk");
        fs::File::create(&disk).and_then(|file| file.set_len(32 << 20)).expect("a file");
        run("mkfs.ext4", &["-q", disk.to_str()?])?;
        let device = run("losetup", &["--find", "--show", disk.to_str()?])?.trim().to_owned();
        let mounted = Self { device, place: tempfile::tempdir().expect("a directory") };
        run("mount", &["-t", "ext4", &mounted.device, mounted.place.path().to_str()?])?;
        Some(mounted)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        run("umount", &[self.place.path().to_str().unwrap_or_default()]);
        run("losetup", &["--detach", &self.device]);
    }
}

fn run(program: &str, arguments: &[&str]) -> Option<String> {
    let output = std::process::Command::new(program).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn a_mounted_device_is_refused_and_stays_as_it_was() {
    let folder = tempfile::tempdir().expect("a directory");
    let Some(mounted) = Mounted::new(folder.path()) else {
        eprintln!("skipped: no loop device can be mounted here");
        return;
    };
    fs::write(mounted.place.path().join("a"), "before").expect("a file");
    let device = &mounted.device;
    let failure = disks(json!({"filesystems": [{"device": device, "format": "swap"}]})).unwrap_err();
    assert!(failure.cause.contains("something else is there (TYPE=ext4"), "{failure}");
    for storage in [
        json!({"filesystems": [{"device": device, "format": "swap", "wipeFilesystem": true}]}),
        json!({"disks": [{"device": device, "wipeTable": true, "partitions": [{"number": 1}]}]}),
        json!({"luks": [{"name": "no-such-volume", "device": device, "wipeVolume": true}]}),
    ] {
        let failure = disks(storage).unwrap_err();
        assert!(failure.cause.contains("in use: mounted at"), "{failure}");
        assert_eq!(&failure.entry, device);
    }
    assert_eq!(fs::read_to_string(mounted.place.path().join("a")).expect("text"), "before");
    assert!(run("blkid", &["--probe", device]).is_some_and(|text| text.contains("ext4")));
}

/// What the reference says of `none`: "any preexisting filesystem will cause Ignition to fail".
#[test]
fn a_device_for_none_must_be_empty() {
    let folder = tempfile::tempdir().expect("a directory");
    let disk = folder.path().join("disk");
    fs::File::create(&disk).and_then(|file| file.set_len(32 << 20)).expect("a file");
    let none = || disks(json!({"filesystems": [{"device": disk, "format": "none"}]}));
    none().expect("it is empty");
    run("mkfs.ext4", &["-q", disk.to_str().expect("text")]).expect("made");
    assert!(none().unwrap_err().cause.contains("something else is there (TYPE=ext4"));
}

#[test]
fn an_installed_systems_disk_is_never_wiped() {
    let folder = tempfile::tempdir().expect("a directory");
    let disk = folder.path().join("disk");
    fs::File::create(&disk).and_then(|file| file.set_len(64 << 20)).expect("a file");
    let device = disk.display().to_string();
    let kind = "6B2A9F3E-5C1D-4E7A-9B8C-A51A12C0F160";
    let partitions = json!([{"number": 1, "sizeMiB": 8, "typeGuid": kind, "label": "ashlar-config"}, {"number": 2, "sizeMiB": 8, "label": "var"}]);
    disks(json!({"disks": [{"device": device, "partitions": partitions}]})).expect("made");
    let before = fs::read(&disk).expect("readable");
    for storage in [
        json!({"disks": [{"device": device, "wipeTable": true}]}),
        json!({"disks": [{"device": device, "partitions": [{"number": 2, "shouldExist": false, "wipePartitionEntry": true}]}]}),
        json!({"filesystems": [{"device": device, "format": "ext4", "wipeFilesystem": true}]}),
    ] {
        let failure = disks(storage).unwrap_err();
        assert!(failure.cause.contains("installed system"), "{failure}");
        assert!(fs::read(&disk).expect("readable") == before);
    }
    let more = json!([{"number": 3, "sizeMiB": 8, "label": "data"}]);
    disks(json!({"disks": [{"device": device, "partitions": more}]})).expect("there is room beside it");
}
