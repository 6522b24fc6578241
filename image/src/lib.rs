//! Builds what machines boot: upstream components, container images, the OSTree operating system, the disk
//! image, the bootable medium and the signed release. Also what serves a medium needs: per-host views of it.
//!
//! Runs on a developer's or CI machine as root; nothing here runs on a host of a cluster.

pub mod boot_loader;
mod boot_menu;
pub mod build;
pub mod chroot;
pub mod commit;
mod commit_signature;
pub mod components;
pub mod customize;
pub mod delta;
pub mod disk;
pub mod host_view;
pub mod images;
pub mod initramfs;
pub mod iso;
pub mod medium;
pub mod minimal;
pub mod network_boot;
pub mod oci;
pub mod packages;
pub mod release;
pub mod repository;
pub mod sbom;
pub mod squash;
pub mod stage;
pub mod system;
pub mod tree;

pub use build::{BuildOptions, Progress, ReleaseDir, build_release};
