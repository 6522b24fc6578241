//! `ashlar media inspect`.

use std::path::Path;

use ashlar_image::customize;
use ashlar_model::agent_api::HostView;

use super::super::{Output, print_json};
use super::Written;
use crate::failure::{Fails, Failure};

pub fn run(medium: &Path, output: Output) -> Result<(), Failure> {
    let found = Written::read(medium)?;
    let view = found.host_view.as_deref().map(shown_view).transpose()?;
    let (kind, rooms) = rooms(medium, &found)?;
    if output == Output::Json {
        let area = |(name, used, room)| serde_json::json!({"area": name, "used": used, "bytes": room});
        return print_json(&serde_json::json!({
            "version": found.version,
            "kind": kind,
            "hostView": view,
            "kernelArguments": found.kernel_arguments,
            "source": found.source,
            "reserved": rooms.into_iter().map(area).collect::<Vec<_>>(),
        }));
    }
    println!("Ashlar {}, {kind}", found.version);
    for (name, used, room) in rooms {
        println!("{name:<17} {used} of {room} bytes used");
    }
    if !found.kernel_arguments.is_empty() {
        println!("\nkernel arguments  {}", found.kernel_arguments.join(" "));
    }
    if let Some(source) = found.source {
        println!("\nfetches from      {source}");
    }
    if let Some(view) = view {
        println!("\n{}", serde_json::to_string_pretty(&view).unwrap_or_default());
    }
    Ok(())
}

type Rooms = Vec<(&'static str, usize, u64)>;

/// The kind of medium, and how full its reserved areas are; a folder has none, its files grow.
fn rooms(medium: &Path, found: &Written) -> Result<(&'static str, Rooms), Failure> {
    if medium.is_dir() {
        return Ok(("network boot folder", Vec::new()));
    }
    let media = customize::inspect(medium).failing(|| format!("reading {}", medium.display()))?.media;
    let kind = if media.root_filesystem.is_some() { "full medium" } else { "minimal medium" };
    let view = found.host_view.as_deref().map_or(0, str::len);
    let arguments = found.kernel_arguments.join(" ").len();
    let room = media.kernel_arguments.first().map_or(0, |area| area.length);
    Ok((kind, vec![("host view", view, media.host_view.length), ("kernel arguments", arguments, room)]))
}

/// Without its token and without the secrets that network settings and configurations may hold.
fn shown_view(text: &str) -> Result<serde_json::Value, Failure> {
    let view: HostView = serde_json::from_str(text).failing(|| "understanding the host's view".into())?;
    let keyfiles: Vec<&String> = view.network_keyfiles.iter().map(|(name, _)| name).collect();
    let there = |is: bool| if is { "there (not shown)" } else { "none" };
    let answers = view
        .answers
        .as_ref()
        .map(|answers| serde_json::json!({"disk": answers.disk, "wipe": answers.wipe, "then": answers.then}));
    Ok(serde_json::json!({
        "cluster": view.cluster,
        "host": view.host,
        "engineUrls": view.engine_urls,
        "token": there(!view.token.is_empty()),
        "networkKeyfiles": keyfiles,
        "sources": view.sources,
        "caBundle": view.ca_bundle_pem.matches("BEGIN CERTIFICATE").count(),
        "answers": answers,
    }))
}
