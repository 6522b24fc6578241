//! The calls of an install against every vendor personality. Each fails for the vendor whose quirk is removed.

use super::{Bench, LIMIT};
use crate::client::BootTarget;
use crate::power::{PowerState, ResetType};
use crate::virtual_bmc::{BootSource, Personality};

async fn installs(personality: Personality) {
    let bench = Bench::of(personality).await;
    let bmc = bench.connect().await;
    bmc.power_off(LIMIT).await.unwrap();
    bmc.eject().await.unwrap();
    bmc.insert(&bench.image()).await.unwrap();
    bmc.set_boot_once(BootTarget::Cd).await.unwrap();
    bmc.clear_boot_override().await.unwrap();
    bmc.set_boot_once(BootTarget::Cd).await.unwrap();
    bmc.reset(ResetType::On).await.unwrap();
    bmc.wait_for_power(PowerState::On, LIMIT).await.unwrap();
    bmc.reset(ResetType::On).await.unwrap();
    assert!(matches!(bench.last_boot(), Some(BootSource::Medium(_))), "{personality:?}");
    assert!(bench.bmc.medium_is_write_protected(), "{personality:?}");
    bmc.set_boot_once(BootTarget::Hdd).await.unwrap();
    bmc.power_cycle(LIMIT).await.unwrap();
    bmc.eject().await.unwrap();
    assert_eq!(bench.last_boot(), Some(BootSource::Disk), "{personality:?}");
    assert_eq!(bench.bmc.medium(), None, "{personality:?}");
    bmc.close().await.unwrap();
}

macro_rules! personalities {
    ($($name:ident: $personality:ident),* $(,)?) => {
        $(#[tokio::test]
        async fn $name() {
            installs(Personality::$personality).await;
        })*
    };
}

personalities! {
    a_standard_bmc: Standard,
    an_idrac_9: Dell,
    an_idrac_10: Idrac10,
    an_ilo: Hpe,
    an_xclarity_controller: Lenovo,
    a_supermicro_board: Supermicro,
    a_megarac: Ami,
    an_openbmc: OpenBmc,
}
