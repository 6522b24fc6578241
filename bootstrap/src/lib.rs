//! The temporary control plane: brings itself up from a bundle, serves configurations, grows etcd onto the masters,
//! and takes itself away.
//!
//! Order of a run: [`machine`] writes files and starts the static pods; [`server`] answers hosts and engine;
//! [`pivot`] decides, once a second and without I/O, what is to be done next; [`run`] does it.

pub mod base;
pub mod etcd;
pub mod machine;
pub mod pivot;
pub mod run;
pub mod server;
pub mod state;
