//! The same partition tables as `sgdisk`, run as the reference runs it: `--new=N:START:+SIZE` for each partition, those
//! without a number last.

mod reference;

use std::fs;
use std::path::Path;

use ashlar_host::gpt;
use ashlar_ignition::runtime::{Disks, Fetcher, Marks};
use ashlar_ignition::{Settings, parse_value};
use serde_json::{Value, json};

const SIZE: u64 = 64 << 20;
const KIND: &str = "6b2a9f3e-5c1d-4e7a-9b8c-a51a12c0f160";

/// Partitions that are there before, and those that are asked for.
fn tables() -> Vec<(Value, Value)> {
    let two =
        json!([{"number": 1, "startMiB": 1, "sizeMiB": 10}, {"number": 3, "startMiB": 30, "sizeMiB": 5}]);
    [
        (json!([]), json!([{"number": 1}])),
        (json!([]), json!([{"label": "a", "sizeMiB": 10}, {"label": "b", "sizeMiB": 0}])),
        (json!([]), json!([{"number": 5, "sizeMiB": 3, "typeGuid": KIND}, {"number": 2, "startMiB": 40, "sizeMiB": 4}])),
        (json!([]), json!([{"label": "last"}, {"number": 1, "sizeMiB": 7}, {"number": 2, "startMiB": 20, "sizeMiB": 7}])),
        (json!([]), json!([{"number": 1, "startMiB": 60}, {"number": 2, "startMiB": 2, "sizeMiB": 1}, {"label": "gap", "sizeMiB": 2}])),
        (json!([]), json!([{"number": 128, "sizeMiB": 1, "label": "ünïcode"}])),
        (two.clone(), json!([{"number": 2, "sizeMiB": 4}])),
        (two.clone(), json!([{"label": "rest"}])),
        (two.clone(), json!([{"number": 4, "startMiB": 12, "sizeMiB": 18}, {"label": "more", "sizeMiB": 3}])),
        (two, json!([{"number": 2, "startMiB": 11, "sizeMiB": 19}])),
    ]
    .into()
}

fn arguments(before: &Value, partitions: &Value) -> String {
    let mut list = partitions.as_array().expect("a list").clone();
    list.sort_by_key(|partition| partition["number"].as_u64().is_none());
    let there = before.as_array().expect("a list").iter().chain(&list);
    let mut used: Vec<u64> = there.filter_map(|partition| partition["number"].as_u64()).collect();
    for partition in list.iter_mut().filter(|partition| partition["number"].is_null()) {
        let free = (1..=128).find(|number| !used.contains(number)).expect("few partitions");
        partition["number"] = free.into();
        used.push(free);
    }
    let sectors = |value: &Value| value.as_u64().unwrap_or(0) * 2048;
    let one = |partition: &Value| {
        let number = partition["number"].as_u64().unwrap_or(0);
        let mut words =
            format!("--new={number}:{}:+{}", sectors(&partition["startMiB"]), sectors(&partition["sizeMiB"]));
        if let Some(label) = partition["label"].as_str() {
            words += &format!(" --change-name={number}:{label}");
        }
        if let Some(kind) = partition["typeGuid"].as_str() {
            words += &format!(" --typecode={number}:{kind}");
        }
        words
    };
    list.iter().map(one).collect::<Vec<_>>().join(" ")
}

#[test]
fn tables_are_those_of_sgdisk() {
    let Some(root) = reference::root() else {
        eprintln!("skipped: no reference; `cargo run -p ashlar-ignition --example reference` makes it");
        return;
    };
    let work = tempfile::tempdir().expect("a directory");
    let mut script = "export LC_ALL=C.UTF-8\n".to_owned();
    for (index, (before, wanted)) in tables().iter().enumerate() {
        for side in ["theirs", "ours"] {
            let file = fs::File::create(work.path().join(format!("{side}-{index}"))).expect("a file");
            file.set_len(SIZE).expect("a size");
            if before.as_array().is_some_and(|list| !list.is_empty()) {
                script += &format!("sgdisk {} /compare/{side}-{index} >&2\n", arguments(&json!([]), before));
            }
        }
        script += &format!("sgdisk {} /compare/theirs-{index} >&2\n", arguments(before, wanted));
    }
    reference::run(&root, work.path(), &script);
    for (index, (_, wanted)) in tables().iter().enumerate() {
        let ours = work.path().join(format!("ours-{index}"));
        run(&ours, wanted);
        let theirs = gpt::read(&work.path().join(format!("theirs-{index}"))).expect("a table");
        assert_eq!(gpt::read(&ours).expect("a table"), theirs, "{wanted}");
    }
}

fn run(disk: &Path, partitions: &Value) {
    let value = json!({"ignition": {"version": "3.5.0"}, "storage": {"disks": [{"device": disk, "partitions": partitions}]}});
    let config = parse_value(value).expect("a configuration").config;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (fetcher, settings) = (Fetcher::plain(Path::new("/"), |_| {}), Settings::default());
    runtime
        .block_on(
            Disks { fetcher: &fetcher, settings: &settings, marks: &Marks::new(None), say: |_| {} }
                .run(&config),
        )
        .expect("it is made");
}
