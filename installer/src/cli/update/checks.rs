//! What speaks against an update. Pure.

use ashlar_model::release::Release;
use ashlar_model::update::{Version, may_follow};
use serde::Serialize;

use super::facts::Facts;

/// Imported images and the system that is fetched.
const NEEDED: u64 = 3 << 30;
/// Definition, its owner, and the newest Kubernetes (minor version) that the version we have of it supports.
const LIMITS: &[(&str, &str, u32)] = &[("kubevirts.kubevirt.io", "KubeVirt 1.8", 35)];

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The update is not begun.
    pub blocks: bool,
    pub what: String,
    pub remedy: String,
}

fn blocks(what: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding { blocks: true, what: what.into(), remedy: remedy.into() }
}

fn remark(what: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding { blocks: false, ..blocks(what, remedy) }
}

/// Everything at once.
pub fn check(release: &Release, facts: &Facts) -> Vec<Finding> {
    let mut found = versions(release, facts);
    found.extend(nodes(facts));
    for (name, why) in &facts.pools {
        if let Some(why) = why {
            found.push(blocks(
                format!("pool {name}: {why}"),
                format!("`kubectl get machineconfigpool {name}` shows what it waits for; unpause it or wait"),
            ));
        }
    }
    found.extend(control_plane(facts));
    for budget in &facts.budgets {
        found.push(remark(
            format!(
                "budget {budget} lets no pod go now: a node with such a pod is not emptied until it does"
            ),
            format!(
                "`kubectl describe pdb -n {}`; let it have another replica",
                budget.replacen('/', " ", 1)
            ),
        ));
    }
    found.extend(other_update(release, facts));
    found
}

fn versions(release: &Release, facts: &Facts) -> Vec<Finding> {
    let (Some(from), Ok(to)) = (facts.kubernetes, release.kubernetes_version.parse::<Version>()) else {
        let what = format!(
            "the versions {:?} and {} cannot be compared",
            facts.kubernetes, release.kubernetes_version
        );
        return vec![blocks(what, "take another release")];
    };
    let kubelets: Vec<_> =
        facts.nodes.iter().filter_map(|node| Some((node.name.clone(), node.kubelet?))).collect();
    let mut found: Vec<Finding> = may_follow(from, to, &kubelets)
        .into_iter()
        .map(|skew| {
            let text = skew.to_string();
            let (what, remedy) = text.rsplit_once("; ").unwrap_or((&text, ""));
            blocks(what, remedy)
        })
        .collect();
    for (definition, owner, newest) in LIMITS {
        let there = facts.definitions.iter().any(|name| name == definition);
        if there && (to.major, to.minor) > (1, *newest) {
            found.push(blocks(
                format!("{owner} is installed and supports Kubernetes up to 1.{newest}, not {to}"),
                "take a release whose hypervisor layer supports it, or remove the layer",
            ));
        }
    }
    for (api, removed) in &facts.deprecated {
        let gone = format!("{removed}.0").parse::<Version>().is_ok_and(|removed| removed <= to);
        if gone {
            found.push(blocks(
                format!("{api} is in use, and Kubernetes {removed} does not have it any more"),
                "the API server's audit log and the metric apiserver_requested_deprecated_apis say who asks for it; \
                 move to its successor",
            ));
        }
    }
    found
}

fn nodes(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    for node in &facts.nodes {
        let name = &node.name;
        if !node.ready {
            found.push(blocks(
                format!("node {name} is not Ready"),
                format!("`kubectl describe node {name}` says why"),
            ));
        }
        if !node.schedulable {
            found.push(blocks(format!("node {name} takes no pods"), format!("`kubectl uncordon {name}`")));
        }
        match node.free {
            Some(free) if free < NEEDED => found.push(blocks(
                format!(
                    "node {name} has {} MiB free in /var, and {} MiB are needed",
                    free >> 20,
                    NEEDED >> 20
                ),
                "remove what is not needed there; `crictl rmi --prune` removes images that nothing uses",
            )),
            None => found.push(remark(
                format!("node {name} does not say what is free in /var"),
                "the node looks itself before anything is changed",
            )),
            Some(_) => {}
        }
    }
    found
}

fn control_plane(facts: &Facts) -> Vec<Finding> {
    let masters = facts.nodes.iter().filter(|node| node.master).count();
    let mut found = Vec::new();
    if facts.etcd < masters || masters < 3 {
        found.push(blocks(
            format!(
                "{} of {masters} etcd members are ready; three are needed, so that one may be away",
                facts.etcd
            ),
            "`kubectl get pods -n kube-system -l component=etcd` shows which is not",
        ));
    }
    for pod in &facts.unready {
        found.push(blocks(
            format!("{pod} is not ready"),
            format!("`kubectl describe pod -n kube-system {pod}`"),
        ));
    }
    found
}

fn other_update(release: &Release, facts: &Facts) -> Vec<Finding> {
    let Some(update) = &facts.update else { return vec![] };
    let another = update.spec.commit != release.ostree_commit;
    if another && !update.is("Finished") && !update.is("Stopped") {
        let remedy = "wait for its end (`ashlar update status`), or stop it (`ashlar update abort`)";
        return vec![blocks(format!("an update to {} is going on", update.spec.version), remedy)];
    }
    vec![]
}

pub fn text(found: &[Finding]) -> String {
    let mut text = String::new();
    for (blocks, title) in [(true, "what must be put right first"), (false, "remarks")] {
        let of = found.iter().filter(|finding| finding.blocks == blocks);
        let lines: String = of.map(|one| format!("  - {}\n      {}\n", one.what, one.remedy)).collect();
        if !lines.is_empty() {
            text += &format!("\n{title}\n{lines}");
        }
    }
    if !found.iter().any(|finding| finding.blocks) {
        text += "\nnothing speaks against it; `ashlar update start` begins\n";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::update::facts::NodeFact;
    use std::collections::BTreeMap;

    fn release(kubernetes: &str) -> Release {
        Release {
            format: 1,
            version: "0.2.0".into(),
            kubernetes_version: kubernetes.into(),
            ostree_commit: "c".into(),
            images: vec![],
            files: BTreeMap::new(),
            packages: BTreeMap::new(),
        }
    }

    fn facts() -> Facts {
        let node = |name: &str| NodeFact {
            name: name.into(),
            master: name.starts_with('m'),
            ready: true,
            schedulable: true,
            kubelet: "1.35.8".parse().ok(),
            free: Some(9 << 30),
        };
        Facts {
            kubernetes: "1.35.8".parse().ok(),
            nodes: ["m1", "m2", "m3", "w1"].map(node).into(),
            etcd: 3,
            ..Facts::default()
        }
    }

    fn against(kubernetes: &str, change: impl FnOnce(&mut Facts)) -> Vec<String> {
        let mut facts = facts();
        change(&mut facts);
        check(&release(kubernetes), &facts).into_iter().filter(|one| one.blocks).map(|one| one.what).collect()
    }

    #[test]
    fn a_healthy_cluster_may_go_one_minor_version_on() {
        assert_eq!(against("1.36.4", |_| ()), Vec::<String>::new());
        assert!(against("1.37.0", |_| ())[0].contains("more than one minor version"));
        assert!(against("1.34.1", |_| ())[0].contains("older"));
    }

    #[test]
    fn kubevirt_holds_the_cluster_at_what_it_supports() {
        let with = |facts: &mut Facts| facts.definitions = vec!["kubevirts.kubevirt.io".into()];
        let found = against("1.36.4", with);
        assert!(found[0].contains("KubeVirt 1.8") && found[0].contains("up to 1.35"), "{found:?}");
        assert_eq!(against("1.35.9", with), Vec::<String>::new());
    }

    #[test]
    fn whatever_is_not_well_is_named() {
        type Change = fn(&mut Facts);
        let cases: [(Change, &str); 7] = [
            (|facts| facts.nodes[3].ready = false, "w1 is not Ready"),
            (|facts| facts.nodes[3].schedulable = false, "w1 takes no pods"),
            (|facts| facts.nodes[0].free = Some(1 << 30), "1024 MiB free in /var"),
            (|facts| facts.etcd = 2, "2 of 3 etcd members"),
            (
                |facts| facts.pools = vec![("worker".into(), Some("it is paused".into()))],
                "pool worker: it is paused",
            ),
            (|facts| facts.unready = vec!["etcd-m1".into()], "etcd-m1 is not ready"),
            (|facts| facts.deprecated = vec![("a.v1.b".into(), "1.36".into())], "a.v1.b is in use"),
        ];
        for (change, words) in cases {
            let found = against("1.36.4", change);
            assert!(found.iter().any(|one| one.contains(words)), "{words}: {found:?}");
        }
        assert_eq!(against("1.35.9", |facts| facts.deprecated = vec![("a".into(), "1.36".into())]).len(), 0);
    }
}
