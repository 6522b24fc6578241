//! Brings the release's container images into containerd, so that no node needs a registry to come up.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use ashlar_host::cmd::Cmd;
use ashlar_model::release::Image;
use futures::{StreamExt, TryStreamExt};

use crate::durable;

pub const IMAGES_DIRECTORY: &str = "/usr/share/ashlar/images";
const STAMPS_DIRECTORY: &str = "/var/lib/ashlar/images";
const SOCKET: &str = "/run/containerd/containerd.sock";
const SOCKET_TIMEOUT: Duration = Duration::from_secs(180);
/// Needed first: a control plane starts while the rest is still being imported.
const FIRST: &[&str] = &["pause", "etcd", "kube-apiserver"];

/// The images that the operating system carries.
pub fn list() -> anyhow::Result<Vec<Image>> {
    list_in(Path::new(IMAGES_DIRECTORY))
}

/// The images of a folder of them.
pub fn list_in(folder: &Path) -> anyhow::Result<Vec<Image>> {
    let path = folder.join("images.json");
    let text = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("reading the JSON of {}", path.display()))
}

pub async fn import() -> anyhow::Result<()> {
    import_from(Path::new(IMAGES_DIRECTORY)).await
}

/// Imports what is missing of a folder of images.
pub async fn import_from(folder: &Path) -> anyhow::Result<()> {
    wait_for_containerd().await?;
    let listed =
        Cmd::new("ctr").args(["-n", "k8s.io", "images", "list"]).run().await.context("listing images")?;
    let missing = ordered(list_in(folder)?).into_iter().filter(|image| !is_there(image, &listed.stdout));
    let (first, rest): (Vec<_>, Vec<_>) = missing.partition(|image| FIRST.contains(&image.short_name()));
    let folder: Arc<Path> = folder.into();
    for image in first {
        import_one(folder.clone(), image).await?;
    }
    let rest = rest.into_iter().map(|image| import_one(folder.clone(), image));
    futures::stream::iter(rest.collect::<Vec<_>>()).buffer_unordered(2).try_collect::<Vec<()>>().await?;
    Ok(())
}

/// `FIRST` in its order, then the others in theirs.
fn ordered(mut images: Vec<Image>) -> Vec<Image> {
    images.sort_by_key(|image| {
        FIRST.iter().position(|first| *first == image.short_name()).unwrap_or(FIRST.len())
    });
    images
}

/// Known to containerd under this name, with this digest or a stamp of ours that this digest was imported.
fn is_there(image: &Image, listed: &str) -> bool {
    listed.lines().any(|line| {
        line.split_whitespace().next() == Some(&image.name)
            && (line.contains(&image.digest) || stamp(image).exists())
    })
}

async fn import_one(folder: Arc<Path>, image: Image) -> anyhow::Result<()> {
    let started = Instant::now();
    let file = folder.join(&image.file);
    let ctr = || Cmd::new("ctr").args(["-n", "k8s.io", "images"]);
    let import = ctr().args(["import", "--local"]).arg(&file).timeout(Duration::from_secs(600));
    import.run().await.with_context(|| format!("importing {}", image.name))?;
    // Nothing could fetch it again after the kubelet's garbage collection.
    let pin = ctr().args(["label", &image.name, "io.cri-containerd.pinned=pinned"]);
    pin.run().await.with_context(|| format!("pinning {}", image.name))?;
    durable::write(&stamp(&image), image.name.as_bytes(), 0o644)?;
    tracing::info!(image = image.name, seconds = started.elapsed().as_secs_f64(), "imported");
    Ok(())
}

fn stamp(image: &Image) -> PathBuf {
    Path::new(STAMPS_DIRECTORY).join(image.digest.replace(':', "-"))
}

async fn wait_for_containerd() -> anyhow::Result<()> {
    let started = Instant::now();
    while let Err(error) = tokio::net::UnixStream::connect(SOCKET).await {
        if started.elapsed() > SOCKET_TIMEOUT {
            bail!("containerd does not answer on {SOCKET} after {SOCKET_TIMEOUT:?}: {error}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(name: &str) -> Image {
        Image {
            name: format!("registry.ashlar.local/{name}:1.2"),
            file: String::new(),
            digest: "sha256:aa".into(),
        }
    }

    #[test]
    fn what_a_control_plane_needs_comes_first() {
        let images = ["coredns", "kube-apiserver", "etcd", "flannel", "pause"].map(image).to_vec();
        let names: Vec<_> = ordered(images).iter().map(|image| image.short_name().to_owned()).collect();
        assert_eq!(names, ["pause", "etcd", "kube-apiserver", "coredns", "flannel"]);
    }

    #[test]
    fn an_image_of_another_digest_is_missing() {
        let listed = "REF TYPE DIGEST\nregistry.ashlar.local/etcd:1.2 application/x sha256:bb 1 MiB\n";
        assert!(!is_there(&image("etcd"), listed));
        assert!(is_there(&image("etcd"), &listed.replace("bb", "aa")));
    }
}
