//! What is on a disk, in words, from `blkid` on the disk and on each partition of its table.

use std::path::Path;

use super::partitions::{self, Partition};
use crate::cmd::{Cmd, Error};

/// Signatures of the disk and its partitions; empty when the disk is blank. A disk that cannot be read is not blank.
pub async fn of(device: &Path) -> Vec<String> {
    let mut words = match probe(device, None).await {
        Ok(signature) => signature.words(),
        Err(cause) => return vec![format!("unreadable: {cause}")],
    };
    let partitions = partitions::read(device);
    for word in &mut words {
        if word.starts_with("GPT") || word.starts_with("MBR") {
            *word = format!("{word} with {} partitions", partitions.len());
        }
    }
    for partition in &partitions {
        if let Ok(signature) = probe(device, Some(partition)).await {
            let found = signature.words().into_iter();
            words.extend(found.map(|word| format!("{word} in partition {}", label(partition))));
        }
    }
    words
}

/// The filesystem type and label at the start of a device, when there are any.
pub async fn filesystem(device: &Path) -> Option<(String, Option<String>)> {
    let signature = probe(device, None).await.ok()?;
    Some((signature.kind?, signature.label))
}

fn label(partition: &Partition) -> String {
    if partition.name.is_empty() {
        return partition.number.to_string();
    }
    format!("{} `{}`", partition.number, partition.name)
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Signature {
    table: Option<String>,
    kind: Option<String>,
    label: Option<String>,
    conflicting: bool,
}

impl Signature {
    fn words(&self) -> Vec<String> {
        let table = self.table.as_deref().map(|table| match table {
            "gpt" => "GPT".to_owned(),
            "dos" => "MBR".to_owned(),
            other => format!("{other} partition table"),
        });
        let kind = self.kind.as_ref().map(|kind| match &self.label {
            Some(label) => format!("{kind} `{label}`"),
            None => kind.clone(),
        });
        let conflict = self.conflicting.then(|| "several conflicting signatures".to_owned());
        table.into_iter().chain(kind).chain(conflict).collect()
    }
}

async fn probe(device: &Path, partition: Option<&Partition>) -> Result<Signature, Error> {
    let mut cmd = Cmd::new("blkid").args(["-p", "--output", "export"]);
    if let Some(partition) = partition {
        cmd = cmd.args(["-O", &partition.start.to_string(), "-S", &partition.size.to_string()]);
    }
    match cmd.arg(device).run().await {
        Ok(output) => Ok(parse(&output.stdout)),
        // blkid(8): 2 = nothing found, 8 = ambivalent result.
        Err(error) if error.code() == Some(2) && readable(device) => Ok(Signature::default()),
        Err(error) if error.code() == Some(8) => Ok(Signature { conflicting: true, ..Signature::default() }),
        Err(error) => Err(error),
    }
}

/// blkid answers 2 for a device that it cannot open, too.
fn readable(device: &Path) -> bool {
    use std::io::Read;
    let mut sector = [0; 512];
    std::fs::File::open(device).and_then(|mut file| file.read_exact(&mut sector)).is_ok()
}

fn parse(text: &str) -> Signature {
    let mut signature = Signature::default();
    for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
        let value = value.replace('\\', "");
        match key {
            "PTTYPE" => signature.table = Some(value),
            "TYPE" => signature.kind = Some(value),
            "LABEL" => signature.label = Some(value),
            _ => {}
        }
    }
    signature
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(bytes: u64) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a file");
        file.as_file().set_len(bytes).expect("a size");
        file
    }

    #[test]
    fn what_blkid_prints_is_unescaped() {
        let signature = parse("DEVNAME=/dev/x\nLABEL=my\\ data\nTYPE=ext4\n");
        assert_eq!(signature.words(), ["ext4 `my data`"]);
    }

    #[tokio::test]
    async fn an_empty_disk_is_blank_and_a_missing_one_is_not() {
        assert_eq!(of(image(1 << 20).path()).await, Vec::<String>::new());
        let missing = of(Path::new("/nowhere/disk")).await;
        assert!(missing[0].starts_with("unreadable"), "{missing:?}");
    }

    #[tokio::test]
    async fn a_partitioned_disk_tells_what_is_in_its_partitions() {
        let mut file = image(32 << 20);
        let mut gpt = gptman::GPT::new_from(file.as_file_mut(), 512, [7; 16]).expect("a table");
        gpt[1] = gptman::GPTPartitionEntry {
            partition_type_guid: [3; 16],
            unique_partition_guid: [4; 16],
            starting_lba: 2048,
            ending_lba: 2048 + 32767,
            attribute_bits: 0,
            partition_name: "home".into(),
        };
        gptman::GPT::write_protective_mbr_into(file.as_file_mut(), 512).expect("an MBR");
        gpt.write_into(file.as_file_mut()).expect("written");
        let make = ["-q", "-F", "-t", "ext4", "-L", "data", "-E", "offset=1048576"];
        Cmd::new("mke2fs").args(make).arg(file.path()).arg("16384k").run().await.expect("mke2fs");
        assert_eq!(of(file.path()).await, ["GPT with 1 partitions", "ext4 `data` in partition 1 `home`"]);
    }
}
