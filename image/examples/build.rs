//! Builds a release from prebuilt upstream programs, for work on the image alone:
//! `cargo run -p ashlar-image --example build -- <cache> <our programs> <prebuilt>`.

use std::path::PathBuf;

use ashlar_image::{BuildOptions, Progress, build_release};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), ashlar_image::build::Error> {
    let mut arguments = std::env::args().skip(1).map(PathBuf::from);
    let mut next = |default: &str| arguments.next().unwrap_or_else(|| default.into());
    let options = BuildOptions {
        source_root: PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(".."),
        cache: next(".cache"),
        our_binaries: next("target/debug"),
        prebuilt: arguments.next(),
        signing_key: None,
        compression: 3,
        allow_missing: true,
    };
    let report = |progress: Progress| eprintln!("{}: {}", progress.stage, progress.message);
    let release = build_release(&options, &report).await?;
    println!("{}", release.path.display());
    Ok(())
}
