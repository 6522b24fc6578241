//! What the boot counter says, in words.

use std::path::Path;

use ashlar_model::boot_counter::{ENVIRONMENT_FILE, Environment, MENU_FILE, Menu, TRIES};
use serde::Serialize;

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    NotCounted,
    Good,
    OnTrial { boots: usize },
}

/// Of the first system of the menu.
pub fn standing() -> Standing {
    read(Path::new("/boot")).unwrap_or(Standing::NotCounted)
}

fn read(boot: &Path) -> Option<Standing> {
    let menu = Menu::parse(&std::fs::read_to_string(boot.join(MENU_FILE)).ok()?)?;
    let environment = Environment::parse(&std::fs::read(boot.join(ENVIRONMENT_FILE)).ok()?);
    let good = environment.is_good(&menu);
    Some(if good { Standing::Good } else { Standing::OnTrial { boots: environment.tried(&menu) } })
}

impl Standing {
    /// No tries are left: the boot loader takes the system after the first.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::OnTrial { boots: TRIES })
    }

    pub fn words(&self) -> String {
        match self {
            Self::NotCounted => "boots are not counted here".into(),
            Self::Good => "the first system of the boot menu was found good".into(),
            Self::OnTrial { boots: TRIES } => {
                format!(
                    "the first system was booted {TRIES} times and not found good: the one after it is booted"
                )
            }
            Self::OnTrial { boots } => {
                format!("the first system was booted {boots} of {TRIES} times and is not found good yet")
            }
        }
    }
}
