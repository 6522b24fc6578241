//! SPDX 2.3, as JSON (ISO/IEC 5962 is 2.2.1): the fields that a release needs.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Component, Kind, Program, UNKNOWN, fingerprint};

/// A document says when it was made; these always say the same.
const CREATED: &str = "2025-01-01T00:00:00Z";
const ROOT: &str = "SPDXRef-root";

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    spdx_version: &'static str,
    data_license: &'static str,
    #[serde(rename = "SPDXID")]
    id: &'static str,
    name: String,
    document_namespace: String,
    creation_info: Creation,
    pub(super) packages: Vec<Package>,
    relationships: Vec<Relationship>,
    has_extracted_licensing_infos: Vec<Extracted>,
}

#[derive(Debug, Serialize)]
struct Creation {
    created: &'static str,
    creators: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Package {
    #[serde(rename = "SPDXID")]
    id: String,
    pub name: String,
    version_info: String,
    download_location: &'static str,
    files_analyzed: bool,
    license_concluded: &'static str,
    pub license_declared: String,
    copyright_text: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    source_info: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checksums: Vec<Checksum>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external_refs: Vec<Reference>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Checksum {
    algorithm: &'static str,
    checksum_value: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Reference {
    reference_category: &'static str,
    reference_type: &'static str,
    reference_locator: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Relationship {
    spdx_element_id: String,
    relationship_type: &'static str,
    related_spdx_element: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Extracted {
    license_id: String,
    extracted_text: String,
}

pub(super) fn document(name: &str, version: &str, debian: &[&Component], programs: &[&Program]) -> Document {
    let mut all: BTreeSet<&Component> = debian.iter().copied().collect();
    for program in programs {
        all.insert(&program.component);
        all.extend(&program.parts);
    }
    let all: Vec<&Component> = all.into_iter().collect();
    let ids: BTreeMap<&Component, String> =
        all.iter().enumerate().map(|(at, one)| (*one, id(one.kind, at))).collect();
    let mut packages = vec![root(name, version)];
    packages.extend(all.iter().map(|one| package(one, &ids[one])));
    let mut relationships = vec![relationship("SPDXRef-DOCUMENT", "DESCRIBES", ROOT)];
    for one in all.iter().filter(|one| matches!(one.kind, Kind::Debian | Kind::Program)) {
        relationships.push(relationship(ROOT, "CONTAINS", &ids[one]));
    }
    for program in programs {
        for part in &program.parts {
            relationships.push(relationship(&ids[&program.component], "STATIC_LINK", &ids[part]));
        }
    }
    Document {
        spdx_version: "SPDX-2.3",
        data_license: "CC0-1.0",
        id: "SPDXRef-DOCUMENT",
        name: format!("{name} {version}"),
        document_namespace: format!("https://ashlar.invalid/spdx/{name}-{version}-{}", fingerprint(&all)),
        creation_info: Creation {
            created: CREATED,
            creators: vec![format!("Tool: ashlar-{}", env!("CARGO_PKG_VERSION"))],
        },
        has_extracted_licensing_infos: extracted(&all),
        packages,
        relationships,
    }
}

fn id(kind: Kind, at: usize) -> String {
    let kind = match kind {
        Kind::Debian => "debian",
        Kind::Program => "program",
        Kind::Crate => "crate",
        Kind::GoModule => "go",
    };
    format!("SPDXRef-{kind}-{at}")
}

fn root(name: &str, version: &str) -> Package {
    Package {
        id: ROOT.into(),
        name: name.into(),
        version_info: version.into(),
        download_location: UNKNOWN,
        files_analyzed: false,
        license_concluded: UNKNOWN,
        license_declared: UNKNOWN.into(),
        copyright_text: UNKNOWN,
        source_info: String::new(),
        checksums: Vec::new(),
        external_refs: Vec::new(),
    }
}

fn package(one: &Component, id: &str) -> Package {
    let checksum = |value: &String| Checksum { algorithm: "SHA256", checksum_value: value.clone() };
    let reference = Reference {
        reference_category: "PACKAGE-MANAGER",
        reference_type: "purl",
        reference_locator: one.purl.clone(),
    };
    Package {
        id: id.into(),
        license_declared: one.licence.clone(),
        source_info: one.source.clone(),
        checksums: one.sha256.iter().map(checksum).collect(),
        external_refs: vec![reference],
        ..root(&one.name, &one.version)
    }
}

fn relationship(from: &str, kind: &'static str, to: &str) -> Relationship {
    Relationship { spdx_element_id: from.into(), relationship_type: kind, related_spdx_element: to.into() }
}

/// Licences that are on no list must be told of in the document.
fn extracted(all: &[&Component]) -> Vec<Extracted> {
    let words = all.iter().flat_map(|one| one.licence.split([' ', '(', ')']));
    let named: BTreeSet<&str> = words.filter(|word| word.starts_with("LicenseRef-")).collect();
    let extracted = |name: &str| Extracted {
        license_id: name.into(),
        extracted_text: format!(
            "What Debian's copyright files call {}; the text is in /usr/share/doc/PACKAGE/copyright of the packages \
             that declare it.",
            name.trim_start_matches("LicenseRef-Debian-")
        ),
    };
    named.into_iter().map(extracted).collect()
}
