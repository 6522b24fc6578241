//! The same verdicts and the same file trees as the reference, for hundreds of configurations.

mod corpus;
mod reference;

use std::collections::BTreeMap;
use std::fs;

use corpus::{Case, cases};

fn with_reference(test: impl FnOnce(&std::path::Path)) {
    match reference::root() {
        Some(root) => test(&root),
        None => {
            eprintln!("skipped: no reference; `cargo run -p ashlar-ignition --example reference` makes it")
        }
    }
}

/// Our verdict: nothing when valid, else what is wrong.
fn verdict(case: &Case) -> Option<String> {
    match ashlar_ignition::parse(case.text.as_bytes()) {
        Err(error) => Some(error.to_string()),
        Ok(parsed) => parsed.report().errors.first().map(ToString::to_string),
    }
}

#[test]
fn the_corpus_is_large_and_its_names_are_unique() {
    let cases = cases();
    let names: std::collections::BTreeSet<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(names.len(), cases.len());
    assert!(cases.len() >= 300, "{} cases", cases.len());
}

#[test]
fn verdicts_are_those_of_the_reference() {
    with_reference(|root| {
        let cases = cases();
        let work = tempfile::tempdir().expect("a directory");
        for case in &cases {
            fs::write(work.path().join(&case.name), &case.text).expect("a file");
        }
        let script = "for f in /compare/*; do if o=$(ignition-validate $f 2>&1); then s=valid; else s=invalid; fi; \
                      printf '%s\\t%s\\t%s\\n' \"${f##*/}\" $s \"$(printf %s \"$o\" | tr '\\n\\t' '  ')\"; done";
        let said = reference::run(root, work.path(), script);
        let said: BTreeMap<&str, (&str, &str)> = said
            .lines()
            .filter_map(|line| {
                let mut parts = line.split('\t');
                Some((parts.next()?, (parts.next()?, parts.next()?)))
            })
            .collect();
        let mut wrong = Vec::new();
        for case in &cases {
            let (theirs, words) = said[case.name.as_str()];
            let ours = verdict(case);
            let same = (theirs == "valid") == ours.is_none();
            if same == case.differs.is_some() {
                wrong.push(format!(
                    "{}: {theirs} ({words}), ours {ours:?}, differs {:?}\n  {}",
                    case.name, case.differs, case.text
                ));
            }
        }
        let valid = said.values().filter(|(verdict, _)| *verdict == "valid").count();
        eprintln!("{} configurations, {valid} of them valid for the reference", cases.len());
        assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    });
}
