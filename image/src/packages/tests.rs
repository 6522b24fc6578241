use super::*;

const CONTROL: &str = "Package: libc6\nSource: glibc (2.41-1)\nVersion: 2.41-1+b2\nArchitecture: amd64\nDescription: C\n Source: no\n";

#[test]
fn the_package_list_ignores_comments_and_blank_lines() {
    assert_eq!(names("# Base\n\nsystemd\n  runc \n"), ["systemd", "runc"]);
}

#[test]
fn a_package_without_a_source_is_its_own() {
    assert_eq!(source(CONTROL, "libc6", "2.41-1+b2"), ("glibc".into(), "2.41-1".into()));
    assert_eq!(source("Source: gcc-14\n", "libgcc", "14.2"), ("gcc-14".into(), "14.2".into()));
    assert_eq!(source("Package: bash\n", "bash", "5"), ("bash".into(), "5".into()));
}

#[test]
fn a_url_is_split_into_archive_and_path() {
    let mirrors = [
        Mirror { label: "Debian".into(), address: "http://m/debian/".into() },
        Mirror { label: "Debian-Security".into(), address: "http://m/debian-security/".into() },
    ];
    let found = origin(&mirrors, "http://m/debian-security/pool/x_1%2b2.deb");
    assert_eq!(found, Some(("Debian-Security".into(), "pool/x_1%2b2.deb".into())));
    assert_eq!(origin(&mirrors, "http://other/x.deb"), None);
}

/// A package that really is one, made here.
async fn package(dir: &Path, name: &str, version: &str) -> Locked {
    let tree = dir.join(format!("{name}-tree"));
    fs::create_dir_all(tree.join("DEBIAN")).expect("a folder");
    let text = format!(
        "Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: nobody <nobody@example.org>\n\
         Description: nothing\n"
    );
    fs::write(tree.join("DEBIAN/control"), &text).expect("write");
    let file = dir.join(FILES).join(format!("{name}_{version}_amd64.deb"));
    fs::create_dir_all(dir.join(FILES)).expect("a folder");
    Cmd::new("dpkg-deb")
        .args(["--build", "--root-owner-group"])
        .args([&tree, &file])
        .run()
        .await
        .expect("built");
    Locked {
        archive: "Debian".into(),
        path: "pool/gone.deb".into(),
        ..locked(&file, &text).expect("described")
    }
}

#[tokio::test]
async fn what_is_locked_and_here_is_taken_without_a_mirror() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let known = dir.path().join("known");
    let one = package(&known, "one", "1").await;
    let lock =
        Lock { format: 1, suite: "trixie".into(), architecture: "amd64".into(), packages: vec![one.clone()] };
    let apt = unreachable(dir.path());
    let pool = dir.path().join(FILES);
    fs::create_dir_all(&pool).expect("a folder");
    let missing =
        collect(&apt, &lock, std::slice::from_ref(&known), &pool, &|_| {}).await.expect("collected");
    assert!(missing.is_empty(), "{missing:?}");
    assert!(is(&pool.join(one.file()), &one));

    // The same name with other contents is not what was locked, and the mirror does not have it.
    fs::remove_file(pool.join(one.file())).expect("removed");
    let mut bytes = fs::read(known.join(FILES).join(one.file())).expect("read");
    *bytes.last_mut().expect("a byte") ^= 1;
    fs::write(known.join(FILES).join(one.file()), bytes).expect("write");
    let missing = collect(&apt, &lock, &[known], &pool, &|_| {}).await.expect("collected");
    assert_eq!(missing, ["one"]);
    assert!(!pool.join(one.file()).exists());
}

/// An apt whose only mirror is an empty folder.
fn unreachable(dir: &Path) -> Apt {
    let address = format!("file://{}", dir.join("no-mirror").display());
    Apt::of(dir, vec![Mirror { label: "Debian".into(), address }])
}
