use super::*;

fn component(kind: Kind, name: &str, licence: &str) -> Component {
    Component {
        kind,
        name: name.into(),
        version: "1".into(),
        licence: licence.into(),
        source: String::new(),
        purl: format!("pkg:x/{name}@1"),
        sha256: None,
    }
}

fn inventory() -> Inventory {
    let debian = component(Kind::Debian, "bash", "GPL-3.0-or-later AND LicenseRef-Debian-x");
    let program = Program {
        component: component(Kind::Program, "kubelet", "Apache-2.0"),
        parts: vec![component(Kind::GoModule, "k8s.io/api", "Apache-2.0")],
    };
    Inventory {
        debian: BTreeMap::from([("bash".into(), debian)]),
        programs: BTreeMap::from([("kubelet".into(), program)]),
    }
}

fn document(debian: &[&str], programs: &[&str]) -> serde_json::Value {
    let (debian, programs) = (debian.iter().copied().collect(), programs.iter().copied().collect());
    let content = Content { name: "system", version: "0.1.0", debian, programs };
    serde_json::to_value(inventory().document(&content)).expect("JSON")
}

#[test]
fn a_document_names_what_is_in_it_and_how_it_belongs_together() {
    let document = document(&["bash"], &["kubelet"]);
    let names: Vec<_> =
        document["packages"].as_array().expect("packages").iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["system", "bash", "kubelet", "k8s.io/api"]);
    let relations = document["relationships"].as_array().expect("relationships");
    let count = |kind: &str| relations.iter().filter(|one| one["relationshipType"] == kind).count();
    assert_eq!((count("DESCRIBES"), count("CONTAINS"), count("STATIC_LINK")), (1, 2, 1));
    // SPDX wants every element that is related to be there.
    let ids: Vec<_> =
        document["packages"].as_array().expect("packages").iter().map(|one| &one["SPDXID"]).collect();
    assert!(relations.iter().all(|one| ids.contains(&&one["relatedSpdxElement"])), "{relations:?}");
    assert_eq!(document["hasExtractedLicensingInfos"][0]["licenseId"], "LicenseRef-Debian-x");
}

#[test]
fn the_same_contents_have_the_same_name_and_others_another() {
    let namespace = |debian: &[&str]| document(debian, &["kubelet"])["documentNamespace"].clone();
    assert_eq!(namespace(&["bash"]), namespace(&["bash"]));
    assert_ne!(namespace(&["bash"]), namespace(&[]));
}

#[test]
fn the_list_has_a_line_for_each() {
    let text = inventory().licences();
    assert!(text.contains("Debian    bash 1: GPL-3.0-or-later AND LicenseRef-Debian-x\n"), "{text}");
    assert!(text.contains("Go module k8s.io/api 1: Apache-2.0\n"), "{text}");
}
