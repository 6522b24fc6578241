//! Ignition configurations (spec 3.0 to 3.5): parse, validate, merge, render and plan, all pure; and, behind the
//! feature `runtime`, what applies a plan to a root file system at the first boot.
//!
//! The way of a configuration: `parse` (any version, translated to 3.5) → `validate` → `render` (fetches what
//! `ignition.config` names and merges it; the caller fetches) → `plan` (a list of actions) → `runtime::apply`.

pub mod accounts;
mod convert;
mod data_url;
mod diff;
pub mod disks;
pub mod kargs;
mod merge;
mod parse;
mod plan;
mod render;
mod resource;
pub mod running;
#[cfg(feature = "runtime")]
pub mod runtime;
pub mod units;
mod validate;
mod version;

pub use ashlar_model::config::Problem;
pub use convert::{ConvertError, convert};
pub use data_url::data_url;
pub use diff::{Difference, diff};
pub use ignition_config::v3_5 as spec;
pub use ignition_config::v3_5::Config;
pub use merge::merge;
pub use parse::{ParseError, Parsed, canonical, digest, parse, parse_value, parse_with_files};
pub use plan::{Action, Contents, Owner, Principal, plan};
pub use render::{RenderError, Rendered, Rendering, embed, render};
pub use resource::{
    Authority, Fetched, Hash, Proxies, Request, ResourceError, Settings, Source, Timeouts, Wanted,
};
pub use validate::{Report, report, validate};
pub use version::Version;

/// What is sent as `Accept` when a configuration is fetched.
pub const ACCEPT: &str = "application/vnd.coreos.ignition+json;version=3.5.0, */*;q=0.1";
