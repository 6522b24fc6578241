//! Resets, boot override, and the order in which machine and BMC see them.

use super::{Bench, LIMIT, config};
use crate::client::{BootTarget, Error};
use crate::power::{PowerState, ResetType};
use crate::virtual_bmc::{BootEnabled, BootSource, Config, Faults};
use std::time::Duration;

#[tokio::test]
async fn an_override_for_one_boot_is_used_up_by_it() {
    let bench = Bench::new().await;
    let bmc = bench.connect().await;
    bmc.insert(&bench.image()).await.unwrap();
    bmc.set_boot_once(BootTarget::Cd).await.unwrap();
    bmc.reset(ResetType::On).await.unwrap();
    bmc.wait_for_power(PowerState::On, LIMIT).await.unwrap();
    assert!(matches!(bench.last_boot(), Some(BootSource::Medium(medium)) if medium.url == bench.image()));
    assert_eq!(bench.bmc.boot_override().enabled, BootEnabled::Disabled);
    // A reboot from inside, with the medium still in.
    assert_eq!(bench.bmc.next_boot(), BootSource::Disk);
    bmc.power_cycle(LIMIT).await.unwrap();
    assert_eq!(bench.last_boot(), Some(BootSource::Disk));
}

#[tokio::test]
async fn an_override_can_be_cleared() {
    let bench = Bench::new().await;
    let bmc = bench.connect().await;
    bmc.set_boot_once(BootTarget::Cd).await.unwrap();
    bmc.clear_boot_override().await.unwrap();
    assert_eq!(bmc.boot_state().await.unwrap().enabled.as_deref(), Some("Disabled"));
}

#[tokio::test]
async fn a_failed_power_on_keeps_the_override() {
    let bench = Bench::new().await;
    let bmc = bench.connect().await;
    bmc.set_boot_once(BootTarget::Cd).await.unwrap();
    *bench.machine.broken.lock().unwrap() = true;
    let error = bmc.reset(ResetType::On).await.unwrap_err();
    assert!(error.to_string().contains("no fuse"), "{error}");
    assert_eq!(bench.bmc.boot_override().enabled, BootEnabled::Once);
}

#[tokio::test]
async fn a_slow_restart_is_a_task_that_is_followed() {
    let bench = Bench::with(Config { reply_within: Duration::ZERO, ..config() }).await;
    let bmc = bench.connect().await;
    bmc.reset(ResetType::On).await.unwrap();
    bench.machine.shutdown.add_permits(1);
    bmc.reset(ResetType::GracefulRestart).await.unwrap();
    assert_eq!(bench.machine.boots.lock().unwrap().len(), 2);
    bench.bmc.wind_down().await;
}

#[tokio::test]
async fn a_forced_off_overtakes_a_shutdown_that_hangs() {
    let bench = Bench::with(Config { reply_within: Duration::ZERO, ..config() }).await;
    let bmc = bench.connect().await;
    bmc.reset(ResetType::On).await.unwrap();
    let restart = bmc.reset(ResetType::GracefulRestart);
    let force = async {
        bmc.wait_for_power(PowerState::PoweringOff, LIMIT).await.unwrap();
        bmc.power_off(LIMIT).await.unwrap();
        bench.machine.shutdown.add_permits(1);
    };
    let (restarted, ()) = tokio::join!(restart, force);
    assert!(matches!(restarted, Err(Error::TaskFailed { .. })), "{restarted:?}");
    assert_eq!(bmc.power_state().await.unwrap(), PowerState::Off);
}

#[tokio::test]
async fn a_reset_that_conflicts_for_a_moment_is_repeated() {
    let bench = Bench::new().await;
    let bmc = bench.connect().await;
    bench.bmc.set_faults(Faults { refused_resets: 2, ..Faults::default() });
    bmc.reset(ResetType::On).await.unwrap();
    assert_eq!(bmc.power_state().await.unwrap(), PowerState::On);
}

#[tokio::test]
async fn waiting_in_vain_says_what_was_seen() {
    let bench = Bench::new().await;
    let error = bench.connect().await.wait_for_power(PowerState::On, Duration::ZERO).await.unwrap_err();
    assert!(error.to_string().contains("last seen: power state Off"), "{error}");
}

#[tokio::test]
async fn a_power_on_whose_answer_is_lost_happens_once() {
    let bench = Bench::new().await;
    let bmc = bench.connect().await;
    bench.bmc.set_faults(Faults { lost_answers: 1, ..Faults::default() });
    bmc.reset(ResetType::On).await.unwrap();
    assert_eq!(bench.machine.boots.lock().unwrap().len(), 1);
}
