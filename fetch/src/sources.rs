//! Where the root file system comes from. Pure.

use ashlar_model::agent_api::HostView;

const ARGUMENT: &str = "ashlar.source=";

/// URLs in the order in which they are tried: what a person gave comes before what a medium says.
pub fn choose(given: &[String], typed: &str, command_line: &str, view: &HostView) -> Vec<String> {
    let typed = typed.lines().map(str::trim).filter(|line| !line.is_empty());
    let arguments = command_line.split_whitespace().filter_map(|word| word.strip_prefix(ARGUMENT));
    let mut all: Vec<String> = Vec::new();
    for url in given.iter().map(String::as_str).chain(typed).chain(arguments) {
        all.push(file(url));
    }
    all.extend(view.sources.iter().map(|url| file(url)));
    let mut seen = std::collections::BTreeSet::new();
    all.retain(|url| !url.is_empty() && seen.insert(url.clone()));
    all
}

/// A full medium holds the file at an offset.
pub fn is_full_medium(url: &str) -> bool {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    path.ends_with(".iso")
}

/// A URL that ends with a slash names the folder that the file lies in, one of an iPXE script what lies beside it.
fn file(url: &str) -> String {
    match url.rsplit_once('/') {
        Some((folder, name)) if name.is_empty() || name.ends_with(".ipxe") => {
            format!("{folder}/rootfs.squashfs")
        }
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_comes_before_the_kernel_arguments_and_those_before_the_medium() {
        let view =
            HostView { sources: vec!["http://view/".into(), "http://b/x".into()], ..HostView::default() };
        let line = "quiet ashlar.source=http://b/x ashlar.live=fetch";
        assert_eq!(
            choose(&[], "http://typed/\n", line, &view),
            ["http://typed/rootfs.squashfs", "http://b/x", "http://view/rootfs.squashfs"]
        );
        assert!(choose(&[], "", "quiet ashlar.source=", &HostView::default()).is_empty());
        let line = "ashlar.source=http://a/b/boot.ipxe";
        assert_eq!(choose(&[], "", line, &HostView::default()), ["http://a/b/rootfs.squashfs"]);
    }

    #[test]
    fn a_medium_is_known_by_its_path_alone() {
        assert!(is_full_medium("http://a/ashlar.iso") && is_full_medium("http://a/x.iso?token=1"));
        assert!(!is_full_medium("http://a.iso/rootfs.squashfs"));
    }
}
