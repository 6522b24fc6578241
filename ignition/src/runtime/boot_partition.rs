//! The boot partition at the first boot: kernel arguments in the boot entries, and the stamp that ends it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ashlar_host::mount::{self, Access};

use super::files;
use super::machine::Machine;
use super::marks::Marks;
use super::prepare::make_run;
use super::report::Failure;
use crate::kargs;
use crate::spec::KernelArguments;

/// The arguments were changed once.
const CHANGED: &str = "ashlar-kernel-arguments";
/// The first boot is over; holds what was applied.
const APPLIED: &str = "ashlar-ignition-applied";

/// The boot partition's directory, as long as it is needed.
pub(super) struct Boot {
    pub folder: PathBuf,
    mounted: bool,
}

impl Boot {
    /// Nothing when this machine has no boot partition.
    pub fn open(machine: &Machine, access: Access) -> Result<Option<Self>, Failure> {
        if machine.boot.is_dir() {
            return Ok(Some(Self { folder: machine.boot.clone(), mounted: false }));
        }
        if !machine.boot.exists() {
            return Ok(None);
        }
        let folder = machine.run.join("boot");
        make_run(&machine.run).map_err(|error| fail(machine, &error))?;
        if mount::below(&folder).is_ok_and(|points| points.contains(&folder)) {
            mount::unmount(&folder).map_err(|error| fail(machine, &error))?;
        }
        mount::mount(&machine.boot, &folder, "ext4", access, "").map_err(|error| fail(machine, &error))?;
        Ok(Some(Self { folder, mounted: true }))
    }

    /// # Errors
    /// It cannot be unmounted: what was written may not be on the disk.
    pub fn close(mut self, machine: &Machine) -> Result<(), Failure> {
        if std::mem::take(&mut self.mounted) {
            mount::unmount(&self.folder).map_err(|error| fail(machine, &error))?;
        }
        Ok(())
    }

    pub fn is_applied(&self) -> bool {
        self.folder.join(APPLIED).exists()
    }
}

/// After an error; its own is told already.
impl Drop for Boot {
    fn drop(&mut self) {
        if self.mounted {
            let _ = mount::unmount(&self.folder);
        }
    }
}

fn fail(machine: &Machine, error: &dyn std::error::Error) -> Failure {
    Failure::new("kargs", machine.boot.display(), error, "check the boot partition")
}

/// True when the boot entries were changed: the machine must be restarted.
///
/// # Errors
/// They cannot be changed, or were changed before and are not in force.
pub(super) fn kernel_arguments(machine: &Machine, wanted: &KernelArguments) -> Result<bool, Failure> {
    if kargs::is_empty(wanted) {
        return Ok(false);
    }
    let Some(boot) = Boot::open(machine, Access::ReadWrite)? else {
        let cause = "kernelArguments are given, and this machine has no boot partition";
        return Err(Failure::because("kargs", machine.boot.display(), cause, "leave kernelArguments out"));
    };
    let edited = edit(&boot.folder, wanted).map_err(|error| fail(machine, &error));
    boot.close(machine)?;
    if edited? {
        (machine.say)("the kernel arguments are changed; the host is restarted once");
        return Ok(true);
    }
    Ok(false)
}

/// The last act of the first boot. A machine without a boot partition keeps the stamp in `/etc` alone.
///
/// # Errors
/// The boot partition cannot be written.
pub(super) fn stamp(machine: &Machine, identity: &str) -> Result<(), Failure> {
    let Some(boot) = Boot::open(machine, Access::ReadWrite)? else { return Ok(()) };
    let text = format!("{identity}\n");
    let path = boot.folder.join(APPLIED);
    files::write_synced(&path, text.as_bytes(), 0o600)
        .and_then(|()| Marks::new(Some(&boot.folder)).end())
        .map_err(|error| {
            Failure::new("finish", machine.boot.display(), &error, "check the boot partition")
        })?;
    boot.close(machine)
}

/// Edits boot entries and GRUB's menu; refuses to do it a second time, so that a host is restarted once at most.
fn edit(folder: &Path, wanted: &KernelArguments) -> io::Result<bool> {
    let mut changes = Vec::new();
    for loader in ["loader", "grub"] {
        let mut queue = vec![folder.join(loader)];
        while let Some(path) = queue.pop() {
            let Ok(data) = path.metadata() else { continue };
            if data.is_dir() {
                let entries = fs::read_dir(&path)?.collect::<Result<Vec<_>, _>>()?;
                queue.extend(entries.into_iter().map(|entry| entry.path()));
            } else if path.extension().is_some_and(|kind| kind == "conf" || kind == "cfg")
                && let Some(text) = kargs::edited_file(&fs::read_to_string(&path)?, wanted)
            {
                changes.push((path, text));
            }
        }
    }
    if changes.is_empty() {
        return Ok(false);
    }
    let mark = folder.join(CHANGED);
    if mark.exists() {
        return Err(io::Error::other("the arguments were changed before and are not in force"));
    }
    for (path, text) in changes {
        files::write_synced(&path, text.as_bytes(), 0o644)?;
    }
    files::write_synced(&mark, b"changed\n", 0o644)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_entries_are_changed_once() {
        let folder = tempfile::tempdir().expect("a directory");
        let entry = folder.path().join("loader/entries/a.conf");
        fs::create_dir_all(entry.parent().expect("a parent")).expect("directories");
        fs::write(&entry, "options root=x quiet\n").expect("a file");
        let wanted = |word: &str| KernelArguments {
            should_exist: Some(vec![word.to_owned()]),
            should_not_exist: None,
        };
        assert!(edit(folder.path(), &wanted("nosmt")).expect("changed"));
        assert_eq!(fs::read_to_string(&entry).expect("text"), "options root=x quiet nosmt\n");
        assert!(!edit(folder.path(), &wanted("nosmt")).expect("right already"));
        assert!(edit(folder.path(), &wanted("other")).is_err(), "one restart at most");
    }

    #[test]
    fn a_cut_between_two_entries_is_completed_by_the_next_run() {
        let folder = tempfile::tempdir().expect("a directory");
        let entries = folder.path().join("loader/entries");
        fs::create_dir_all(&entries).expect("directories");
        fs::write(entries.join("a.conf"), "options root=x nosmt\n").expect("done before the cut");
        fs::write(entries.join("b.conf"), "options root=x\n").expect("not done yet");
        let wanted = KernelArguments { should_exist: Some(vec!["nosmt".to_owned()]), should_not_exist: None };
        assert!(edit(folder.path(), &wanted).expect("completed"));
        assert_eq!(fs::read_to_string(entries.join("b.conf")).expect("text"), "options root=x nosmt\n");
        assert!(folder.path().join(CHANGED).exists());
    }
}
