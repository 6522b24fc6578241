//! Configurations of many parts, from a seeded generator: mostly valid, now and then with a mistake.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use super::{Case, versioned};

const COUNT: u64 = 160;
const VERSIONS: &[&str] = &["3.0.0", "3.1.0", "3.2.0", "3.3.0"];
const FOLDERS: &[&str] =
    &["/etc", "/etc/app", "/etc/app/conf.d", "/var/lib/app", "/opt/deep/er/est", "/etc/link", "/home"];
const NAMES: &[&str] = &["a", "b.conf", "c-d", "e_f", "motd", "file with space"];
const TEXTS: &[&str] = &[
    "data:,",
    "data:,text",
    "data:,line%0A",
    "data:;base64,AAECAwQ=",
    "data:text/plain;charset=utf-8,x%2Fy",
];
const WRONG: &[&str] = &["data:,%", "ftp://a/b", "data:;base64,*"];
const WORDS: &[&str] = &["alpha", "beta", "gamma", "delta"];

pub fn cases() -> Vec<Case> {
    (0..COUNT).map(one).collect()
}

fn one(seed: u64) -> Case {
    let mut random = StdRng::seed_from_u64(seed);
    let version = *VERSIONS.choose(&mut random).expect("not empty");
    let mut storage = json!({"files": [], "directories": [], "links": []});
    for _ in 0..random.random_range(0..6) {
        push(&mut storage, "files", file(&mut random));
    }
    for _ in 0..random.random_range(0..4) {
        push(&mut storage, "directories", directory(&mut random));
    }
    for _ in 0..random.random_range(0..4) {
        push(&mut storage, "links", link(&mut random));
    }
    let units: Vec<Value> = (0..random.random_range(0..5)).map(|_| unit(&mut random)).collect();
    let users: Vec<Value> = (0..random.random_range(0..3)).map(|_| user(&mut random)).collect();
    let groups: Vec<Value> = (0..random.random_range(0..2)).map(|_| group(&mut random)).collect();
    let value = json!({"storage": storage, "systemd": {"units": units}, "passwd": {"users": users, "groups": groups}});
    Case::new(format!("generated-{seed}"), &versioned(version, value))
}

fn push(storage: &mut Value, list: &str, entry: Value) {
    storage[list].as_array_mut().expect("a list").push(entry);
}

fn pick<'a>(random: &mut StdRng, from: &'a [&'a str]) -> &'a str {
    from.choose(random).expect("not empty")
}

fn path(random: &mut StdRng, kind: &str) -> String {
    // Names differ by kind and by chance, so that most configurations have no two entries of one path.
    let folder = pick(random, FOLDERS);
    let name = pick(random, NAMES);
    format!("{folder}/{name}-{kind}{}", random.random_range(0..40))
}

fn owner(random: &mut StdRng, entry: &mut Value) {
    if random.random_bool(0.3) {
        entry["user"] = json!({"id": random.random_range(0..5)});
    }
    if random.random_bool(0.2) {
        entry["group"] = json!({"name": "daemon"});
    }
}

fn file(random: &mut StdRng) -> Value {
    let mut entry = json!({"path": path(random, "f")});
    if random.random_bool(0.8) {
        let sources = if random.random_bool(0.03) { WRONG } else { TEXTS };
        entry["contents"] = json!({"source": pick(random, sources)});
    }
    if random.random_bool(0.5) {
        entry["mode"] = json!(*[0o600, 0o644, 0o755, 0o400, 0o777, 0].choose(random).expect("not empty"));
    }
    if random.random_bool(0.3) {
        entry["append"] = json!([{"source": pick(random, TEXTS)}, {"source": pick(random, TEXTS)}]);
    }
    if random.random_bool(0.2) && entry.get("contents").is_some() {
        entry["overwrite"] = json!(true);
    }
    owner(random, &mut entry);
    entry
}

fn directory(random: &mut StdRng) -> Value {
    let mut entry = json!({"path": path(random, "d")});
    if random.random_bool(0.6) {
        entry["mode"] = json!(*[0o700, 0o755, 0o750].choose(random).expect("not empty"));
    }
    owner(random, &mut entry);
    entry
}

fn link(random: &mut StdRng) -> Value {
    let mut entry = json!({"path": path(random, "l"), "target": pick(random, &["/etc/motd", "../motd", "nowhere", "/usr/bin"])});
    if random.random_bool(0.2) {
        entry["hard"] = json!(true);
        entry["target"] = json!("/etc/issue");
    } else {
        owner(random, &mut entry);
    }
    entry
}

fn unit(random: &mut StdRng) -> Value {
    let word = pick(random, WORDS);
    let mut entry = json!({"name": format!("{word}{}.service", random.random_range(0..10))});
    if random.random_bool(0.7) {
        entry["contents"] = json!(format!(
            "[Unit]\nDescription={word}\n\n[Install]\nWantedBy={word}.target multi-user.target\n"
        ));
    }
    if random.random_bool(0.6) {
        entry["enabled"] = json!(random.random_bool(0.7));
    }
    if random.random_bool(0.3) {
        entry["dropins"] =
            json!([{"name": format!("{word}.conf"), "contents": "[Service]\nRestart=always\n"}]);
    }
    if random.random_bool(0.1) {
        entry["mask"] = json!(true);
        entry.as_object_mut().expect("an object").remove("enabled");
    }
    entry
}

fn user(random: &mut StdRng) -> Value {
    let mut entry = json!({"name": format!("{}{}", pick(random, WORDS), random.random_range(0..20))});
    if random.random_bool(0.3) {
        entry["uid"] = json!(random.random_range(1100..1900));
    }
    if random.random_bool(0.4) {
        entry["sshAuthorizedKeys"] = json!(["ssh-ed25519 AAAA a@b"]);
    }
    if random.random_bool(0.3) {
        entry["groups"] = json!(["sudo"]);
    }
    if random.random_bool(0.2) {
        entry["gecos"] = json!("Some Body");
    }
    if random.random_bool(0.2) {
        entry["system"] = json!(true);
    }
    if random.random_bool(0.2) {
        entry["shell"] = json!("/bin/bash");
    }
    entry
}

fn group(random: &mut StdRng) -> Value {
    let mut entry = json!({"name": format!("g{}", pick(random, WORDS))});
    if random.random_bool(0.5) {
        entry["gid"] = json!(random.random_range(2000..2100));
    }
    entry
}
