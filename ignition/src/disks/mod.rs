//! Disks, pure: which partitions a table is to have, and the commands that make arrays, volumes and filesystems.

pub mod commands;
pub mod refusals;
pub mod table;
