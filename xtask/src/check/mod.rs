//! `cargo xtask check`: the invariants of ARCHITECTURE.md as tests, then formatting and clippy.

mod arrows;
mod sources;

use anyhow::{Result, bail};

use crate::process::{Session, cargo};
use crate::workspace;

pub fn run() -> Result<()> {
    let session = Session::open("check")?;
    structure(&session)?;
    session.run("Formatting", "5 s", &mut cargo(["fmt", "--all", "--check"]))?;
    let clippy = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    session.run("Clippy", "5 minutes the first time", &mut cargo(clippy))?;
    // `--all-targets` leaves out what is not in the default run.
    let suites = ["clippy", "--package", "ashlar-tests", "--test", "*", "--", "-D", "warnings"];
    session.run("Clippy of all suites", "5 s", &mut cargo(suites))
}

/// What reads files only.
pub fn structure(session: &Session) -> Result<()> {
    let root = workspace::root();
    let mut problems = arrows::problems(&root)?;
    problems.extend(sources::problems(&root)?);
    for problem in &problems {
        session.say(problem);
    }
    if problems.is_empty() {
        session.say("structure: dependencies, processes and file lengths are as they should be");
        return Ok(());
    }
    bail!("{} problems of structure", problems.len())
}
