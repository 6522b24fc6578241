//! Archives are read back with the `tar` crate alone, as another program would.

use super::*;

const NAME: &str = "registry.ashlar.local/tool:v1";

fn entries() -> Vec<Entry> {
    let long = format!("opt/{}/file", "deep/".repeat(40).trim_end_matches('/'));
    vec![
        Entry::program("usr/bin/tool", &std::env::current_exe().expect("own path")),
        Entry::directory("tmp", 0o1777),
        Entry::symlink("bin", "usr/bin"),
        Entry::text("etc/passwd", "root:x:0:0::/:/sbin/nologin\n"),
        Entry::text(&long, "far down"),
    ]
}

fn packed(entries: &[Entry]) -> (Packed, BTreeMap<String, Vec<u8>>) {
    let folder = tempfile::tempdir().expect("tempdir");
    let path = folder.path().join("tool.tar");
    let config = Config { entrypoint: vec!["/usr/bin/tool".into()], ..Config::default() };
    let packed = pack(NAME, entries, &config, &path).expect("pack");
    let mut files = BTreeMap::new();
    for entry in tar::Archive::new(File::open(&path).expect("open")).entries().expect("entries") {
        let mut entry = entry.expect("entry");
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).expect("read");
        files.insert(entry.path().expect("path").to_string_lossy().into_owned(), bytes);
    }
    (packed, files)
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("JSON")
}

/// The blob a descriptor points to, with its size and hash checked.
fn follow<'a>(files: &'a BTreeMap<String, Vec<u8>>, descriptor: &Value) -> &'a [u8] {
    let name = descriptor["digest"].as_str().expect("digest");
    let bytes = &files[&blob_path(name)];
    assert_eq!(descriptor["size"], bytes.len());
    assert_eq!(digest(&Sha256::digest(bytes)), name);
    bytes
}

#[test]
fn the_same_input_in_another_order_gives_the_same_bytes() {
    let mut reversed = entries();
    reversed.reverse();
    assert_eq!(packed(&entries()), packed(&reversed));
}

#[test]
fn every_hash_in_the_archive_is_that_of_its_content() {
    let (packed, files) = packed(&entries());
    let index = json(&files["index.json"]);
    assert_eq!(index["manifests"][0]["digest"], packed.digest);
    assert_eq!(index["manifests"][0]["annotations"]["io.containerd.image.name"], NAME);
    let manifest = json(follow(&files, &index["manifests"][0]));
    let config = json(follow(&files, &manifest["config"]));
    let layer = follow(&files, &manifest["layers"][0]);
    let tar = zstd::decode_all(layer).expect("zstd");
    assert_eq!(config["rootfs"]["diff_ids"][0], digest(&Sha256::digest(&tar)));
    assert_eq!(files.len(), 5);
}

#[test]
fn the_layer_holds_every_entry_and_the_directories_above() {
    let (_, files) = packed(&entries());
    let manifest = json(follow(&files, &json(&files["index.json"])["manifests"][0]));
    let tar = zstd::decode_all(follow(&files, &manifest["layers"][0])).expect("zstd");
    let mut archive = tar::Archive::new(tar.as_slice());
    let entries: Vec<_> = archive.entries().expect("entries").map(|entry| entry.expect("entry")).collect();
    let described: Vec<_> = entries
        .iter()
        .map(|entry| {
            let header = entry.header();
            let path = entry.path().expect("path").to_string_lossy().into_owned();
            (path, header.mode().expect("mode"), header.mtime().expect("mtime"))
        })
        .filter(|(path, ..)| !path.starts_with("opt"))
        .collect();
    let expected = [
        ("bin", 0o777),
        ("etc/", 0o755),
        ("etc/passwd", 0o644),
        ("tmp/", 0o1777),
        ("usr/", 0o755),
        ("usr/bin/", 0o755),
        ("usr/bin/tool", 0o755),
    ];
    assert_eq!(described, expected.map(|(path, mode)| (path.to_owned(), mode, 0)));
}

#[test]
fn a_path_given_twice_is_refused() {
    let twice = [Entry::text("etc/passwd", "a"), Entry::text("/etc/passwd", "b")];
    assert!(matches!(sorted(&twice), Err(Error::Twice { path }) if path == "etc/passwd"));
}

#[test]
fn a_missing_file_is_named_and_leaves_no_archive() {
    let folder = tempfile::tempdir().expect("tempdir");
    let archive = folder.path().join("tool.tar");
    let entries = [Entry::program("tool", Path::new("/nowhere/tool"))];
    let error = pack(NAME, &entries, &Config::default(), &archive).expect_err("no such file");
    assert_eq!(error.to_string(), "reading /nowhere/tool for the image path /tool");
    assert!(!archive.exists());
}
