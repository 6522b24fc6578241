//! Virtual racks: servers with BMCs, disks and networks on one computer, for rehearsals and tests.
//!
//! [`up`] starts a rack, [`down`] ends it, [`status`] says how to reach its BMCs; [`exec`], [`console`] and
//! [`power`] work with it. A program that calls [`up`] must call [`daemon::run`] when its first argument is
//! [`DAEMON_ARGUMENT`] (the second is the rack's directory).
//!
//! This crate builds the body of servers and wires virtual BMCs to it. It knows nothing of clusters, and machines
//! know nothing of it: they see hardware through the ordinary places.

pub mod bmc;
pub mod control;
pub mod daemon;
mod down;
mod iso;
mod limits;
pub mod machine;
pub mod network;
pub mod rack;
pub mod spec;
mod status;
mod up;
mod visit;

pub use control::PowerAction;
pub use down::{Error as DownError, down};
pub use spec::RackSpec;
pub use status::{Error as StatusError, ServerStatus, Status, racks, status};
pub use up::{DAEMON_ARGUMENT, Error as UpError, up};
pub use visit::{Error as VisitError, cable, console, exec, power};
