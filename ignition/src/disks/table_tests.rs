//! Tables of a disk of 100 MiB.

use serde_json::{Value, json};

use super::*;

fn disk(partitions: Value) -> Disk {
    serde_json::from_value(json!({"device": "/dev/vda", "partitions": partitions})).expect("a disk")
}

fn entry(number: u32, start: u64, size: u64, label: &str) -> Entry {
    Entry {
        number,
        start: start * 2048,
        size: size * 2048,
        label: label.into(),
        guid: format!("G{number}"),
        type_guid: LINUX.into(),
    }
}

fn table(entries: &[Entry]) -> Table {
    Table { sector_size: 512, first_usable: 34, last_usable: 100 * 2048 - 34, entries: entries.to_vec() }
}

fn brief(changes: &[Change]) -> Vec<String> {
    let one = |change: &Change| match change {
        Change::Keep(number) => format!("keep {number}"),
        Change::Delete(number) => format!("delete {number}"),
        Change::Create(entry) => format!("create {} at {} of {}", entry.number, entry.start, entry.size),
        Change::Replace(entry) => format!("replace {} at {} of {}", entry.number, entry.start, entry.size),
        Change::Resize(entry) => format!("resize {} at {} of {}", entry.number, entry.start, entry.size),
    };
    changes.iter().map(one).collect()
}

#[test]
fn an_empty_disk_is_filled_in_order_and_numbers_are_found() {
    let wanted = disk(
        json!([{"label": "rest"}, {"number": 2, "label": "data", "sizeMiB": 10}, {"number": 1, "startMiB": 50, "sizeMiB": 5}]),
    );
    let changes = changes(&wanted, &table(&[])).expect("possible");
    assert_eq!(
        brief(&changes),
        ["create 2 at 2048 of 20480", "create 1 at 102400 of 10240", "create 3 at 112640 of 92127"]
    );
}

#[test]
fn what_matches_is_kept_and_what_differs_is_never_lost_silently() {
    let have = table(&[entry(1, 1, 10, "one"), entry(2, 11, 10, "two")]);
    let run = |partitions: Value| changes(&disk(partitions), &have);
    assert_eq!(
        brief(&run(json!([{"number": 1, "label": "one", "sizeMiB": 10, "startMiB": 1}])).expect("kept")),
        ["keep 1"]
    );
    assert_eq!(brief(&run(json!([{"number": 1}])).expect("kept")), ["keep 1"]);
    assert!(matches!(
        run(json!([{"number": 1, "label": "other"}])),
        Err(TableError::Differs { number: 1, .. })
    ));
    assert!(matches!(run(json!([{"number": 1, "sizeMiB": 5}])), Err(TableError::Differs { .. })));
    assert!(matches!(
        run(json!([{"number": 1, "shouldExist": false}])),
        Err(TableError::Unwanted { number: 1 })
    ));
    let replaced = run(
        json!([{"number": 1, "label": "other", "wipePartitionEntry": true, "startMiB": 1, "sizeMiB": 4}]),
    );
    assert_eq!(brief(&replaced.expect("allowed")), ["replace 1 at 2048 of 8192"]);
    let deleted = run(json!([{"number": 2, "shouldExist": false, "wipePartitionEntry": true}]));
    assert_eq!(brief(&deleted.expect("allowed")), ["delete 2"]);
    assert!(matches!(
        run(json!([{"number": 3, "startMiB": 5, "sizeMiB": 1}])),
        Err(TableError::NoRoom { .. })
    ));
    assert!(matches!(run(json!([{"number": 3, "sizeMiB": 500}])), Err(TableError::NoRoom { .. })));
}

#[test]
fn a_partition_grows_when_it_may() {
    let have = table(&[entry(1, 1, 10, "one"), entry(2, 20, 10, "two")]);
    let run = |partitions: Value| changes(&disk(partitions), &have);
    let grown = run(json!([{"number": 2, "label": "two", "sizeMiB": 0, "resize": true}])).expect("possible");
    assert_eq!(brief(&grown), ["resize 2 at 40960 of 163807"]);
    assert!(matches!(&grown[0], Change::Resize(entry) if entry.guid == "G2"), "it stays the same partition");
    let grown = run(json!([{"number": 1, "sizeMiB": 19, "resize": true}])).expect("possible");
    assert_eq!(brief(&grown), ["resize 1 at 2048 of 38912"]);
    assert!(run(json!([{"number": 1, "sizeMiB": 20, "resize": true}])).is_err());
}

#[test]
fn doing_it_again_changes_nothing() {
    let wanted = disk(
        json!([{"number": 1, "label": "a", "sizeMiB": 10}, {"number": 2, "label": "b", "startMiB": 20, "sizeMiB": 0}]),
    );
    let have = table(&[]);
    let first = changes(&wanted, &have).expect("possible");
    let then = table(&applied(&have, &first, false));
    assert_eq!(brief(&changes(&wanted, &then).expect("possible")), ["keep 1", "keep 2"]);
}
