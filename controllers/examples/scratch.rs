//! scratch
use ashlar_controllers::machine_config::{Pools, live, objects, pool};
use ashlar_controllers::{apply, directory::Directory, host_object, nodes};
use ashlar_model::bootstrap_api::*;
use kube::{Api, Client, CustomResourceExt};
use std::sync::Arc;
#[tokio::main]
async fn main() {
    tracing_subscriber::fmt().with_env_filter("info").with_writer(std::io::stderr).init();
    rustls::crypto::ring::default_provider().install_default().ok();
    let client = Client::try_default().await.expect("client");
    let cluster: Cluster = serde_json::from_str(r#"{"name":"lab","base_domain":"example.test","kubernetes_version":"1.35.8","machine_network":"192.0.2.0/24","cluster_network":"10.128.0.0/14","host_prefix":23,"service_network":"172.30.0.0/16","api_vip":"192.0.2.10","ingress_vip":"192.0.2.11","ssh_key":null,"masters":3}"#).expect("cluster");
    let text = std::fs::read_to_string(std::env::args().nth(1).expect("file")).expect("file");
    let configs: Vec<_> =
        ashlar_model::machine_config::read(&text).into_iter().map(|d| d.outcome.expect("valid")).collect();
    loop {
        let r: anyhow::Result<()> = async {
            for definition in [host_object::Host::crd()].into_iter().chain(objects::definitions()) {
                apply::apply(&client, &definition.spec.names.kind, &serde_norway::to_string(&definition)?)
                    .await?;
            }
            objects::store(&client, &configs).await?;
            Ok(())
        }
        .await;
        match r {
            Ok(()) => break,
            Err(e) => eprintln!("{e:#}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
    let host = |name: &str, role| HostRecord {
        name: name.into(),
        role,
        boot_mac: "x".into(),
        address: None,
        token_sha256: "".into(),
        key_sha256: None,
        generation: 1,
        kubelet_token: "a.b".into(),
    };
    let directory = Directory::new(vec![host("m1", Role::Master), host("w1", Role::Worker)]);
    let pools = Pools::default();
    tokio::spawn(live::follow(client.clone(), Arc::new(cluster), pools.clone()));
    let api = Api::all(client.clone());
    let mut first = None;
    loop {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        let nodes = nodes::label(&api, &directory).await.expect("nodes");
        if first.is_none()
            && let Ok(rendered) = pools.rendered(Role::Worker)
        {
            first = Some(rendered.name.clone());
            nodes::annotate(&api, &nodes, &[("w1".to_owned(), rendered.name.clone())].into())
                .await
                .expect("annotated");
        }
        if let Err(e) = pool::report(&client, &pools, &directory, &nodes).await {
            eprintln!("report: {e:#}")
        }
    }
}
