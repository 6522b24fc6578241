//! The write path against files: complete, interrupted anywhere, and from a damaged medium.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicUsize, Ordering};

use ashlar_host::inventory::{contents, partitions};
use ashlar_model::agent_api::Progress;
use ashlar_model::release::Chunk;
use sha2::{Digest, Sha256};

use super::*;

const CHUNK: u64 = 4 * MIB;
const IMAGE: u64 = 42 * MIB;
const DISK: u64 = 1200 * MIB;
const SLOT_START: u64 = 8 * MIB;

struct Bench {
    dir: tempfile::TempDir,
    manifest: DiskImage,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let image = dir.path().join("disk.img");
        let mut file =
            File::options().read(true).write(true).create(true).truncate(true).open(&image).expect("file");
        file.set_len(IMAGE).expect("a size");
        // Noise with holes in it, then the table over it.
        let noise: Vec<u8> = (0..10 * MIB).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        file.write_all_at(&noise, 20 * MIB).expect("noise");
        file.write_all_at(&[0xfa; 440], 0).expect("boot code");
        gptman::GPT::write_protective_mbr_into(&mut file, 512).expect("an MBR");
        let mut gpt = gptman::GPT::new_from(&mut file, 512, [9; 16]).expect("a table");
        let slot_type = uuid::Uuid::parse_str(slot::PARTITION_TYPE).expect("a GUID").to_bytes_le();
        for (number, kind, start, size) in
            [(1, [1; 16], MIB, MIB), (4, slot_type, SLOT_START, slot::SLOT_BYTES)]
        {
            gpt[number] = gptman::GPTPartitionEntry {
                partition_type_guid: kind,
                unique_partition_guid: [number as u8; 16],
                starting_lba: start / 512,
                ending_lba: (start + size) / 512 - 1,
                attribute_bits: 0,
                partition_name: "p".into(),
            };
        }
        gpt[5] = gptman::GPTPartitionEntry {
            partition_type_guid: [2; 16],
            unique_partition_guid: [5; 16],
            starting_lba: 16 * MIB / 512,
            ending_lba: 41 * MIB / 512 - 1,
            attribute_bits: 0,
            partition_name: "root".into(),
        };
        gpt.write_into(&mut file).expect("written");
        let manifest = manifest(&mut file);
        Self { dir, manifest }
    }

    fn image(&self) -> PathBuf {
        self.dir.path().join("disk.img")
    }

    /// A disk whose first sectors would boot something old.
    fn disk(&self) -> PathBuf {
        let path = self.dir.path().join("disk");
        let mut file = File::create(&path).expect("a disk");
        file.write_all(&[0x55; 2 << 20]).expect("old data");
        file.set_len(DISK).expect("a size");
        path
    }

    async fn install(
        &self,
        disk: &Path,
        report: impl Fn(Progress) -> bool + Send + Sync + 'static,
    ) -> Result<(), Failure> {
        self.install_with(disk, 512, report).await
    }

    async fn install_with(
        &self,
        disk: &Path,
        sector: u64,
        report: impl Fn(Progress) -> bool + Send + Sync + 'static,
    ) -> Result<(), Failure> {
        let (manifest, slot) = (self.manifest.clone(), Some(example_slot()));
        let job = Job { disk: disk.to_owned(), sector, image: self.image(), manifest, slot, verify: true };
        let report: Report = Arc::new(report);
        install(Arc::new(job), &report).await.map(drop)
    }
}

fn manifest(file: &mut File) -> DiskImage {
    file.seek(SeekFrom::Start(0)).expect("the start");
    let mut chunks = Vec::new();
    let mut at = 0;
    while at < IMAGE {
        let mut bytes = vec![0; CHUNK.min(IMAGE - at) as usize];
        file.read_exact(&mut bytes).expect("a chunk");
        let zero = bytes.iter().all(|byte| *byte == 0);
        chunks.push(Chunk { sha256: hex::encode(Sha256::digest(&bytes)), zero });
        at += bytes.len() as u64;
    }
    DiskImage { size: IMAGE, chunk_size: CHUNK, chunks, partitions: vec![] }
}

fn example_slot() -> Slot {
    let secret = SlotSecret { token: "t".into(), certificate_pem: "c".into(), private_key_pem: "k".into() };
    Slot {
        host: "master-1".into(),
        ignition: serde_json::json!({"ignition": {"version": "3.5.0"}}),
        server_ca_pem: "PEM".into(),
        secret: Some(secret),
        issued_at: 0,
    }
}

fn bytes(path: &Path, offset: u64, length: u64) -> Vec<u8> {
    let mut bytes = vec![0; length as usize];
    File::open(path).expect("a file").read_exact_at(&mut bytes, offset).expect("bytes");
    bytes
}

#[tokio::test]
async fn a_file_becomes_a_disk_that_is_nobodys_and_is_never_overwritten() {
    let bench = Bench::new();
    let manifest = serde_json::to_vec(&bench.manifest).expect("JSON");
    std::fs::write(bench.dir.path().join("disk.json"), manifest).expect("written");
    let disk = bench.dir.path().join("nobody.img");
    let report: Report = Arc::new(|_| true);
    to_file(bench.image(), &disk, DISK, &report).await.expect("made");
    assert_eq!(disk.metadata().expect("there").len(), DISK);
    assert!(bytes(&disk, SLOT_START, slot::SLOT_BYTES).iter().all(|byte| *byte == 0));
    let table = gptman::GPT::find_from(&mut File::open(&disk).expect("open")).expect("a table");
    assert!(table.iter().any(|(_, partition)| partition.partition_name.as_str() == "var"));
    let again = to_file(bench.image(), &disk, DISK, &report).await.expect_err("it is there");
    assert!(again.to_string().contains("name a file that does not exist"), "{again}");
}

#[tokio::test]
async fn a_finished_disk_has_image_slot_table_and_var() {
    let bench = Bench::new();
    let disk = bench.disk();
    bench.install(&disk, |_| true).await.expect("installed");
    for at in (MIB..IMAGE).step_by(MIB as usize).filter(|at| *at != SLOT_START && *at < 41 * MIB) {
        assert_eq!(bytes(&disk, at, MIB), bytes(&bench.image(), at, MIB), "at {at}");
    }
    assert_eq!(bytes(&disk, 0, 440), [0xfa; 440], "boot code stays");
    let slot = slot::decode(&bytes(&disk, SLOT_START, slot::SLOT_BYTES)).expect("a slot");
    assert_eq!(slot.secret.expect("a secret").token, "t");
    let gpt = gptman::GPT::read_from(&mut File::open(&disk).expect("a disk"), 512).expect("a valid table");
    assert_eq!(gpt.header.backup_lba, DISK / 512 - 1);
    assert_ne!(gpt.header.disk_guid, [9; 16]);
    let var = partitions::read(&disk).into_iter().find(|one| one.name == "var").expect("var");
    assert_eq!((var.number, var.start), (6, 41 * MIB));
    let found = contents::of(&disk).await;
    assert!(found.contains(&"ext4 `var` in partition 6 `var`".to_owned()), "{found:?}");
    let backup = bytes(&disk, DISK - 512, 8);
    assert_eq!(backup, b"EFI PART");
}

#[tokio::test]
async fn a_disk_of_larger_sectors_has_the_same_partitions_at_the_same_places() {
    let bench = Bench::new();
    let disk = bench.disk();
    bench.install_with(&disk, 4096, |_| true).await.expect("installed");
    let gpt = gptman::GPT::read_from(&mut File::open(&disk).expect("a disk"), 4096).expect("a valid table");
    assert_eq!(gpt.header.backup_lba, DISK / 4096 - 1);
    let places = |path: &Path| -> Vec<(u32, u64, u64)> {
        partitions::read(path).iter().map(|one| (one.number, one.start, one.size)).collect()
    };
    let (image, installed) = (places(&bench.image()), places(&disk));
    assert_eq!(installed[..image.len()], image);
    assert_eq!(installed.last().map(|(number, start, _)| (*number, *start)), Some((6, 41 * MIB)));
    assert_eq!(bytes(&disk, 512, 8), [0; 8], "no table in smaller sectors is left");
    assert_eq!(bytes(&disk, DISK - 4096, 8), b"EFI PART");
    let other = bench.install_with(&disk, 520, |_| true).await.expect_err("no such sectors");
    assert!(other.cause.contains("sectors of 520 bytes"), "{other:?}");
}

#[tokio::test]
async fn no_two_disks_have_a_guid_in_common() {
    let bench = Bench::new();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..2 {
        let disk = bench.disk();
        bench.install(&disk, |_| true).await.expect("installed");
        let gpt = gptman::GPT::read_from(&mut File::open(&disk).expect("a disk"), 512).expect("a table");
        assert!(seen.insert(gpt.header.disk_guid));
        let used = gpt.iter().filter(|(_, entry)| entry.is_used());
        assert!(used.map(|(_, entry)| entry.unique_partition_guid).all(|guid| seen.insert(guid)));
    }
}

#[tokio::test]
async fn an_interruption_anywhere_leaves_a_disk_that_does_not_boot_and_can_be_installed_again() {
    let bench = Bench::new();
    let calls = Arc::new(AtomicUsize::new(0));
    let disk = bench.disk();
    let counter = Arc::clone(&calls);
    let count = move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
        true
    };
    bench.install(&disk, count).await.expect("installed");
    let steps = calls.load(Ordering::Relaxed);
    for stop in 1..steps {
        let disk = bench.disk();
        let left = AtomicUsize::new(stop);
        let report = move |_| {
            left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
        };
        bench.install(&disk, report).await.expect_err("stopped");
        assert_eq!(bytes(&disk, 0, MIB), vec![0; MIB as usize], "stopped at step {stop} of {steps}");
    }
    bench.install(&disk, |_| true).await.expect("a second try");
}

#[tokio::test]
async fn a_damaged_medium_is_noticed_and_the_disk_stays_unbootable() {
    let bench = Bench::new();
    let disk = bench.disk();
    let image = File::options().write(true).open(bench.image()).expect("the image");
    image.write_all_at(&[1], 25 * MIB + 7).expect("damage");
    let failure = bench.install(&disk, |_| true).await.expect_err("damaged");
    assert_eq!(failure.phase, "write");
    assert!(failure.cause.contains("chunk 6 of the medium"), "{failure:?}");
    assert_eq!(bytes(&disk, 0, MIB), vec![0; MIB as usize]);
}

#[tokio::test]
async fn a_disk_too_small_by_one_sector_is_refused_untouched() {
    let bench = Bench::new();
    let least = bench.manifest.size + table::VAR_MINIMUM + 2 * MIB;
    let disk = bench.disk();
    let file = File::options().write(true).open(&disk).expect("the disk");
    file.set_len(least - 512).expect("a size");
    let failure = bench.install(&disk, |_| true).await.expect_err("too small");
    assert!(
        failure.cause.contains(&format!("has {} bytes; the release needs at least {least}", least - 512))
    );
    assert_eq!(bytes(&disk, 0, MIB), vec![0x55; MIB as usize], "what was there is there");
    file.set_len(least).expect("a size");
    bench.install(&disk, |_| true).await.expect("the smallest disk");
}
