//! Properties that hold for any configuration and any bytes, in a bounded number of cases.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ashlar_ignition::runtime::{Fetcher, Root, Standing, apply, preview};
use ashlar_ignition::{
    Config, Settings, Version, canonical, convert, diff, merge, parse, parse_value, plan, validate,
};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

const PATHS: &[&str] = &["/etc/a", "/etc/b", "/etc/c/d", "/var/e"];

/// When `uniform`, a path has one kind only.
fn node(uniform: bool) -> impl Strategy<Value = Value> {
    let path = select(PATHS);
    let mode = proptest::option::of(select(vec![0o600, 0o644, 0o755]));
    let text = proptest::option::of("[a-z]{0,8}");
    (path, mode, text, 0..3u8).prop_map(move |(path, mode, text, kind)| {
        let kind = if uniform {
            PATHS.iter().position(|other| *other == path).map_or(0, |at| at as u8 % 3)
        } else {
            kind
        };
        let mut node = json!({"path": path, "kind": kind});
        if let Some(mode) = mode.filter(|_| kind < 2) {
            node["mode"] = mode.into();
        }
        match (kind, text) {
            (0, Some(text)) => node["contents"] = json!({"source": format!("data:,{text}")}),
            (2, text) => node["target"] = format!("/x{}", text.unwrap_or_default()).into(),
            _ => {}
        }
        node
    })
}

/// Each path once, in the list of its kind.
fn config() -> impl Strategy<Value = Config> {
    config_of(false)
}

fn config_of(uniform: bool) -> impl Strategy<Value = Config> {
    let units =
        proptest::collection::vec((select(vec!["a.service", "b.timer"]), any::<Option<bool>>()), 0..2);
    let words = proptest::collection::vec(select(vec!["quiet", "nosmt", "a=b"]), 0..3);
    (proptest::collection::vec(node(uniform), 0..5), units, words).prop_map(|(nodes, units, words)| {
        let mut lists = [Vec::new(), Vec::new(), Vec::new()];
        let unique: BTreeMap<String, Value> = nodes.into_iter().map(|node| (node["path"].to_string(), node)).collect();
        for mut node in unique.into_values() {
            let kind = node.as_object_mut().and_then(|map| map.shift_remove("kind")).and_then(|kind| kind.as_u64()).unwrap_or(0);
            lists[usize::try_from(kind).unwrap_or(0)].push(node);
        }
        let [files, directories, links] = lists;
        let units: BTreeMap<&str, Option<bool>> = units.into_iter().collect();
        let units: Vec<Value> = units.into_iter().map(|(name, enabled)| json!({"name": name, "enabled": enabled})).collect();
        let words: std::collections::BTreeSet<&str> = words.into_iter().collect();
        let value = json!({"ignition": {"version": "3.5.0"}, "storage": {"files": files, "directories": directories, "links": links},
            "systemd": {"units": units}, "kernelArguments": {"shouldExist": words}});
        parse_value(value).expect("a configuration").config
    })
}

fn tree(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut tree = BTreeMap::new();
    let mut queue = vec![root.to_owned()];
    while let Some(path) = queue.pop() {
        let data = path.symlink_metadata().expect("there");
        let what = if data.is_symlink() {
            format!("{:?}", path.read_link())
        } else if data.is_dir() {
            queue.extend(fs::read_dir(&path).expect("readable").map(|entry| entry.expect("an entry").path()));
            String::new()
        } else {
            format!("{:?}", fs::read(&path))
        };
        tree.insert(
            path.strip_prefix(root).expect("inside").to_owned(),
            format!("{:?} {what}", data.permissions()),
        );
    }
    tree
}

fn run(config: &Config, root: &Path) -> bool {
    let actions = plan(config, &Settings::default()).expect("nothing is fetched");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let fetcher = Fetcher::plain(Path::new("/"), |_| {});
    runtime.block_on(apply(&actions, &Root::new(root), &fetcher)).is_ok()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    // Not so when a path changes its kind on the way: what the middle one removes comes back, as in the reference.
    #[test]
    fn merging_is_associative_up_to_the_order_of_entries(a in config_of(true), b in config_of(true), c in config_of(true)) {
        let left = merge(&merge(&a, &b), &c);
        let right = merge(&a, &merge(&b, &c));
        prop_assert!(diff(&left, &right).is_empty(), "{:?}", diff(&left, &right));
    }

    #[test]
    fn merging_a_configuration_with_itself_or_with_nothing_changes_nothing(a in config()) {
        prop_assert_eq!(canonical(&merge(&a, &a)), canonical(&a));
        let nothing = Config::default();
        prop_assert_eq!(canonical(&merge(&a, &nothing)), canonical(&a));
        prop_assert_eq!(canonical(&merge(&nothing, &a)), canonical(&a));
    }

    #[test]
    fn applying_twice_changes_nothing(a in config()) {
        prop_assume!(validate(&a).is_empty());
        let root = tempfile::tempdir().expect("a directory");
        let first = run(&a, root.path());
        let before = tree(root.path());
        prop_assert_eq!(run(&a, root.path()), first);
        prop_assert_eq!(tree(root.path()), before);
    }

    #[test]
    fn what_the_plan_says_is_what_applying_does(before in config(), a in config()) {
        prop_assume!(validate(&a).is_empty() && validate(&before).is_empty());
        let root = tempfile::tempdir().expect("a directory");
        prop_assume!(run(&before, root.path()));
        let standings = || {
            let root = Root::new(root.path());
            let actions = plan(&a, &Settings::default()).expect("nothing is fetched");
            actions.iter().map(|action| (action.to_string(), preview(action, &root))).collect::<Vec<_>>()
        };
        let planned = standings();
        let blocked = planned.iter().any(|(_, standing)| *standing == Standing::Blocked);
        let tree_before = tree(root.path());
        prop_assert_eq!(run(&a, root.path()), !blocked, "{:?}", planned);
        if !blocked {
            let settled = [Standing::Same, Standing::Open];
            let after = standings();
            prop_assert!(after.iter().all(|(_, standing)| settled.contains(standing)), "{:?}", after);
            if planned.iter().all(|(_, standing)| *standing == Standing::Same) {
                prop_assert_eq!(tree(root.path()), tree_before);
            }
        }
    }

    #[test]
    fn the_canonical_form_is_a_configuration_of_the_same_meaning(a in config()) {
        let again = parse(canonical(&a).as_bytes()).expect("it is one").config;
        prop_assert_eq!(canonical(&again), canonical(&a));
        prop_assert_eq!(parse_value(convert(&a, Version::V3_4).expect("possible")).expect("valid").config, a);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse(&bytes).map(|parsed| parsed.report());
    }

    #[test]
    fn no_text_in_any_place_makes_the_rules_panic(text in "\\PC{0,40}", place in 0..12usize) {
        let places = [
            json!({"storage": {"files": [{"path": text}]}}),
            json!({"storage": {"files": [{"path": "/a", "contents": {"source": text}}]}}),
            json!({"storage": {"files": [{"path": "/a", "contents": {"source": format!("data:{text}")}}]}}),
            json!({"storage": {"files": [{"path": "/a", "contents": {"source": format!("data:;base64,{text}")}}]}}),
            json!({"storage": {"files": [{"path": "/a", "contents": {"source": "data:,", "verification": {"hash": text}}}]}}),
            json!({"storage": {"links": [{"path": "/a", "hard": true, "target": text}]}}),
            json!({"systemd": {"units": [{"name": text, "enabled": true, "contents": text}]}}),
            json!({"systemd": {"units": [{"name": "a.service", "dropins": [{"name": text, "contents": text}]}]}}),
            json!({"passwd": {"users": [{"name": text, "passwordHash": text, "sshAuthorizedKeys": [text]}]}}),
            json!({"storage": {"disks": [{"device": text, "partitions": [{"label": text, "guid": text}]}]}}),
            json!({"ignition": {"config": {"merge": [{"source": text}]}, "proxy": {"httpProxy": text}}}),
            json!({"storage": {"luks": [{"name": text, "device": text, "clevis": {"tang": [{"url": text, "advertisement": text}]}}]}}),
        ];
        let mut value = places[place].clone();
        value["ignition"]["version"] = "3.5.0".into();
        let parsed = parse_value(value).expect("the form is right");
        let report = parsed.report();
        let rendered = ashlar_ignition::render(&parsed.config, &Default::default());
        if report.errors.is_empty() && rendered.is_ok() {
            let _ = plan(&parsed.config, &Settings::default());
        }
    }

    #[test]
    fn a_mutated_configuration_is_judged_and_not_feared(at in 0..600usize, byte in any::<u8>()) {
        let mut bytes = json!({"ignition": {"version": "3.3.0", "config": {"merge": [{"source": "data:,%7B%7D"}]}},
            "storage": {"files": [{"path": "/etc/a", "mode": 420, "contents": {"source": "data:;base64,aGk=", "compression": "gzip"}}],
                "disks": [{"device": "/dev/vda", "partitions": [{"number": 1, "sizeMiB": 10, "startMiB": 1}, {"number": 2, "startMiB": 11, "sizeMiB": 9}]}],
                "raid": [{"name": "a", "level": "raid1", "devices": ["/dev/a", "/dev/b"]}]},
            "systemd": {"units": [{"name": "a.service", "contents": "[Unit]\nA=b\n"}]}}).to_string().into_bytes();
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(parsed) = parse(&bytes) {
            let _ = (parsed.report(), ashlar_ignition::render(&parsed.config, &Default::default()).is_ok());
        }
    }

    #[test]
    fn no_data_url_makes_the_reader_panic(text in "[data:;,/=%a-zA-Z0-9+\"\\\\ -]{0,60}") {
        let value = json!({"ignition": {"version": "3.5.0"}, "storage": {"files": [
            {"path": "/a", "contents": {"source": format!("data:{text}"), "compression": "gzip"}},
            {"path": "/b", "contents": {"source": format!("data:;base64,{text}")}}]}});
        let config = parse_value(value).expect("the form is right").config;
        let _ = plan(&config, &Settings::default());
    }

    #[test]
    fn two_mutated_configurations_are_merged_without_fear(left in mutation(), right in mutation()) {
        if let (Ok(left), Ok(right)) = (parse(&left), parse(&right)) {
            let merged = merge(&left.config, &right.config);
            let _ = (validate(&merged), diff(&left.config, &merged), canonical(&merged));
        }
    }
}

/// A configuration with every kind of list, one to three bytes of it changed.
fn mutation() -> impl Strategy<Value = Vec<u8>> {
    let bytes = json!({"ignition": {"version": "3.4.0", "config": {"merge": [{"source": "data:,a", "httpHeaders": [{"name": "A", "value": "b"}]}]}},
        "storage": {"files": [{"path": "/etc/a", "append": [{"source": "data:,b"}]}], "links": [{"path": "/etc/b", "target": "/c"}],
            "disks": [{"device": "/dev/a", "partitions": [{"number": 1, "label": "a"}, {"label": "b"}]}],
            "filesystems": [{"device": "/dev/a1", "format": "ext4", "mountOptions": ["ro"]}],
            "luks": [{"name": "l", "device": "/dev/b", "openOptions": ["-x"], "clevis": {"tang": [{"url": "http://t", "thumbprint": "x"}]}}]},
        "systemd": {"units": [{"name": "a.service", "dropins": [{"name": "b.conf"}]}]},
        "passwd": {"users": [{"name": "u", "groups": ["g"], "sshAuthorizedKeys": ["k"]}]},
        "kernelArguments": {"shouldExist": ["a"], "shouldNotExist": ["b"]}}).to_string().into_bytes();
    proptest::collection::vec(
        (0..bytes.len(), select(b"0123456789abcdefghijklmnopqrstuvwxyz/.\"{}[],:-".to_vec())),
        1..4,
    )
    .prop_map(move |changes| {
        let mut bytes = bytes.clone();
        changes.into_iter().for_each(|(at, byte)| bytes[at] = byte);
        bytes
    })
}
