//! What the whole-system suites share: a rack to install on, commands with a deadline, a runner that counts.
//!
//! A suite is an ordered list of named facts about one rack; a fact that fails does not hide the others.

pub mod altered;
pub mod configuration;
pub mod power_cuts;
pub mod process;
pub mod rack;
pub mod runner;
pub mod updates;
