//! Shows events while the engine runs: lines of hosts on a terminal, plain lines elsewhere, JSON for programs.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use ashlar_model::event::{Event, What};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Output;
use crate::engine::Engine;
use crate::engine::events::now_ms;

pub struct Display {
    task: JoinHandle<()>,
    end: CancellationToken,
}

impl Display {
    /// Shows what is still on its way, then ends.
    pub async fn end(self) {
        self.end.cancel();
        // A display that broke must not hide how the run ended.
        let _ = self.task.await;
    }
}

pub fn show(engine: &Arc<Engine>, output: Output) -> Display {
    let mut events = engine.events.listen();
    let end = CancellationToken::new();
    let ended = end.clone();
    let names: Vec<String> = engine.hosts.keys().cloned().collect();
    let task = tokio::spawn(async move {
        let mut screen = Screen::new(output, &names);
        loop {
            let event = tokio::select! {
                biased;
                event = events.recv() => event,
                () = ended.cancelled() => break,
            };
            match event {
                Ok(event) => screen.show(&event),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => break,
            }
        }
        screen.close();
    });
    Display { task, end }
}

enum Screen {
    Json,
    Plain { start_ms: u64 },
    Terminal { start_ms: u64, all: MultiProgress, cluster: ProgressBar, hosts: HashMap<String, ProgressBar> },
}

impl Screen {
    fn new(output: Output, names: &[String]) -> Self {
        let start_ms = now_ms();
        if output == Output::Json {
            return Self::Json;
        }
        if !std::io::stderr().is_terminal() {
            return Self::Plain { start_ms };
        }
        let all = MultiProgress::new();
        let cluster = all.add(bar("cluster"));
        let hosts = names.iter().map(|name| (name.clone(), all.add(bar(name)))).collect();
        Self::Terminal { start_ms, all, cluster, hosts }
    }

    fn show(&mut self, event: &Event) {
        match self {
            Self::Json => println!("{}", serde_json::to_string(event).unwrap_or_default()),
            Self::Plain { start_ms } => {
                if let Some(text) = words(event) {
                    eprintln!("{}", line(*start_ms, event, &text));
                }
            }
            Self::Terminal { start_ms, all, cluster, hosts } => {
                let bar = event.host.as_ref().and_then(|host| hosts.get(host)).unwrap_or(cluster);
                paint(bar, &event.what);
                let worth_keeping = matches!(
                    event.what,
                    What::Note { .. }
                        | What::StepFailed { .. }
                        | What::Destructive { .. }
                        | What::Installed { .. }
                );
                if let Some(text) = words(event).filter(|_| worth_keeping) {
                    // Nothing can be done about a terminal that has gone away.
                    let _ = all.println(line(*start_ms, event, &text));
                }
            }
        }
    }

    fn close(&self) {
        if let Self::Terminal { all, .. } = self {
            let _ = all.clear();
        }
    }
}

fn bar(name: &str) -> ProgressBar {
    let bar = ProgressBar::new(0);
    bar.set_prefix(name.to_owned());
    if let Ok(style) = ProgressStyle::with_template("{prefix:>12} {spinner} {wide_msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn paint(bar: &ProgressBar, what: &What) {
    let text = match what {
        What::StepStarted { title, .. } => title.clone(),
        What::Progress { phase, done, total } => format!("{phase} {}", share(*done, *total)),
        What::Waiting { for_what, seconds } => format!("waits for {for_what} ({seconds} s)"),
        What::Note { message } => message.clone(),
        What::StepFailed { cause, .. } => format!("failed: {cause}"),
        _ => return,
    };
    bar.set_message(text);
}

fn share(done: u64, total: u64) -> String {
    let percent = done.saturating_mul(100).checked_div(total).unwrap_or(0);
    format!("{percent:>3} % of {} MB", total / 1_000_000)
}

fn line(start_ms: u64, event: &Event, text: &str) -> String {
    let seconds = event.time_ms.saturating_sub(start_ms) as f64 / 1000.0;
    match &event.host {
        Some(host) => format!("[{seconds:>6.1} s] {host}: {text}"),
        None => format!("[{seconds:>6.1} s] {text}"),
    }
}

/// The event for people; nothing for what would only be noise in a log.
fn words(event: &Event) -> Option<String> {
    Some(match &event.what {
        What::StepStarted { title, .. } => title.clone(),
        What::StepFinished { .. } | What::Progress { .. } => return None,
        What::StepSkipped { step, because } => format!("{step}: skipped, {because}"),
        What::StepFailed { step, cause, .. } => format!("{step} failed: {cause}"),
        What::Waiting { seconds, .. } if *seconds < 10 => return None,
        What::Waiting { for_what, seconds } => format!("waits for {for_what} (since {seconds} s)"),
        What::Note { message } => message.clone(),
        What::Destructive { act, target } => format!("audit: {act} {target}"),
        What::Installed { seconds } => format!("installed in {seconds:.1} s"),
    })
}
