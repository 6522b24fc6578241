//! The disks stage on files: tables and filesystems need no kernel that knows the device.

use serde_json::{Value, json};

use std::fs;

use super::*;

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new(mib: u64) -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        let file = fs::File::create(folder.path().join("disk")).expect("a file");
        file.set_len(mib << 20).expect("a size");
        Self { folder }
    }

    fn disk(&self) -> String {
        self.folder.path().join("disk").display().to_string()
    }

    fn run(&self, storage: Value) -> Result<(), Failure> {
        self.run_with(storage, &Marks::new(None))
    }

    fn run_with(&self, mut storage: Value, marks: &Marks) -> Result<(), Failure> {
        for list in ["disks", "filesystems"] {
            for entry in storage[list].as_array_mut().into_iter().flatten() {
                entry["device"] = self.disk().into();
            }
        }
        let value = json!({"ignition": {"version": "3.5.0"}, "storage": storage});
        let config = crate::parse_value(value).expect("a configuration").config;
        assert_eq!(crate::validate(&config), []);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let fetcher = Fetcher::plain(Path::new("/"), |_| {});
        let settings = Settings::default();
        runtime.block_on(Disks { fetcher: &fetcher, settings: &settings, marks, say: |_| {} }.run(&config))
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(self.disk()).expect("readable")
    }

    fn table(&self) -> Vec<(u32, u64, u64, String)> {
        let disk = Disk::open(Path::new(&self.disk())).expect("a disk");
        disk.table()
            .entries
            .into_iter()
            .map(|entry| (entry.number, entry.start, entry.size, entry.label))
            .collect()
    }
}

#[test]
fn partitions_are_made_once_and_the_disk_stays_as_it_was_when_they_cannot_be() {
    let bench = Bench::new(64);
    let kind = "6b2a9f3e-5c1d-4e7a-9b8c-a51a12c0f160";
    let rest = json!([{"number": 7, "label": "rest", "typeGuid": kind}]);
    bench.run(json!({"disks": [{"partitions": rest}]})).expect("made");
    let rest = (7, 2048, 64 * 2048 - 2048 - 33, "rest".to_owned());
    assert!(
        matches!(bench.run(json!({"disks": [{"partitions": [{"number": 1, "sizeMiB": 500}]}]})), Err(failure) if failure.cause.contains("does not fit"))
    );
    assert_eq!(bench.table(), [rest]);
}

#[test]
fn running_the_stage_again_changes_no_byte() {
    let bench = Bench::new(64);
    let wanted = || json!({"disks": [{"wipeTable": false, "partitions": [{"number": 1, "label": "a", "sizeMiB": 10}, {"number": 2, "label": "b"}]}]});
    bench.run(wanted()).expect("made");
    let first = bench.bytes();
    bench.run(wanted()).expect("there");
    assert!(bench.bytes() == first);
    let other = json!({"disks": [{"partitions": [{"number": 2, "label": "c"}]}]});
    let failure = bench.run(other).unwrap_err();
    assert!(failure.cause.contains("wipePartitionEntry"), "{failure}");
    assert!(bench.bytes() == first, "a refusal leaves the disk as it was");
}

#[test]
fn an_mbr_goes_only_when_the_table_may_be_wiped() {
    let bench = Bench::new(64);
    let mut mbr = vec![0; 512];
    mbr[446 + 4] = 0x83;
    mbr[510..].copy_from_slice(&[0x55, 0xaa]);
    let disk = fs::OpenOptions::new().write(true).open(bench.disk()).expect("a disk");
    std::os::unix::fs::FileExt::write_all_at(&disk, &mbr, 0).expect("written");
    let failure = bench.run(json!({"disks": [{"partitions": [{"number": 1}]}]})).unwrap_err();
    assert!(failure.cause.contains("MBR"), "{failure}");
    assert_eq!(bench.bytes()[..512], mbr);
    bench.run(json!({"disks": [{"wipeTable": true}]})).expect("wiped");
    assert_ne!(bench.bytes()[446 + 4], 0x83);
}

#[test]
fn a_filesystem_that_a_power_cut_left_half_made_is_made_again() {
    let bench = Bench::new(64);
    let folder = tempfile::tempdir().expect("a directory");
    let marks = Marks::new(Some(folder.path()));
    let xfs = json!({"filesystems": [{"format": "vfat", "label": "OTHER"}]});
    bench.run(xfs).expect("what the cut left");
    let wanted = json!({"filesystems": [{"format": "ext4", "label": "data"}]});
    assert!(bench.run_with(wanted.clone(), &marks).is_err(), "it may be the user's");
    marks.set(&bench.disk()).expect("marked");
    bench.run_with(wanted.clone(), &marks).expect("made again");
    assert!(!marks.has(&bench.disk()), "the mark goes when it is made");
    let first = bench.bytes();
    bench.run_with(wanted, &marks).expect("used as it is");
    assert!(bench.bytes() == first);
}

#[test]
fn a_filesystem_is_made_used_again_and_never_lost_silently() {
    let bench = Bench::new(64);
    let ext4 = |label: &str, wipe: bool| json!({"filesystems": [{"format": "ext4", "label": label, "wipeFilesystem": wipe}]});
    bench.run(ext4("data", false)).expect("made");
    let first = bench.bytes();
    bench.run(ext4("data", false)).expect("used again");
    assert!(bench.bytes() == first);
    let failure = bench.run(ext4("other", false)).unwrap_err();
    assert!(failure.cause.contains("LABEL=data"), "{failure}");
    let failure = bench.run(json!({"filesystems": [{"format": "vfat"}]})).unwrap_err();
    assert!(failure.remedy.contains("wipeFilesystem"));
    assert!(bench.bytes() == first);
    bench.run(ext4("other", true)).expect("made anew");
    bench.run(json!({"filesystems": [{"format": "none", "wipeFilesystem": true}]})).expect("wiped");
    bench.run(json!({"filesystems": [{"format": "vfat", "label": "EFI"}]})).expect("made on an empty device");
}

#[test]
fn a_device_that_does_not_exist_is_named() {
    let value = json!({"ignition": {"version": "3.5.0"}, "storage": {"disks": [{"device": "/dev/no-such-disk", "partitions": [{"number": 1}]}]}});
    let config = crate::parse_value(value).expect("a configuration").config;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (fetcher, settings) = (Fetcher::plain(Path::new("/"), |_| {}), Settings::default());
    let failure = runtime
        .block_on(
            Disks { fetcher: &fetcher, settings: &settings, marks: &Marks::new(None), say: |_| {} }
                .run(&config),
        )
        .unwrap_err();
    assert_eq!((failure.stage, failure.entry.as_str()), ("disks", "/dev/no-such-disk"));
}
