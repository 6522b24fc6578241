//! Configurations on a running node: what of one can be kept up to date without an install, what differs between two of
//! them, and what a difference asks of the node. Pure, so that a preview and the node's own daemon give one answer.

mod changes;
mod kept;
mod policy;

pub use changes::{Change, Kind, changes};
pub use kept::{Entry, Kept, Principals, UnitState};
pub use policy::{Demand, Need, need_of};
