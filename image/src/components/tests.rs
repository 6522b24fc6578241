//! On the real folders under `layers/`; nothing is compiled.

use super::*;

fn layers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../layers")
}

fn component(name: &str, output: &str) -> Component {
    let text = format!(
        "name = \"{name}\"\nversion = \"v1\"\nbinaries = [{{ package = \"a/b\", output = \"{output}\" }}]"
    );
    toml::from_str(&text).expect("component")
}

#[test]
fn the_components_of_this_repository_are_read_and_do_not_collide() {
    let components = read_all(&layers()).expect("layers");
    check_outputs(&components).expect("outputs");
    let outputs: Vec<_> = components.iter().flat_map(Component::outputs).collect();
    for needed in ["kubelet", "kube-apiserver", "etcd", "containerd", "bridge", "flanneld", "pause"] {
        assert!(outputs.contains(&needed), "{needed} is missing from {outputs:?}");
    }
}

#[test]
fn a_component_says_its_own_version_in_its_flags() {
    for component in read_all(&layers()).expect("layers") {
        let stamped: Vec<_> =
            component.ldflags.iter().filter(|flag| flag.to_lowercase().contains("version=")).collect();
        let right = stamped.iter().any(|flag| flag.ends_with(&format!("={}", component.version)));
        assert!(stamped.is_empty() || right, "{}: {stamped:?}", component.name);
    }
}

#[test]
fn two_components_that_make_the_same_file_are_refused() {
    let error = check_outputs(&[component("one", "tool"), component("two", "tool")]).expect_err("same");
    assert_eq!(error.to_string(), "components one and two both make `tool`");
}

#[test]
fn the_go_command_carries_tags_flags_and_output() {
    let mut component = component("one", "tool");
    component.tags = vec!["netgo".into(), "osusergo".into()];
    component.ldflags = vec!["-X a.b=c".into()];
    let args = go_build_args(&component, &component.binaries[0], Path::new("/out"));
    let line = args.iter().map(|arg| arg.to_string_lossy()).collect::<Vec<_>>().join("|");
    assert_eq!(
        line,
        "build|-mod=readonly|-trimpath|-buildvcs=false|-tags|netgo,osusergo|-ldflags|-s -w -X a.b=c|-o|/out/tool|a/b"
    );
}

#[test]
fn another_toolchain_is_another_cache_entry() {
    let component = read_all(&layers()).expect("layers").remove(0);
    let old = component.cache_name("go1.26.8").expect("name");
    assert_ne!(old, component.cache_name("go1.26.9").expect("name"));
    assert_eq!(old, component.cache_name("go1.26.8").expect("name"));
}

#[test]
fn a_finished_folder_is_not_replaced() {
    let root = tempfile::tempdir().expect("tempdir");
    let (dir, work) = (root.path().join("kept"), tempfile::tempdir_in(root.path()).expect("tempdir"));
    fs::create_dir(&dir).expect("mkdir");
    fs::write(dir.join(STAMP), "first").expect("write");
    fs::write(work.path().join(STAMP), "second").expect("write");
    replace(work, &dir).expect("replace");
    assert_eq!(fs::read_to_string(dir.join(STAMP)).expect("read"), "first");
}
