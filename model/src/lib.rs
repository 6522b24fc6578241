//! The nouns of Ashlar and its pure decisions: configuration, inventory, release, wire types, manifests.
//!
//! No I/O, no clock, no randomness, no async: every function here gives the same answer to the same question.

pub mod agent_api;
pub mod boot_counter;
pub mod bootstrap_api;
pub mod commit_signature;
pub mod config;
pub mod console;
pub mod control_plane;
pub mod event;
pub mod inventory;
pub mod keys;
pub mod machine_config;
pub mod node;
pub mod release;
pub mod slot;
pub mod update;
