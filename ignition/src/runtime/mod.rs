//! What touches a machine: paths inside a root, applying actions, fetching, and the first boot.

mod apply;
mod attempts;
mod cloud;
mod contents;
mod disks;
mod fetch;
mod files;
mod first_boot;
mod partitions;
mod preview;
mod report;
mod root;
mod services;
mod sink;
mod stages;
mod tftp;
mod tool;
mod users;

pub use apply::{ApplyError, apply};
pub use disks::Disks;
pub use fetch::{Fetcher, Identity};
pub use first_boot::{FirstBoot, Outcome, RESULT, STAMP, fetch_all, first_boot, is_applied, read_slot};
pub use preview::{Standing, preview};
pub use report::Failure;
pub use root::{Root, RootError};
pub use stages::{Ended, Stages};
pub use tool::Tool;
