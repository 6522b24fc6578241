//! First boots that stopped, as events of their hosts: `kubectl describe host worker-1`, `kubectl events`.

use ashlar_model::bootstrap_api::FirstBootFailure;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Api, Client, Resource};

use crate::host_object::Host;

/// What the API server takes as a note (API reference, `Event v1 events.k8s.io`), bytes.
const LONGEST_NOTE: usize = 1024;

/// Tells the cluster, in the background: the host waits for nothing.
pub fn tell(client: &Client, host: &str, failure: &FirstBootFailure) {
    let event = event(failure);
    tracing::error!(host, failure = event.note, "the first boot stopped");
    let (client, host) = (client.clone(), host.to_owned());
    tokio::spawn(async move {
        if let Err(error) = publish(client, &host, &event).await {
            tracing::warn!(%error, host, "the cluster has no event of it");
        }
    });
}

async fn publish(client: Client, host: &str, event: &Event) -> Result<(), kube::Error> {
    let object = Api::<Host>::all(client.clone()).get(host).await?;
    let reporter = Reporter { controller: "ashlar-controllers".into(), instance: None };
    Recorder::new(client, reporter).publish(event, &object.object_ref(&())).await
}

fn event(failure: &FirstBootFailure) -> Event {
    let mut note = failure.line();
    while note.len() > LONGEST_NOTE {
        note.pop();
    }
    Event {
        type_: EventType::Warning,
        reason: "FirstBootStopped".into(),
        note: Some(note),
        action: "FirstBoot".into(),
        secondary: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_never_longer_than_the_api_server_takes() {
        let failure = FirstBootFailure {
            stage: "disks".into(),
            entry: "/dev/vdb".into(),
            cause: "ü".repeat(4000),
            remedy: "ü".repeat(4000),
            may_pass: true,
        };
        let note = event(&failure).note.expect("a note");
        assert!(note.len() <= LONGEST_NOTE && note.contains("/dev/vdb"), "{} bytes", note.len());
    }
}
