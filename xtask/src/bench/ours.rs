//! One install on a fresh rack: how long as a whole, by phase and from installed masters, and what memory the
//! bootstrap machine took.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::process::{Session, ashlar, output};
use crate::{lab, workspace};

const RACK: &str = "bench";
const SAMPLE: Duration = Duration::from_millis(250);

pub struct Install {
    pub total: f64,
    /// From the bootstrap's API up and the first installed master just powered on to three Ready masters and the
    /// bootstrap's member removed.
    pub stretch: f64,
    /// The most that the bootstrap machine held at a moment, without file cache that can go.
    pub memory: f64,
    pub spans: Vec<Span>,
}

pub struct Span {
    pub who: String,
    step: String,
    pub title: String,
    start: f64,
    pub seconds: f64,
}

impl Install {
    pub fn json(&self) -> Value {
        let spans: Vec<Value> = self
            .spans
            .iter()
            .map(|span| json!({"host": span.who, "step": span.step, "start": span.start, "seconds": span.seconds}))
            .collect();
        json!({"seconds": self.total, "stretch": self.stretch, "bootstrap_memory": self.memory, "phases": spans})
    }
}

pub fn measure(session: &Session) -> Result<Install> {
    if lab::is_up(RACK) {
        lab::down(session, RACK)?;
    }
    lab::up(session, RACK, 0)?;
    let end = install(session);
    lab::down(session, RACK)?;
    end
}

fn install(session: &Session) -> Result<Install> {
    let folder = output(&mut ashlar(["lab", "config", "--name", RACK]))?;
    let program = workspace::ashlar();
    let program = program.to_str().context("the path of `ashlar` is not UTF-8")?;
    let path = workspace::programs().with_file_name("xtask").join("bench-events.jsonl");
    let events = File::create(&path).with_context(|| format!("writing {}", path.display()))?;
    session.say("Installing (usually 90 s)");
    let mut command = lab::exec(RACK, &[program, "--output", "json", "create", "cluster", "--dir", &folder]);
    let start = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(events).spawn().context("starting the install")?;
    let mut memory = 0.0_f64;
    let mut group = None;
    let status = loop {
        if let Some(status) = child.try_wait().context("waiting for the install")? {
            break status;
        }
        if group.is_none() {
            group = bootstrap_group();
        }
        memory = memory.max(group.as_deref().and_then(held).unwrap_or(0.0));
        std::thread::sleep(SAMPLE);
    };
    let total = start.elapsed().as_secs_f64();
    if !status.success() {
        bail!("the install ended with {status}; see {}", path.display());
    }
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let events: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let spans = spans(&events);
    let stretch = stretch(&spans).context("the events of the install lack a phase that is measured")?;
    Ok(Install { total, stretch, memory, spans })
}

/// From the later of "the bootstrap serves" and "the first master restarts from its disk".
fn stretch(spans: &[Span]) -> Option<f64> {
    let starts =
        |step: &'static str| spans.iter().filter(move |span| span.step == step).map(|span| span.start);
    let ends = |step: &'static str| {
        spans.iter().filter(move |span| span.step == step).map(|span| span.start + span.seconds)
    };
    let serving = starts("masters").reduce(f64::min)?;
    let installed = starts("configure").reduce(f64::min)?;
    let ready = ends("ready").reduce(f64::max)?;
    let retired = ends("retire").reduce(f64::max)?;
    Some(ready.max(retired) - serving.max(installed))
}

fn spans(events: &[Value]) -> Vec<Span> {
    let seconds = |event: &Value| event["time_ms"].as_f64().unwrap_or(0.0) / 1000.0;
    let first = events.first().map_or(0.0, seconds);
    let mut open: HashMap<(String, String), (String, f64)> = HashMap::new();
    let mut spans = Vec::new();
    for event in events {
        let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        let who = event["host"].as_str().unwrap_or("cluster").to_owned();
        let key = (who.clone(), text("step"));
        match event["event"].as_str() {
            Some("step-started") => drop(open.insert(key, (text("title"), seconds(event) - first))),
            Some("step-finished") => {
                if let Some((title, start)) = open.remove(&key) {
                    spans.push(Span {
                        who,
                        step: key.1,
                        title,
                        start,
                        seconds: seconds(event) - first - start,
                    });
                }
            }
            _ => {}
        }
    }
    spans
}

fn bootstrap_group() -> Option<PathBuf> {
    let name = format!("ashlar-{RACK}-bootstrap");
    let mut folders = vec![PathBuf::from("/sys/fs/cgroup/memory"), PathBuf::from("/sys/fs/cgroup")];
    while let Some(folder) = folders.pop() {
        for child in fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
            if child.ends_with(&name) && (child.join("memory.stat").exists()) {
                return Some(child);
            }
            if child.is_dir() && !child.is_symlink() {
                folders.push(child);
            }
        }
    }
    None
}

/// What the kernel could not take away at this moment: as the kubelet counts it.
fn held(group: &Path) -> Option<f64> {
    let number = |text: String| text.trim().parse::<f64>().ok();
    let read = |name: &str| fs::read_to_string(group.join(name)).ok();
    let used = read("memory.usage_in_bytes").or_else(|| read("memory.current")).and_then(number)?;
    let about = read("memory.stat")?;
    let field =
        |name: &str| about.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
    let inactive = field("total_inactive_file ").or_else(|| field("inactive_file ")).unwrap_or(0.0);
    Some(used - inactive)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stretch_begins_when_both_are_there_and_ends_with_the_last() {
        let event = |ms: u64, host: Option<&str>, kind: &str, step: &str| json!({"time_ms": ms, "host": host, "event": kind, "step": step, "title": step});
        let events = [
            event(1000, None, "step-started", "x"),
            event(4000, Some("a"), "step-started", "configure"),
            event(5000, None, "step-started", "masters"),
            event(6000, None, "step-finished", "masters"),
            event(6000, Some("a"), "step-finished", "configure"),
            event(6000, Some("a"), "step-started", "ready"),
            event(7000, None, "step-started", "retire"),
            event(8000, None, "step-finished", "retire"),
            event(9500, Some("a"), "step-finished", "ready"),
        ];
        let stretch = stretch(&spans(&events)).expect("all there");
        assert!((stretch - 4.5).abs() < 1e-9, "{stretch}");
    }
}
