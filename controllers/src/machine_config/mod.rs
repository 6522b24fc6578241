//! Machine configs: what a pool's hosts have in common, as one rendered Ignition config with a name.
//!
//! `judge` and `render` are pure: installer, bootstrap and cluster get the same answer from them. `live` follows the
//! objects of the cluster; `rollout` decides which nodes are told to have a new config, `pool` tells them and says in
//! the pools' status what is true. The node's own daemon makes the change.

mod judge;
pub mod live;
pub mod membership;
pub mod objects;
pub mod plan;
pub mod pool;
mod pool_node;
mod protect;
mod render;
pub mod rollout;

pub(crate) use judge::in_object;
pub use judge::{Judged, judge};
pub use live::{NotRendered, Pools};
pub(crate) use membership::at_once;
pub use membership::{Pool, pool_of};
pub(crate) use pool::control_plane_is_well;
pub use pool_node::PoolNode;
pub use render::{Invalid, Rendered, for_host, render};

#[cfg(test)]
pub(crate) mod tests;
