//! What a finished install says of itself: time per phase and the critical path. Pure.

use ashlar_model::event::{Event, What};

/// Something that took time, to one host or to the cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    pub host: Option<String>,
    pub step: String,
    pub title: String,
    pub start_ms: u64,
    pub end_ms: u64,
}

impl Span {
    pub fn seconds(&self) -> f64 {
        (self.end_ms.saturating_sub(self.start_ms)) as f64 / 1000.0
    }
}

/// Every finished step with its start and end. A step that was begun again counts from its last beginning.
pub fn spans(events: &[Event]) -> Vec<Span> {
    let mut open: Vec<Span> = Vec::new();
    let mut done = Vec::new();
    for event in events {
        match &event.what {
            What::StepStarted { step, title } => {
                open.retain(|span| (&span.host, &span.step) != (&event.host, step));
                open.push(Span {
                    host: event.host.clone(),
                    step: step.clone(),
                    title: title.clone(),
                    start_ms: event.time_ms,
                    end_ms: event.time_ms,
                });
            }
            What::StepFinished { step, .. } => {
                if let Some(index) =
                    open.iter().position(|span| (&span.host, &span.step) == (&event.host, step))
                {
                    done.push(Span { end_ms: event.time_ms, ..open.remove(index) });
                }
            }
            _ => {}
        }
    }
    done
}

/// The chain of steps that the end waited for: from the last one backwards, each time the step that ended last
/// before this one began. Steps that hold others are left out by the caller.
pub fn critical_path(spans: &[Span]) -> Vec<&Span> {
    /// Two steps that follow each other are this close, at most.
    const SLACK_MS: u64 = 50;
    let mut path: Vec<&Span> = Vec::new();
    let mut next = spans.iter().max_by_key(|span| span.end_ms);
    while let Some(span) = next {
        path.push(span);
        next = spans
            .iter()
            .filter(|other| other.end_ms <= span.start_ms + SLACK_MS && other.start_ms < span.start_ms)
            .filter(|other| !path.iter().any(|known| std::ptr::eq(*known, *other)))
            .max_by_key(|other| other.end_ms);
    }
    path.reverse();
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(time_ms: u64, host: &str, what: What) -> Event {
        Event { time_ms, host: (!host.is_empty()).then(|| host.to_owned()), what }
    }

    fn started(time_ms: u64, host: &str, step: &str) -> Event {
        event(time_ms, host, What::StepStarted { step: step.into(), title: step.into() })
    }

    fn finished(time_ms: u64, host: &str, step: &str) -> Event {
        event(time_ms, host, What::StepFinished { step: step.into(), seconds: 0.0 })
    }

    #[test]
    fn the_critical_path_goes_through_the_slowest_of_parallel_steps() {
        let events = [
            started(0, "", "check"),
            finished(1000, "", "check"),
            started(1000, "a", "write"),
            started(1000, "b", "write"),
            finished(4000, "a", "write"),
            finished(9000, "b", "write"),
            started(9000, "", "pivot"),
            finished(12000, "", "pivot"),
        ];
        let spans = spans(&events);
        let path: Vec<_> =
            critical_path(&spans).iter().map(|span| (span.host.as_deref(), span.step.as_str())).collect();
        assert_eq!(path, [(None, "check"), (Some("b"), "write"), (None, "pivot")]);
    }

    #[test]
    fn a_step_that_was_begun_twice_counts_from_its_second_beginning() {
        let events = [started(0, "a", "boot"), started(5000, "a", "boot"), finished(6000, "a", "boot")];
        assert_eq!(spans(&events).iter().map(Span::seconds).collect::<Vec<_>>(), [1.0]);
    }
}
