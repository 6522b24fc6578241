//! Takes the cluster from one release to the next. The wish and what is true of it are one object, `ClusterUpdate`;
//! nodes are told by annotations (`ashlar_model::update`). Whoever holds the lease decides, from what it sees alone: it
//! may be stopped at any moment.

mod add_ons;
mod files;
pub mod objects;
pub mod peers;
mod run;
mod store;

pub use files::{Releases, router};
pub use objects::{ClusterUpdate, NAME};
pub use run::{Updater, go_on};
pub use store::Store;
