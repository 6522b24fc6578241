//! `auth/`: the administrator's kubeconfig, and what `etcdctl` needs. Readable by the owner only; made anew in time.

use std::path::Path;
use std::sync::Arc;

use ashlar_pki::mint::seconds_left;
use ashlar_pki::{Leaf, issue, kubeconfig};
use futures::FutureExt;
use futures::future::BoxFuture;

use super::{Outcome, Step};
use crate::directory::write_private;
use crate::engine::Engine;
use crate::failure::{Fails, Failure};

pub const STEP: Step = Step { id: "credentials", title: "Writing the kubeconfig", run };

const USER: &str = "ashlar-admin";
/// The group that the API server lets do everything, whatever happens to RBAC objects.
const GROUP: &str = "system:masters";

/// Certificates are for 90 days; every `create cluster` renews them in the second half.
const RENEW_BEFORE_S: i64 = 45 * 24 * 3600;

/// Both certificates are made together, so one tells of both.
fn is_fresh(certificate: &Path) -> bool {
    let left = std::fs::read_to_string(certificate).ok().and_then(|pem| seconds_left(&pem).ok());
    left.is_some_and(|left| left > RENEW_BEFORE_S)
}

fn run(engine: Arc<Engine>) -> BoxFuture<'static, Result<Outcome, Failure>> {
    async move {
        let auth = engine.directory.auth();
        if engine.directory.kubeconfig().exists() && is_fresh(&auth.join("etcd/client.crt")) {
            return Ok(Outcome::Skipped { because: "it is there".into() });
        }
        let keys = engine.keys()?;
        let install = &engine.configuration.install;
        let doing = || "issuing the administrator's certificates".to_owned();
        let client = issue(&keys.etcd_ca, &Leaf::client(USER, &[])).failing(doing)?;
        write_private(&auth.join("etcd/ca.crt"), keys.etcd_ca.certificate_pem.as_bytes())?;
        write_private(&auth.join("etcd/client.crt"), client.certificate_pem.as_bytes())?;
        write_private(&auth.join("etcd/client.key"), client.private_key_pem.as_bytes())?;
        let admin = issue(&keys.kubernetes_ca, &Leaf::client(USER, &[GROUP])).failing(doing)?;
        let server = format!("https://{}:6443", install.api_vip);
        let text = kubeconfig(&server, &keys.kubernetes_ca.certificate_pem, &admin, USER, &install.name);
        write_private(&engine.directory.kubeconfig(), text.as_bytes())?;
        Ok(Outcome::Done)
    }
    .boxed()
}
