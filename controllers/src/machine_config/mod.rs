//! Machine configs: what a pool's hosts have in common, as one rendered Ignition config with a name.
//!
//! `judge` and `render` are pure: installer, bootstrap and cluster get the same answer from them. `live` follows the
//! objects of the cluster; `pool` says in the pools' status what is true. Nothing here changes a running node: a host
//! gets its config at its first boot.

mod judge;
pub mod live;
pub mod objects;
pub mod pool;
mod protect;
mod render;

pub use judge::{Judged, judge};
pub use live::{NotRendered, Pools};
pub use render::{Invalid, Rendered, for_host, render};

#[cfg(test)]
pub(crate) mod tests;
