//! Virtual media: in, out, and what a BMC says about an image it cannot read.

use super::{Bench, config};
use crate::client::Error;
use crate::virtual_bmc::{Config, Faults};
use std::time::Duration;

#[tokio::test]
async fn a_medium_goes_in_and_out() {
    let bench = Bench::new().await;
    let bmc = bench.connect().await;
    assert!(!bmc.media().await.unwrap().inserted);
    bmc.insert(&bench.image()).await.unwrap();
    let media = bmc.media().await.unwrap();
    assert_eq!(media.image.as_deref(), Some(bench.image().as_str()));
    assert!(media.inserted && media.connected);
    assert_eq!(bench.bmc.medium().unwrap().image_name, "a.iso");
    // Again: what is in is taken out first.
    bmc.insert(&bench.image()).await.unwrap();
    bmc.eject().await.unwrap();
    bmc.eject().await.unwrap();
    assert_eq!(bench.bmc.medium(), None);
}

#[tokio::test]
async fn an_image_that_cannot_be_read_is_refused_with_the_reason() {
    let bench = Bench::new().await;
    let bmc = bench.connect().await;
    let closed = "http://127.0.0.1:1/a.iso".to_owned();
    let missing = format!("{}/b.iso", bench.images);
    let query = format!("{}?host=1", bench.image());
    for (url, reason) in [(closed, "refused"), (missing, "404"), (query, "without a query")] {
        let error = bmc.insert(&url).await.unwrap_err();
        assert!(matches!(error, Error::NotInserted { .. }), "{error}");
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[tokio::test]
async fn an_insert_that_fails_for_a_moment_is_repeated_and_one_that_lies_is_found_out() {
    let bench = Bench::new().await;
    let bmc = bench.connect_patiently(Duration::from_millis(50)).await;
    bench.bmc.set_faults(Faults { failing_inserts: 2, ..Faults::default() });
    bmc.insert(&bench.image()).await.unwrap();
    bench.bmc.set_faults(Faults { forgotten_inserts: 1, ..Faults::default() });
    let error = bmc.insert(&bench.image()).await.unwrap_err();
    assert!(error.to_string().contains("inserted false"), "{error}");
}

#[tokio::test]
async fn the_medium_survives_a_restart_of_the_bmc() {
    let directory = tempfile::tempdir().unwrap();
    let config = Config { state_file: Some(directory.path().join("bmc.json")), ..config() };
    let bench = Bench::with(config.clone()).await;
    bench.connect().await.insert(&bench.image()).await.unwrap();
    let again = Bench::with(config).await;
    assert_eq!(again.bmc.medium().unwrap().url, bench.image());
}

#[tokio::test]
async fn an_insert_whose_answer_is_lost_is_made_good() {
    let bench = Bench::new().await;
    let bmc = bench.connect().await;
    bench.bmc.set_faults(Faults { lost_answers: 1, ..Faults::default() });
    bmc.insert(&bench.image()).await.unwrap();
    assert_eq!(bench.bmc.faults().lost_answers, 0);
    assert!(bench.bmc.medium().is_some());
}
