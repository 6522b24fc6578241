//! Boot counting: which entry of its menu a boot loader takes. A system that is new is tried a few times; unless it
//! is found to be good in between, the one before it is taken.
//!
//! The decision is made by GRUB, from a script that [`grub_script`] writes, and by the lab's containers, with
//! [`choose`]; a test runs the script beside the function. What is remembered lies in GRUB's environment block, which
//! GRUB can write without knowing the file system.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Boots that a new system gets to prove itself.
pub const TRIES: usize = 3;
/// On the boot file system.
pub const ENVIRONMENT_FILE: &str = "grub/grubenv";
pub const MENU_FILE: &str = "loader/grub.cfg";
/// Bytes of an environment block (GRUB manual, "The GRUB environment block").
const BLOCK_BYTES: usize = 1024;
const SIGNATURE: &str = "# GRUB Environment Block\n";

/// A menu: every change of its entries, or of their order, gives it another id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Menu {
    pub id: String,
    pub entries: usize,
}

/// What is remembered from boot to boot. Other variables of the block are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<String, String>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Entry {
    /// The first of the menu.
    Newest,
    /// The second: what ran before.
    Previous,
}

/// The entry to boot, and what to remember before it is booted.
#[must_use]
pub fn choose(menu: &Menu, environment: &Environment) -> (Entry, Environment) {
    let mut next = environment.clone();
    if environment.get("good") == menu.id {
        return (Entry::Newest, next);
    }
    let tries = if environment.get("tried") == menu.id { environment.tries() } else { 0 };
    if tries < TRIES {
        next.set("tried", &menu.id);
        next.set("tries", &(tries + 1).to_string());
        return (Entry::Newest, next);
    }
    (if menu.entries > 1 { Entry::Previous } else { Entry::Newest }, next)
}

impl Environment {
    /// Reads a block; one that is damaged remembers nothing.
    #[must_use]
    pub fn parse(block: &[u8]) -> Self {
        let text = String::from_utf8_lossy(block);
        let Some(lines) = text.strip_prefix(SIGNATURE) else { return Self::default() };
        let pairs = lines.lines().take_while(|line| !line.starts_with('#')).filter_map(|l| l.split_once('='));
        Self(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// The block: exactly 1024 bytes, filled with `#`. Nothing if the variables do not fit.
    #[must_use]
    pub fn block(&self) -> Option<Vec<u8>> {
        let lines = self.0.iter().map(|(name, value)| format!("{name}={value}\n"));
        let mut bytes = (SIGNATURE.to_owned() + &lines.collect::<String>()).into_bytes();
        if bytes.len() > BLOCK_BYTES {
            return None;
        }
        bytes.resize(BLOCK_BYTES, b'#');
        Some(bytes)
    }

    /// Remembers that this menu's first entry is good.
    pub fn mark_good(&mut self, menu: &Menu) {
        self.set("good", &menu.id);
        self.0.remove("tried");
        self.0.remove("tries");
    }

    /// The menu's first entry has no tries left.
    pub fn give_up(&mut self, menu: &Menu) {
        self.set("tried", &menu.id);
        self.set("tries", &TRIES.to_string());
    }

    /// Whether the menu's first entry was found to be good.
    #[must_use]
    pub fn is_good(&self, menu: &Menu) -> bool {
        self.get("good") == menu.id
    }

    /// How often the menu's first entry was tried since it is new.
    #[must_use]
    pub fn tried(&self, menu: &Menu) -> usize {
        if self.get("tried") == menu.id { self.tries() } else { 0 }
    }

    fn tries(&self) -> usize {
        self.get("tries").parse().unwrap_or(TRIES)
    }

    fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    fn set(&mut self, name: &str, value: &str) {
        self.0.insert(name.to_owned(), value.to_owned());
    }
}

impl Menu {
    /// Out of what `grub-menu` writes at the beginning of a menu.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let value = |name: &str| {
            text.lines().find_map(|line| line.strip_prefix("set ")?.strip_prefix(name)?.strip_prefix('='))
        };
        Some(Self { id: value("menu_id")?.to_owned(), entries: value("menu_entries")?.parse().ok()? })
    }
}

/// `choose` in GRUB's language. The menu has set `menu_id` and `menu_entries`; sets `default`.
#[must_use]
pub fn grub_script() -> String {
    let mut script = String::from(
        "set default=0\nload_env\nif [ \"${good}\" != \"${menu_id}\" ]; then\n  \
         if [ \"${tried}\" != \"${menu_id}\" ]; then\n    set tried=\"${menu_id}\"\n    set tries=1\n    \
         save_env tried tries\n",
    );
    for tries in 1..TRIES {
        let next = tries + 1;
        script += &format!(
            "  elif [ \"${{tries}}\" = \"{tries}\" ]; then\n    set tries={next}\n    save_env tries\n"
        );
    }
    script += "  elif [ \"${menu_entries}\" != \"1\" ]; then\n    set default=1\n  fi\nfi\n";
    script
}

#[cfg(test)]
#[path = "boot_counter_tests.rs"]
mod tests;
