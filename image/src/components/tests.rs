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
    let other = Component::read(layers().join("control-plane/kubernetes/1.36")).expect("the other version");
    for component in read_all(&layers()).expect("layers").into_iter().chain([other]) {
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

#[test]
fn another_version_takes_the_place_of_the_default_and_the_rest_stays() {
    let dir = layers();
    let all = |version: &str| {
        let chosen = BTreeMap::from([("kubernetes".to_owned(), version.to_owned())]);
        Layers { dir: dir.clone(), chosen }
    };
    let default = versions(&Layers { dir: dir.clone(), chosen: BTreeMap::new() }).expect("layers");
    assert_eq!(default["kubernetes"], "v1.35.8");
    assert_eq!(versions(&all("1.35.8")).expect("the default by its name"), default);
    let other = versions(&all("1.36.4")).expect("the other");
    assert_eq!(other["kubernetes"], "v1.36.4");
    assert_eq!(other["etcd"], default["etcd"]);
    let makers = makers(&all("1.36.4")).expect("the other");
    assert_eq!(makers["kubelet"].1, "v1.36.4");
    assert_eq!(makers["pause"].1, "v1.35.8");
    let error = versions(&all("1.99.0")).expect_err("no such version").to_string();
    assert!(error.contains("kubernetes 1.99.0") && error.contains("v1.35.8, v1.36.4"), "{error}");
}
