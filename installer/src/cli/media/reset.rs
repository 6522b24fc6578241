//! `ashlar media reset`.

use std::path::Path;

use super::Written;
use crate::failure::Failure;

pub fn run(medium: &Path) -> Result<(), Failure> {
    let version = Written::read(medium)?.version;
    Written { version, host_view: None, kernel_arguments: Vec::new(), source: None }.write(medium)
}
