//! After enrolment the config slot's secret is of no more use to us, and of use to whoever steals the disk.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use ashlar_host::inventory::{Machine, disks, partitions};
use ashlar_model::slot::{self, PARTITION_TYPE, SLOT_BYTES, Slot, SlotSecret};

/// Wipes the secret of the slot on the disk that this system was installed to. Fine when it has none.
pub fn wipe_secret(machine: &Machine) -> anyhow::Result<()> {
    let Some((disk, offset)) = find(machine) else {
        tracing::warn!("no disk has a config slot");
        return Ok(());
    };
    wipe_at(&disk, offset).with_context(|| format!("wiping the secret of {}", disk.display()))
}

/// The secret, as long as it is there.
pub fn secret(machine: &Machine) -> anyhow::Result<Option<SlotSecret>> {
    let Some((disk, offset)) = find(machine) else { return Ok(None) };
    let read = || -> anyhow::Result<Slot> {
        let mut bytes = vec![0; SLOT_BYTES as usize];
        File::open(&disk)?.read_exact_at(&mut bytes, offset)?;
        Ok(slot::decode(&bytes)?)
    };
    Ok(read().with_context(|| format!("reading the config slot of {}", disk.display()))?.secret)
}

fn find(machine: &Machine) -> Option<(PathBuf, u64)> {
    disks::list(machine).into_iter().find_map(|disk| {
        let path = PathBuf::from(&disk.name);
        let mut partitions = partitions::read(&path).into_iter();
        let found = partitions.find(|partition| partition.type_guid == PARTITION_TYPE)?;
        Some((path, found.start))
    })
}

/// Rewrites the slot without its secret, and zeros over all that the longer one covered.
fn wipe_at(disk: &Path, offset: u64) -> anyhow::Result<()> {
    let file = File::options().read(true).write(true).open(disk)?;
    let mut bytes = vec![0; SLOT_BYTES as usize];
    file.read_exact_at(&mut bytes, offset)?;
    let mut slot = slot::decode(&bytes)?;
    if slot.secret.take().is_none() {
        return Ok(());
    }
    let mut wiped = slot::encode(&slot)?;
    wiped.resize(bytes.len(), 0);
    file.write_all_at(&wiped, offset)?;
    file.sync_data()?;
    tracing::info!(disk = %disk.display(), "the config slot's secret is wiped");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn the_secret_is_gone_and_the_configuration_stays() {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        let token = "f00df00df00d";
        let secret = SlotSecret {
            token: token.into(),
            certificate_pem: "C".repeat(500),
            private_key_pem: "K".repeat(500),
        };
        let ignition = serde_json::json!({"ignition": {"version": "3.5.0"}});
        let slot = Slot {
            host: "m".into(),
            ignition,
            server_ca_pem: "P".into(),
            secret: Some(secret),
            issued_at: 0,
        };
        file.write_all(&[7; 4096]).expect("what is before");
        file.write_all(&slot::encode(&slot).expect("it fits")).expect("the slot");
        file.as_file().set_len(4096 + SLOT_BYTES).expect("a size");
        for _ in 0..2 {
            wipe_at(file.path(), 4096).expect("wiped");
        }
        let bytes = std::fs::read(file.path()).expect("a disk");
        let left = slot::decode(&bytes[4096..]).expect("a slot");
        assert!(left.secret.is_none() && left.host == "m" && left.server_ca_pem == "P");
        assert!(!bytes.windows(token.len()).any(|window| window == token.as_bytes()));
        assert!(!bytes.windows(20).any(|window| window == [b'K'; 20]));
        assert_eq!(bytes[..4096], [7; 4096]);
    }
}
