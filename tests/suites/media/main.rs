//! Media are inspected, changed in place, made what they were, and told from others. Needs a release, no rack.
//!
//! `cargo test --package ashlar-tests --test media`

mod command;
mod fetch;
mod small;

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::ensure;
use ashlar_tests::runner::Runner;
use command::{digest, flip, refused, release, succeeds, text};

const KEYFILE: &str =
    "[connection]\nid=uplink\ntype=ethernet\n\n[ipv4]\nmethod=manual\naddress1=192.0.2.9/24\n";

fn main() -> ExitCode {
    let mut runner = Runner::new("media");
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("media");
    let (iso, keyfile) = (folder.join("own.iso"), folder.join("uplink.nmconnection"));
    runner.foundation("a copy of the release's medium is recognised as it", || {
        std::fs::create_dir_all(&folder)?;
        std::fs::copy(release()?.join("ashlar.iso"), &iso)?;
        std::fs::write(&keyfile, KEYFILE)?;
        succeeds(&["verify", text(&iso)?]).map(drop)
    });
    let original = digest(&iso);
    runner.fact(
        "network settings and kernel arguments are written in place, and it is still the medium",
        || {
            let before = std::fs::metadata(&iso)?.len();
            let change = ["--kernel-argument", "nomodeset", "--network-keyfile", text(&keyfile)?];
            succeeds(&[&["customize", text(&iso)?], &change[..]].concat())?;
            ensure!(std::fs::metadata(&iso)?.len() == before, "its size changed");
            let found: serde_json::Value =
                serde_json::from_str(&succeeds(&["inspect", text(&iso)?, "--output", "json"])?)?;
            ensure!(found["kernelArguments"][0] == "nomodeset", "{found}");
            ensure!(found["hostView"]["networkKeyfiles"][0] == "uplink.nmconnection", "{found}");
            succeeds(&["verify", text(&iso)?]).map(drop)
        },
    );
    runner.fact("what does not fit says how much is missing, and changes nothing", || {
        let (before, long) = (digest(&iso)?, "x".repeat(3000));
        let said = refused(&["customize", text(&iso)?, "--kernel-argument", &long])?;
        ensure!(said.contains("952 more than the 2048 reserved"), "said: {said}");
        ensure!(digest(&iso)? == before, "the medium changed");
        Ok(())
    });
    runner.fact("a reset medium is the original, byte for byte", || {
        succeeds(&["reset", text(&iso)?])?;
        ensure!(digest(&iso)? == original?, "it differs");
        Ok(())
    });
    runner.fact("one changed bit is found", || {
        flip(&iso, 100 << 20)?;
        let said = refused(&["verify", text(&iso)?])?;
        flip(&iso, 100 << 20)?;
        ensure!(said.contains("its contents differ"), "said: {said}");
        Ok(())
    });
    runner.fact("a medium that was cut off is found, and is not changed", || {
        OpenOptions::new().write(true).open(&iso)?.set_len(200 << 20)?;
        let said = refused(&["verify", text(&iso)?])?;
        ensure!(said.contains("was cut off"), "said: {said}");
        let said = refused(&["customize", text(&iso)?, "--kernel-argument", "quiet"])?;
        ensure!(said.contains("was cut off"), "said: {said}");
        Ok(())
    });
    runner.fact("another file is no medium", || {
        std::fs::write(&iso, vec![0; 1 << 20])?;
        let said = refused(&["inspect", text(&iso)?])?;
        ensure!(said.contains("is no medium of Ashlar"), "said: {said}");
        Ok(())
    });
    small::facts(&mut runner, &folder);
    if let Err(error) = std::fs::remove_dir_all(&folder) {
        println!("{} stays: {error}", folder.display());
    }
    runner.end()
}
