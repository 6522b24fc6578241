//! Runs facts in order, prints each with its time, ends with `N passed, N failed`.
//!
//! `ASHLAR_ONLY=TEXT` runs, besides what all stand on, only facts with the text in their name: for whoever works on one.
//! The suite then ends as failed, since it has not been seen whole.

use std::process::ExitCode;
use std::time::Instant;

pub struct Runner {
    suite: &'static str,
    passed: u32,
    failed: u32,
    skipped: u32,
    /// A fact that all later ones stand on has failed.
    broken: Option<&'static str>,
}

impl Runner {
    pub fn new(suite: &'static str) -> Self {
        Self { suite, passed: 0, failed: 0, skipped: 0, broken: None }
    }

    /// Checks a fact.
    pub fn fact(&mut self, name: &'static str, check: impl FnOnce() -> anyhow::Result<()>) {
        let only = std::env::var("ASHLAR_ONLY").unwrap_or_default();
        if name.contains(&only) {
            self.check(name, check);
        } else {
            println!("{}: {name} ... skipped, as ASHLAR_ONLY asks", self.suite);
            self.skipped += 1;
        }
    }

    /// Checks a fact without which the later ones mean nothing.
    pub fn foundation(&mut self, name: &'static str, check: impl FnOnce() -> anyhow::Result<()>) {
        if !self.check(name, check) {
            self.broken.get_or_insert(name);
        }
    }

    fn check(&mut self, name: &'static str, check: impl FnOnce() -> anyhow::Result<()>) -> bool {
        if let Some(broken) = self.broken {
            println!("{}: {name} ... skipped, because this failed: {broken}", self.suite);
            self.skipped += 1;
            return false;
        }
        println!("{}: {name} ...", self.suite);
        let begun = Instant::now();
        match check() {
            Ok(()) => {
                println!("{}: {name} ... ok ({:.1} s)", self.suite, begun.elapsed().as_secs_f64());
                self.passed += 1;
                true
            }
            Err(error) => {
                println!(
                    "{}: {name} ... FAILED ({:.1} s)\n{error:?}",
                    self.suite,
                    begun.elapsed().as_secs_f64()
                );
                self.failed += 1;
                false
            }
        }
    }

    pub fn end(self) -> ExitCode {
        println!("{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped);
        if self.failed == 0 && self.skipped == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
