//! `ashlar update start`.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use ashlar_controllers::host_object::Host;
use ashlar_controllers::update::ClusterUpdate;
use ashlar_controllers::update::objects::ClusterUpdateSpec;
use ashlar_model::bootstrap_api::Role;
use ashlar_model::release::{Release, references};
use indicatif::{ProgressBar, ProgressStyle};
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};

use super::object;
use super::upload::{Upload, index};
use super::{Start, checks, facts, view};
use crate::cli::{Output, print_json};
use crate::failure::{Fails, Failure};

const POLL: Duration = Duration::from_secs(2);
/// For the controllers to see what they are to do.
const SEEN: Duration = Duration::from_secs(120);
/// How often the release is offered to the masters again: one of them may be restarting.
const ROUNDS: u32 = 5;

pub async fn run(start: &Start, output: Output) -> Result<ExitCode, Failure> {
    let plan = &start.plan;
    let release = plan.release()?;
    let client = plan.cluster.client().await?;
    let facts = facts::collect(&client).await?;
    let going_on = facts.update.as_ref().is_some_and(|update| update.spec.commit == release.ostree_commit);
    let found = checks::check(&release, &facts);
    // An update that stopped leaves a cluster that no check is happy with; going on is the way out.
    if !going_on && found.iter().any(|finding| finding.blocks) {
        eprint!("{}", checks::text(&found));
        return Err(Failure::user(format!("the cluster is not updated to {}", release.version))
            .hint("put right what is named above; `ashlar update plan` looks again"));
    }
    eprintln!("reading the release in {}", plan.release.display());
    let index = index(&plan.release)?;
    let identity = ashlar_pki::self_signed("ashlar update", &[], &[]).failing(|| "making a key".into())?;
    let key = ashlar_pki::key_sha256(&identity.certificate_pem).failing(|| "making a key".into())?;
    object::write(&client, spec(&release, facts.update.as_ref(), key)).await?;
    let authority = authority(&client).await?;
    let masters = masters(&client).await?;
    let upload = Upload {
        release: &plan.release,
        commit: &release.ostree_commit,
        index: &index,
        authority: &authority,
        identity: &identity,
    };
    let master = bring(&upload, &masters).await?;
    eprintln!("{master} has the release {}; the cluster goes on without this computer", release.version);
    eprintln!("`ashlar update status` says how far it is");
    if start.wait {
        return wait(&client, &release, output).await;
    }
    if output == Output::Json {
        print_json(&object::read(&client).await?)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn spec(release: &Release, before: Option<&ClusterUpdate>, key: String) -> ClusterUpdateSpec {
    let same = before.filter(|update| update.spec.commit == release.ostree_commit);
    let attempt = match same {
        Some(update) if update.condition("Stopped").is_some() => update.spec.attempt + 1,
        Some(update) => update.spec.attempt,
        None => 1,
    };
    ClusterUpdateSpec {
        version: release.version.clone(),
        kubernetes_version: release.kubernetes_version.clone(),
        commit: release.ostree_commit.clone(),
        images: references(&release.images),
        upload_key_sha256: key,
        attempt,
        stop: false,
    }
}

/// Whom the masters' servers are signed by, as soon as the controllers have seen the update and say so.
async fn authority(client: &Client) -> Result<String, Failure> {
    let began = Instant::now();
    while began.elapsed() < SEEN {
        let update = object::read(client).await.ok().flatten().filter(ClusterUpdate::is_seen);
        let authority = update.and_then(|update| update.status).map(|status| status.authority);
        if let Some(authority) = authority.filter(|authority| !authority.is_empty()) {
            return Ok(authority);
        }
        tokio::time::sleep(POLL).await;
    }
    Err(Failure::timed_out(format!("no controller has seen the update within {} s", SEEN.as_secs()))
        .hint("`kubectl get pods -n ashlar-system` shows whether they run"))
}

/// Name and address of each.
async fn masters(client: &Client) -> Result<Vec<(String, String)>, Failure> {
    let api: Api<Host> = Api::all(client.clone());
    let hosts = api.list(&ListParams::default()).await.failing(|| "listing the hosts".into())?;
    let masters = hosts.items.iter().filter(|host| host.spec.role == Role::Master.as_str());
    Ok(masters.filter_map(|host| Some((host.name_any(), host.spec.address?.to_string()))).collect())
}

async fn bring(upload: &Upload<'_>, masters: &[(String, String)]) -> Result<String, Failure> {
    let bar = ProgressBar::new(0).with_style(
        ProgressStyle::with_template("{bar:30} {bytes} of {total_bytes} ({bytes_per_sec})")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let told = |done: u64, all: u64| {
        bar.set_length(all);
        bar.set_position(done);
    };
    let mut round = 1;
    loop {
        match upload.run(masters, &told).await {
            Ok(master) => {
                bar.finish_and_clear();
                return Ok(master);
            }
            Err(failure) if round == ROUNDS => return Err(failure),
            // The controllers of a master may not have heard of our key yet.
            Err(failure) => tracing::info!(cause = failure.cause(), "offering the release again"),
        }
        round += 1;
        tokio::time::sleep(POLL * round).await;
    }
}

async fn wait(client: &Client, release: &Release, output: Output) -> Result<ExitCode, Failure> {
    let mut said = String::new();
    loop {
        // An API server that restarts is part of it.
        if let Ok(Some(update)) = object::read(client).await
            && update.is_seen()
        {
            let line = view::line(&update);
            if line != said {
                eprintln!("{line}");
                said = line;
            }
            if let Some(stopped) = update.condition("Stopped") {
                return Err(Failure::user(format!(
                    "the update to {} has stopped: {}",
                    release.version, stopped.message
                ))
                .hint("`ashlar update status` shows the nodes; `ashlar update start` tries again"));
            }
            if update.is("Finished") {
                return view::show(client, output).await;
            }
        }
        tokio::time::sleep(POLL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ashlar_controllers::update::objects::UpdateStatus;
    use ashlar_model::release::Image;

    fn release() -> Release {
        let image = Image {
            name: "registry.ashlar.local/kube-proxy:1.36.4".into(),
            file: String::new(),
            digest: String::new(),
        };
        Release {
            format: 1,
            version: "2".into(),
            kubernetes_version: "1.36.4".into(),
            ostree_commit: "c".into(),
            images: vec![image],
            files: Default::default(),
            packages: Default::default(),
        }
    }

    #[test]
    fn going_on_after_a_failure_is_another_attempt_and_a_killed_command_is_none() {
        let first = spec(&release(), None, "k".into());
        assert_eq!(
            (first.attempt, first.images["kube-proxy"].as_str()),
            (1, "registry.ashlar.local/kube-proxy:1.36.4")
        );
        let mut update = ClusterUpdate::new("cluster", first);
        assert_eq!(spec(&release(), Some(&update), "k".into()).attempt, 1);
        let stopped = serde_json::json!({"type": "Stopped", "status": "True", "reason": "", "message": "",
            "lastTransitionTime": ""});
        let conditions = vec![serde_json::from_value(stopped).expect("a condition")];
        update.status = Some(UpdateStatus { conditions, ..UpdateStatus::default() });
        assert_eq!(spec(&release(), Some(&update), "k".into()).attempt, 2);
        update.spec.commit = "another".into();
        assert_eq!(spec(&release(), Some(&update), "k".into()).attempt, 1);
    }
}
