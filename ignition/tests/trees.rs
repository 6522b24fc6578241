//! The same file trees as the reference's files stage, for every valid configuration of the corpus that needs no
//! network and no disk: names, contents, modes, owners, links and enabled units.

mod corpus;
mod reference;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use ashlar_ignition::runtime::{Fetcher, Root, apply};
use ashlar_ignition::{Action, Contents, Fetched, Rendering, Source, parse, plan, render};
use corpus::cases;
use reference::trees::{differences, image, tree};

/// The actions, when nothing outside the configuration is needed.
fn actions(text: &str) -> Option<Result<Vec<Action>, String>> {
    let parsed = parse(text.as_bytes()).ok()?;
    let storage = parsed.config.storage.clone().unwrap_or_default();
    let on_disks = storage.disks.is_some()
        || storage.raid.is_some()
        || storage.luks.is_some()
        || storage.filesystems.is_some();
    let remote = text.contains("//a.example")
        || text.contains("s3:")
        || text.contains("gs:")
        || text.contains("//p.example");
    if on_disks || remote || parsed.config.kernel_arguments.is_some() || !parsed.report().errors.is_empty() {
        return None;
    }
    match render(&parsed.config, &Fetched::new()).ok()? {
        Rendering::Done(rendered) => {
            let actions = match plan(&rendered.config, &rendered.settings) {
                Ok(actions) => actions,
                Err(problems) => return Some(Err(problems[0].to_string())),
            };
            let is_remote = |source: &Source| matches!(source, Source::Remote { .. });
            let remote = actions.iter().any(|action| match action {
                Action::File { contents: Contents::Replace(sources) | Contents::Append(sources), .. } => {
                    sources.iter().any(is_remote)
                }
                _ => false,
            });
            (!remote).then_some(Ok(actions))
        }
        Rendering::Fetch(_) => None,
    }
}

const SCRIPT: &str = r#"
printf '#!/bin/sh\ncat > /dev/null\n' > /usr/sbin/setfiles; chmod 755 /usr/sbin/setfiles
export IGNITION_WRITE_AUTHORIZED_KEYS_FRAGMENT=false
for config in /compare/configs/*; do
  name=${config##*/}; root=/compare/theirs/$name; export IGNITION_CONFIG_FILE=$config
  cp -a /compare/image $root
  common="--platform file --root $root --config-cache /compare/cache.json --state-file /compare/state --neednet /compare/net --log-to-stdout"
  rm -f /compare/cache.json /compare/state /compare/net
  ignition=/usr/lib/dracut/modules.d/30ignition/ignition
  if timeout 20 $ignition --stage fetch $common > /compare/log 2>&1 && timeout 20 $ignition --stage files $common >> /compare/log 2>&1; then
    systemctl --root $root preset-all > /dev/null 2>&1; echo "$name	done	"
  else
    printf '%s\tfailed\t%s\n' "$name" "$(grep -a -m1 CRITICAL /compare/log | tr -cd '[:print:]' | cut -c1-300)"
  fi
done
"#;

/// Where the reference stops and we do not, with the reason.
const LENIENT: &[(&str, &str)] = &[
    ("systemctl", "a unit that is disabled need not exist"),
    ("cannot remove symlink", "a unit that is disabled need not exist"),
    ("already exists", "an account that is there already as it should be is no mistake"),
    (
        "A file exists there already and overwrite is false",
        "a file with these contents already is no mistake",
    ),
    ("failed to create groups", "a group that is there already is no mistake"),
    ("adding group", "a group that is there already is no mistake"),
    ("systemd/private", "the reference asks a running systemd about templates"),
];

/// It ends without a word.
const CRASH: (&str, &str) = ("", "the reference crashes on an appended part without a source");

#[test]
fn trees_are_those_of_the_reference() {
    let Some(root) = reference::root() else {
        eprintln!("skipped: no reference; `cargo run -p ashlar-ignition --example reference` makes it");
        return;
    };
    let work = tempfile::tempdir().expect("a directory");
    for folder in ["configs", "theirs", "ours"] {
        fs::create_dir(work.path().join(folder)).expect("a directory");
    }
    image(&work.path().join("image"), &root);
    let planned: BTreeMap<String, (String, Result<Vec<Action>, String>)> = cases()
        .into_iter()
        .filter(|case| case.differs.is_none())
        .filter_map(|case| Some((case.name, (case.text.clone(), actions(&case.text)?))))
        .collect();
    for (name, (text, _)) in &planned {
        fs::write(work.path().join("configs").join(name), text).expect("a file");
    }
    let said = reference::run(&root, work.path(), SCRIPT);
    let (mut wrong, mut same, mut both_fail, mut lenient) =
        (Vec::new(), 0, 0, BTreeMap::<&str, usize>::new());
    for line in said.lines() {
        let parts: Vec<&str> = line.split('\t').collect();
        let [name, status, why] = parts[..] else { panic!("a line that is none: {line:?}") };
        let (text, actions) = &planned[name];
        let own = work.path().join("ours").join(name);
        assert!(
            Command::new("cp")
                .arg("-a")
                .arg(work.path().join("image"))
                .arg(&own)
                .status()
                .expect("cp")
                .success()
        );
        let ours = actions.clone().and_then(|actions| run(&actions, &own));
        match (status, ours) {
            ("done", Ok(())) => {
                let differing = differences(&tree(&work.path().join("theirs").join(name)), &tree(&own));
                if differing.is_empty() {
                    same += 1;
                } else {
                    wrong.push(format!("{name}: {text}\n{}", differing.join("\n")));
                }
            }
            ("done", Err(error)) => wrong.push(format!("{name}: we fail: {error}\n  {text}")),
            (_, Err(_)) => both_fail += 1,
            (_, Ok(())) => match LENIENT
                .iter()
                .find(|(words, _)| why.contains(words))
                .or((why.is_empty()).then_some(&CRASH))
            {
                Some((_, reason)) => *lenient.entry(reason).or_default() += 1,
                None => wrong.push(format!("{name}: theirs fails: {why}\n  {text}")),
            },
        }
    }
    eprintln!("{same} trees are the same, {both_fail} fail for both, more lenient: {lenient:?}");
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), planned.len(), wrong.join("\n"));
}

fn run(actions: &[Action], root: &Path) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let fetcher = Fetcher::plain(Path::new("/"), |_| {});
    let applied = runtime.block_on(apply(actions, &Root::new(root), &fetcher));
    applied.map(drop).map_err(|(entry, error)| format!("{entry}: {error}"))
}
