//! The container images of a release: which programs are in each, and under which name.
//!
//! To add one, add a row to `IMAGES` (and its component under `layers/`). Every image has the one registry
//! name `registry.ashlar.local`, which resolves nowhere: images are imported on the hosts, never pulled.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::oci::{self, Config, Entry};

mod closure;

use closure::Closure;

pub const REGISTRY: &str = "registry.ashlar.local";

const IMAGES: &[Recipe] = &[
    Recipe {
        name: "pause",
        version: Version::Fixed("3.10.1"),
        programs: &[("pause", "pause")],
        user: NOBODY,
        ..Recipe::EMPTY
    },
    Recipe {
        name: "etcd",
        version: Version::Component("etcd"),
        programs: &[("etcd", "usr/local/bin/etcd"), ("etcdctl", "usr/local/bin/etcdctl")],
        ..Recipe::EMPTY
    },
    // Root: these read the keys that the host keeps for root alone.
    Recipe {
        name: "kube-apiserver",
        version: Version::Component("kubernetes"),
        programs: &[("kube-apiserver", "usr/local/bin/kube-apiserver")],
        ..Recipe::EMPTY
    },
    Recipe {
        name: "kube-controller-manager",
        version: Version::Component("kubernetes"),
        programs: &[("kube-controller-manager", "usr/local/bin/kube-controller-manager")],
        ..Recipe::EMPTY
    },
    Recipe {
        name: "kube-scheduler",
        version: Version::Component("kubernetes"),
        programs: &[("kube-scheduler", "usr/local/bin/kube-scheduler")],
        ..Recipe::EMPTY
    },
    Recipe {
        name: "kube-proxy",
        version: Version::Component("kubernetes"),
        programs: &[("kube-proxy", "usr/local/bin/kube-proxy")],
        from_tree: &["usr/sbin/nft"],
        ..Recipe::EMPTY
    },
    // Not root: containerd lets every container listen on port 53 (`enable_unprivileged_ports`).
    Recipe {
        name: "coredns",
        version: Version::Component("coredns"),
        programs: &[("coredns", "usr/local/bin/coredns")],
        user: NOBODY,
        ..Recipe::EMPTY
    },
    // Even with nftables, flanneld does not start without iptables: it first clears what that mode left.
    Recipe {
        name: "flannel",
        version: Version::Component("flannel"),
        programs: &[
            ("flanneld", "opt/bin/flanneld"),
            ("install-conf", "opt/bin/install-conf"),
            ("flannel", "opt/cni/bin/flannel"),
        ],
        from_tree: &["usr/sbin/nft", "usr/sbin/xtables-nft-multi"],
        links: &[("usr/sbin/iptables", "xtables-nft-multi"), ("usr/sbin/ip6tables", "xtables-nft-multi")],
        ..Recipe::EMPTY
    },
    // For tests; no cluster needs it.
    Recipe {
        name: "agnhost",
        version: Version::Fixed("2.59"),
        programs: &[("agnhost", "agnhost")],
        ..Recipe::EMPTY
    },
    Recipe {
        name: "ashlar-controllers",
        version: Version::Fixed(env!("CARGO_PKG_VERSION")),
        programs: &[("ashlar-controllers", "usr/local/bin/ashlar-controllers")],
        ..Recipe::EMPTY
    },
];

/// A number, so that Kubernetes can tell that it is not root.
const NOBODY: &str = "65535:65535";
const ROOT: &str = "0:0";
const PASSWD: &str = "root:x:0:0:root:/:/sbin/nologin\nnobody:x:65535:65535:nobody:/:/sbin/nologin\n";
const GROUP: &str = "root:x:0:\nnobody:x:65535:\n";
/// Without it glibc asks for names by rules of its own.
const NSSWITCH: &str = "hosts: files dns\n";
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// One image. The first program is its entry point.
struct Recipe {
    name: &'static str,
    version: Version,
    /// Binary (of a component or our own) and its path in the image. Libraries are found by themselves.
    programs: &'static [(&'static str, &'static str)],
    /// Programs of the Debian tree, which keep their paths.
    from_tree: &'static [&'static str],
    links: &'static [(&'static str, &'static str)],
    user: &'static str,
}

enum Version {
    /// That of the component of this name under `layers/`.
    Component(&'static str),
    Fixed(&'static str),
}

/// An image archive on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltImage {
    /// `registry.ashlar.local/<name>:<version>`
    pub reference: String,
    /// Of the manifest: `sha256:…`
    pub digest: String,
    pub archive: PathBuf,
    /// Bytes of the archive.
    pub size: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("image {image} needs the binary `{binary}`, which nothing built")]
    NoBinary { image: &'static str, binary: &'static str },
    #[error("image {image} has the version of component `{component}`, which does not exist")]
    NoComponent { image: &'static str, component: &'static str },
    #[error("finding what image {image} needs")]
    Closure { image: &'static str, source: closure::Error },
    #[error("packing image {image}")]
    Pack { image: &'static str, source: oci::Error },
    #[error("creating {}", path.display())]
    Create { path: PathBuf, source: io::Error },
}

/// Writes every image of the release to `out/<name>.tar`.
///
/// `versions` has the version of every component, `tree` is an unpacked Debian root with the packages
/// nftables and iptables.
///
/// # Errors
/// A binary, version, program or library is missing, or an archive cannot be written.
pub fn build_all(
    binaries: &BTreeMap<String, PathBuf>,
    versions: &BTreeMap<String, String>,
    tree: &Path,
    our_binaries: &BTreeMap<String, PathBuf>,
    out: &Path,
) -> Result<Vec<BuiltImage>, Error> {
    fs::create_dir_all(out).map_err(|source| Error::Create { path: out.to_owned(), source })?;
    let sources = Sources { binaries, our_binaries, tree };
    IMAGES.iter().map(|recipe| recipe.build(&sources, versions, out)).collect()
}

/// What is in an image, besides the files that each has.
pub struct Contents {
    pub name: &'static str,
    pub version: String,
    pub programs: Vec<&'static str>,
    /// Files of the Debian tree: `/usr/sbin/nft`.
    pub files: Vec<String>,
}

/// What `build_all` puts into each image.
///
/// # Errors
/// As `build_all`.
pub fn contents(
    binaries: &BTreeMap<String, PathBuf>,
    versions: &BTreeMap<String, String>,
    tree: &Path,
    our_binaries: &BTreeMap<String, PathBuf>,
) -> Result<Vec<Contents>, Error> {
    let sources = Sources { binaries, our_binaries, tree };
    let one = |recipe: &Recipe| {
        let reference = recipe.reference(versions)?;
        let from_tree = |entry: &Entry| match &entry.content {
            oci::Content::File(path) if path.starts_with(tree) => Some(format!("/{}", entry.path)),
            _ => None,
        };
        Ok(Contents {
            name: recipe.name,
            version: reference.rsplit(':').next().unwrap_or_default().to_owned(),
            programs: recipe.programs.iter().map(|(program, _)| *program).collect(),
            files: recipe.entries(&sources)?.iter().filter_map(from_tree).collect(),
        })
    };
    IMAGES.iter().map(one).collect()
}

/// The name of an image of this release; none if there is no such image or component.
#[must_use]
pub fn reference(image: &str, versions: &BTreeMap<String, String>) -> Option<String> {
    IMAGES.iter().find(|recipe| recipe.name == image)?.reference(versions).ok()
}

struct Sources<'a> {
    binaries: &'a BTreeMap<String, PathBuf>,
    our_binaries: &'a BTreeMap<String, PathBuf>,
    tree: &'a Path,
}

impl Recipe {
    const EMPTY: Self =
        Self { name: "", version: Version::Fixed(""), programs: &[], from_tree: &[], links: &[], user: ROOT };

    fn build(
        &self,
        sources: &Sources<'_>,
        versions: &BTreeMap<String, String>,
        out: &Path,
    ) -> Result<BuiltImage, Error> {
        let reference = self.reference(versions)?;
        let archive = out.join(format!("{}.tar", self.name));
        let packed = oci::pack(&reference, &self.entries(sources)?, &self.config(), &archive)
            .map_err(|source| Error::Pack { image: self.name, source })?;
        tracing::info!(image = reference, digest = packed.digest, bytes = packed.size, "packed");
        Ok(BuiltImage { reference, digest: packed.digest, archive, size: packed.size })
    }

    fn reference(&self, versions: &BTreeMap<String, String>) -> Result<String, Error> {
        let version = match self.version {
            Version::Fixed(version) => version,
            Version::Component(component) => {
                versions.get(component).ok_or(Error::NoComponent { image: self.name, component })?
            }
        };
        Ok(format!("{REGISTRY}/{}:{version}", self.name))
    }

    fn entries(&self, sources: &Sources<'_>) -> Result<Vec<Entry>, Error> {
        let failed = |source| Error::Closure { image: self.name, source };
        let mut entries = base();
        let mut closure = Closure::of(sources.tree);
        for (binary, path) in self.programs {
            let file = sources.binary(self.name, binary)?;
            closure.add_needed_by(file).map_err(failed)?;
            entries.push(Entry::program(path, file));
        }
        for program in self.from_tree {
            closure.add_from_tree(program).map_err(failed)?;
        }
        entries.extend(closure.into_entries());
        entries.extend(self.links.iter().map(|(path, target)| Entry::symlink(path, target)));
        Ok(entries)
    }

    fn config(&self) -> Config {
        let title = ("org.opencontainers.image.title".to_owned(), self.name.to_owned());
        Config {
            entrypoint: self.programs.iter().take(1).map(|(_, path)| format!("/{path}")).collect(),
            env: vec![PATH.to_owned()],
            user: self.user.to_owned(),
            working_dir: "/".to_owned(),
            labels: BTreeMap::from([title]),
        }
    }
}

impl Sources<'_> {
    fn binary(&self, image: &'static str, binary: &'static str) -> Result<&Path, Error> {
        let file = self.binaries.get(binary).or_else(|| self.our_binaries.get(binary));
        file.map(PathBuf::as_path).ok_or(Error::NoBinary { image, binary })
    }
}

/// What every image has besides its programs.
fn base() -> Vec<Entry> {
    vec![
        Entry::text("etc/passwd", PASSWD),
        Entry::text("etc/group", GROUP),
        Entry::text("etc/nsswitch.conf", NSSWITCH),
        Entry::directory("tmp", 0o1777),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::components;

    fn versions() -> BTreeMap<String, String> {
        let layers = Path::new(env!("CARGO_MANIFEST_DIR")).join("../layers");
        components::versions(&components::Layers { dir: layers, ..components::Layers::default() })
            .expect("layers")
    }

    #[test]
    fn every_image_has_a_version_and_a_program() {
        for recipe in IMAGES {
            recipe.reference(&versions()).expect(recipe.name);
            assert!(!recipe.programs.is_empty(), "{}", recipe.name);
        }
    }

    #[test]
    fn the_name_of_an_image_is_that_of_its_component() {
        let versions = BTreeMap::from([("kubernetes".to_owned(), "v1.36.4".to_owned())]);
        let name = reference("kube-proxy", &versions);
        assert_eq!(name.as_deref(), Some("registry.ashlar.local/kube-proxy:v1.36.4"));
        assert_eq!(reference("etcd", &versions), None);
        assert_eq!(reference("nothing", &versions), None);
    }

    #[test]
    fn a_binary_that_was_not_built_is_named() {
        let (none, out) = (BTreeMap::new(), tempfile::tempdir().expect("tempdir"));
        let error =
            build_all(&none, &versions(), Path::new("/nowhere"), &none, out.path()).expect_err("none");
        assert_eq!(error.to_string(), "image pause needs the binary `pause`, which nothing built");
    }
}
