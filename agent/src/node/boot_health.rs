//! Finds a new system good, or leaves it: the half of boot counting that runs in user space. A system is good when
//! its kubelet is healthy and every check of the cluster's own passes; one that is not in time is left for the one before
//! at once, without using up its boots.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ashlar_host::cmd::Cmd;
use ashlar_model::boot_counter::{ENVIRONMENT_FILE, Environment, MENU_FILE, Menu};
use ashlar_model::node::HEALTH_CHECKS;

use super::{checks, probe};
use crate::durable;

/// A system that is slow to come up is not broken; one that takes longer is.
const PATIENCE: Duration = Duration::from_secs(15 * 60);
const MODE: u32 = 0o600;

/// What is known of this boot.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    /// The boot file system has no menu that counts.
    NotCounted,
    Good,
    OnTrial {
        menu: Menu,
    },
    /// The newest system was left; this is the one before.
    FellBack,
}

pub struct BootHealth {
    boot: PathBuf,
    command_line: String,
    began: Instant,
    settled: bool,
}

impl BootHealth {
    /// `boot`: the boot file system.
    pub fn new(boot: &Path) -> Self {
        let command_line = std::fs::read_to_string("/proc/cmdline").unwrap_or_default();
        Self { boot: boot.to_owned(), command_line, began: Instant::now(), settled: false }
    }

    /// To be called now and then.
    pub async fn look(&mut self) {
        if self.settled {
            return;
        }
        match self.standing() {
            Ok(Standing::NotCounted | Standing::Good) => self.settled = true,
            Ok(Standing::FellBack) => {
                tracing::error!("the newest system did not come up; the one before it runs");
                self.settled = true;
            }
            Ok(Standing::OnTrial { menu }) => self.judge(&menu).await,
            Err(error) => tracing::warn!(%error, "cannot see how this system was booted"),
        }
    }

    async fn judge(&mut self, menu: &Menu) {
        let wrong = unhealthy().await;
        if wrong.is_none() {
            let boots = self.environment().map_or(0, |environment| environment.tried(menu));
            match self.change(|environment| environment.mark_good(menu)) {
                Ok(()) => {
                    tracing::info!(boots, "this system is good: it is healthy");
                    self.settled = true;
                }
                Err(error) => tracing::warn!(%error, "cannot note that this system is good"),
            }
        } else if menu.entries > 1 && self.began.elapsed() > PATIENCE {
            tracing::error!(wrong, "after {PATIENCE:?}: going back to the system before this one");
            if let Err(error) = self.change(|environment| environment.give_up(menu)) {
                tracing::warn!(%error, "the boot loader will try this system again");
            }
            if let Err(error) = Cmd::new("systemctl").arg("reboot").run().await {
                tracing::error!(%error, "cannot restart");
            }
            self.settled = true;
        }
    }

    fn standing(&self) -> io::Result<Standing> {
        let Ok(text) = std::fs::read_to_string(self.boot.join(MENU_FILE)) else {
            return Ok(Standing::NotCounted);
        };
        let Some(menu) = Menu::parse(&text) else { return Ok(Standing::NotCounted) };
        if !boots_first(&text, &self.command_line) {
            return Ok(Standing::FellBack);
        }
        let good = self.environment()?.is_good(&menu);
        Ok(if good { Standing::Good } else { Standing::OnTrial { menu } })
    }

    fn environment(&self) -> io::Result<Environment> {
        Ok(Environment::parse(&std::fs::read(self.boot.join(ENVIRONMENT_FILE))?))
    }

    fn change(&self, change: impl FnOnce(&mut Environment)) -> io::Result<()> {
        let mut environment = self.environment()?;
        change(&mut environment);
        let block = environment.block().ok_or(io::ErrorKind::StorageFull)?;
        durable::write(&self.boot.join(ENVIRONMENT_FILE), &block, MODE).map_err(io::Error::other)
    }
}

/// What is wrong, in words.
async fn unhealthy() -> Option<String> {
    if !probe::kubelet_healthy().await {
        return Some("the kubelet is not healthy".to_owned());
    }
    checks::failed(Path::new(HEALTH_CHECKS)).await
}

/// Whether the kernel was started by the menu's first entry: both name the same deployment.
fn boots_first(menu: &str, command_line: &str) -> bool {
    let deployment =
        |text: &str| text.split_whitespace().find(|word| word.starts_with("ostree=")).map(ToOwned::to_owned);
    deployment(menu).is_some_and(|first| deployment(command_line) == Some(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MENU: &str = "set menu_id=abc\nset menu_entries=2\nmenuentry \"b\" {\n    linux /b ostree=/ostree/b\n}\n\
                        menuentry \"a\" {\n    linux /a ostree=/ostree/a\n}\n";

    fn health(command_line: &str) -> (BootHealth, tempfile::TempDir) {
        let boot = tempfile::tempdir().expect("a directory");
        for folder in ["loader", "grub"] {
            std::fs::create_dir(boot.path().join(folder)).expect("a directory");
        }
        std::fs::write(boot.path().join(MENU_FILE), MENU).expect("a menu");
        let block = Environment::default().block().expect("it fits");
        std::fs::write(boot.path().join(ENVIRONMENT_FILE), block).expect("a block");
        let mut health = BootHealth::new(boot.path());
        health.command_line = command_line.to_owned();
        (health, boot)
    }

    #[test]
    fn a_new_system_is_on_trial_until_it_is_found_good() {
        let (health, _boot) = health("ostree=/ostree/b rw");
        let Ok(Standing::OnTrial { menu }) = health.standing() else { panic!("{:?}", health.standing()) };
        health.change(|environment| environment.mark_good(&menu)).expect("noted");
        assert_eq!(health.standing().expect("known"), Standing::Good);
    }

    #[test]
    fn the_second_entry_means_that_the_first_was_left() {
        let (health, _boot) = health("root=x ostree=/ostree/a");
        assert_eq!(health.standing().expect("known"), Standing::FellBack);
    }

    #[test]
    fn a_machine_whose_boots_are_not_counted_is_left_alone() {
        let (health, boot) = health("ostree=/ostree/a");
        std::fs::write(boot.path().join(MENU_FILE), "menuentry {}\n").expect("a menu");
        assert_eq!(health.standing().expect("known"), Standing::NotCounted);
    }
}
