//! Kernel arguments, and the boot loader files that hold them. Pure.

use std::path::{Path, PathBuf};

/// The kernel arguments of one boot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KernelArguments {
    pub text: String,
}

impl KernelArguments {
    /// The value of `name=value`; the last one counts.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        let values = self.text.split_whitespace().filter_map(|argument| argument.split_once('='));
        values.filter(|(key, _)| *key == name).map(|(_, value)| value).next_back()
    }

    /// `name=OFFSET,LENGTH` in bytes.
    #[must_use]
    pub fn range(&self, name: &str) -> Option<(u64, u64)> {
        let (offset, length) = self.value(name)?.split_once(',')?;
        Some((offset.parse().ok()?, length.parse().ok()?))
    }

    /// The first `linux` line of a GRUB configuration; variables, which only GRUB knows, are left out.
    #[must_use]
    pub fn from_grub(configuration: &str) -> Option<Self> {
        let mut lines = configuration.lines().map(str::trim);
        let line = lines.find(|line| line.starts_with("linux ") || line.starts_with("linux\t"))?;
        let words = line.split_whitespace().skip(2).filter(|word| !word.contains('$'));
        Some(Self { text: words.collect::<Vec<_>>().join(" ") })
    }

    /// The `options` line of a boot loader entry.
    #[must_use]
    pub fn from_entry(entry: &str) -> Option<Self> {
        let options = entry.lines().find_map(|line| line.strip_prefix("options "))?;
        Some(Self { text: options.trim().to_owned() })
    }
}

/// Boot loader entries, the one to boot first: highest version (numbers compare as numbers).
#[must_use]
pub fn newest_first(mut entries: Vec<PathBuf>) -> Vec<PathBuf> {
    entries.retain(|path| path.extension().is_some_and(|extension| extension == "conf"));
    entries.sort_by_key(|path| std::cmp::Reverse(sort_key(path)));
    entries
}

fn sort_key(path: &Path) -> Vec<(u64, String)> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    name.split(['-', '.', '_', '+']).map(|part| (part.parse().unwrap_or(0), part.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grub_and_boot_loader_entries_say_the_same() {
        let grub = "set timeout=1\nmenuentry x {\n  linux /boot/vmlinuz ashlar.live=ASHLAR $extra ashlar.root=512,1024\n}\n";
        let arguments = KernelArguments::from_grub(grub).expect("a linux line");
        assert_eq!(arguments.value("ashlar.live"), Some("ASHLAR"));
        assert_eq!(arguments.range("ashlar.root"), Some((512, 1024)));
        let entry =
            KernelArguments::from_entry("title t\noptions root=LABEL=root ostree=/ostree/boot.1/a/b/0\n");
        assert_eq!(entry.expect("options").value("ostree"), Some("/ostree/boot.1/a/b/0"));
    }

    #[test]
    fn the_tenth_entry_is_newer_than_the_ninth() {
        let entries = ["ostree-9.conf", "ostree-10.conf", "notes"].map(PathBuf::from).to_vec();
        assert_eq!(newest_first(entries), ["ostree-10.conf", "ostree-9.conf"].map(PathBuf::from));
    }
}
