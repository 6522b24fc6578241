//! How a new order joins what was ordered before. Pure.

use ashlar_model::bootstrap_api::NodeOrder;

/// What was once ordered stays: a server that restarted and says "not your turn yet" must not stop an etcd member
/// that votes. A different member name is a new member and replaces the old one.
pub fn merge(have: &NodeOrder, new: &NodeOrder) -> NodeOrder {
    let member =
        if new.etcd_initial_cluster.is_some() && new.etcd_member_name.is_some() { new } else { have };
    let peers = if new.vrrp_peers.is_empty() { &have.vrrp_peers } else { &new.vrrp_peers };
    NodeOrder {
        etcd_initial_cluster: member.etcd_initial_cluster.clone(),
        etcd_member_name: member.etcd_member_name.clone(),
        control_plane: have.control_plane || new.control_plane,
        vrrp_peers: peers.clone(),
        revision: have.revision.max(new.revision),
        enrolment_over: have.enrolment_over || new.enrolment_over,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_runs_is_stopped_by_a_server_that_forgot() {
        let have = NodeOrder {
            etcd_initial_cluster: Some("a=1".into()),
            etcd_member_name: Some("a".into()),
            control_plane: true,
            vrrp_peers: vec![[192, 0, 2, 1].into()],
            revision: 2,
            enrolment_over: true,
        };
        assert_eq!(merge(&have, &NodeOrder::default()), have);
        assert_eq!(merge(&NodeOrder::default(), &have), have);
        let replaced = NodeOrder {
            etcd_initial_cluster: Some("b=1".into()),
            etcd_member_name: Some("b".into()),
            ..have.clone()
        };
        assert_eq!(merge(&have, &replaced), replaced);
    }
}
