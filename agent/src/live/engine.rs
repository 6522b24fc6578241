//! The engine's agent API. Every call is tried until it is answered: on all addresses in turn, with backoff, and
//! with a new enrolment when the engine has forgotten us.

use std::time::Duration;

use ashlar_model::agent_api::{Enroll, ErrorAnswer, HostView, Progress, Task, TaskResult};
use ashlar_model::keys::KeyPair;
use reqwest::{Method, StatusCode};
use serde::Serialize;

use super::engine_clock::EngineClock;
use crate::backoff::Backoff;
use crate::console::Console;
use crate::failure::{Failure, chain};

/// Longer than the engine's longest poll (20 s).
const TIMEOUT: Duration = Duration::from_secs(30);
/// Progress is news: late, it is worth nothing.
const PROGRESS_TIMEOUT: Duration = Duration::from_secs(3);

pub struct Engine<'a> {
    urls: Vec<String>,
    /// Index of the address that answered last.
    current: usize,
    client: reqwest::Client,
    token: String,
    enroll: Enroll,
    console: &'a Console,
    clock: EngineClock,
}

#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error("{url} does not answer")]
    Unreachable { url: String, source: reqwest::Error },
    #[error("{url} answers {status}: {}", answer.error)]
    Refused { url: String, status: StatusCode, answer: ErrorAnswer },
    #[error("{url} gives an answer that is none")]
    Nonsense { url: String, source: reqwest::Error },
}

impl CallError {
    fn forgotten(&self) -> bool {
        let forgotten = [StatusCode::UNAUTHORIZED, StatusCode::CONFLICT];
        matches!(self, Self::Refused { status, .. } if forgotten.contains(status))
    }
}

impl<'a> Engine<'a> {
    pub fn new(
        view: &HostView,
        identity: &KeyPair,
        enroll: Enroll,
        console: &'a Console,
    ) -> Result<Self, ashlar_pki::Error> {
        Ok(Self {
            urls: view.engine_urls.iter().map(|url| url.trim_end_matches('/').to_owned()).collect(),
            current: 0,
            client: ashlar_pki::tls::http_client(&view.engine_ca_pem, Some(identity), TIMEOUT)?,
            token: view.token.clone(),
            enroll,
            console,
            clock: EngineClock::default(),
        })
    }

    /// Returns when an engine has accepted us, however long that takes.
    pub async fn enroll(&mut self) -> Task {
        let mut backoff = Backoff::default();
        loop {
            self.add(&std::fs::read_to_string(ashlar_model::console::ENGINE_FILE).unwrap_or_default());
            self.console.doing(format!("enrolling with the engine at {}", self.urls.join(" or ")));
            match self.call_all(Method::POST, "enroll", Some(&self.enroll)).await {
                Ok((index, task)) => {
                    self.accept(index);
                    return task;
                }
                Err(error) => self.complain(&error),
            }
            backoff.wait().await;
        }
    }

    /// The next task, at once when the engine has one.
    pub async fn next_task(&mut self) -> Task {
        let mut backoff = Backoff::default();
        loop {
            self.console.doing("waiting for the engine's next task");
            match self.call_all::<(), Task>(Method::GET, "task", None).await {
                Ok((index, task)) => {
                    self.accept(index);
                    return task;
                }
                Err(error) if error.forgotten() => return self.enroll().await,
                Err(error) => self.complain(&error),
            }
            backoff.wait().await;
        }
    }

    /// Delivers a result and returns what comes next.
    pub async fn post_result(&mut self, result: &TaskResult) -> Task {
        let mut backoff = Backoff::default();
        let mut enrolled_again = false;
        loop {
            match self.call_all(Method::POST, "result", Some(result)).await {
                Ok((index, task)) => {
                    self.accept(index);
                    return task;
                }
                // An engine that came back knows us again after this. One that still does not want the result has
                // it, or gives the task again, which `Done` answers.
                Err(error) if error.forgotten() => {
                    let task = self.enroll().await;
                    if enrolled_again {
                        return task;
                    }
                    enrolled_again = true;
                }
                Err(error) => self.complain(&error),
            }
            backoff.wait().await;
        }
    }

    /// One attempt: the work goes on whether or not anybody listens.
    pub async fn post_progress(&mut self, progress: &Progress) {
        let call = self.call::<Progress, serde::de::IgnoredAny>(
            self.current,
            Method::POST,
            "progress",
            Some(progress),
        );
        let outcome = tokio::time::timeout(PROGRESS_TIMEOUT, call).await;
        match outcome {
            // A call whose answer has no body counts as well.
            Ok(Ok(_) | Err(CallError::Nonsense { .. })) => {}
            Ok(Err(error)) if error.forgotten() => self.enroll_once().await,
            Ok(Err(error)) => {
                tracing::debug!(error = chain(&error), "progress is not delivered");
                self.current = (self.current + 1) % self.urls.len();
            }
            Err(_) => tracing::debug!("progress is not delivered in time"),
        }
    }

    /// While a task runs: makes the engine know us again. Its answer waits until the task has ended.
    async fn enroll_once(&mut self) {
        if let Err(error) = self.call_all::<_, Task>(Method::POST, "enroll", Some(&self.enroll)).await {
            tracing::debug!(error = chain(&error), "enrolling again failed");
        }
    }

    /// What a person typed at the console is asked first; who answers proves himself by the medium's authority.
    fn add(&mut self, typed: &str) {
        let url = typed.trim().trim_end_matches('/');
        if !url.is_empty() && !self.urls.iter().any(|known| known == url) {
            self.urls.insert(0, url.to_owned());
            self.current = 0;
        }
    }

    fn accept(&mut self, index: usize) {
        self.current = index;
        self.console.works_again();
    }

    fn complain(&self, error: &CallError) {
        let failure = Failure::new("engine", chain(error));
        self.console.failed(match error {
            CallError::Refused { answer: ErrorAnswer { hint: Some(hint), .. }, .. } => {
                failure.hint(hint.clone())
            }
            CallError::Refused { status: StatusCode::UNAUTHORIZED, .. } => failure
                .hint("this medium is not for this machine, or is of an earlier install: boot it again"),
            CallError::Unreachable { .. } => {
                failure.hint("check that the installer runs and that this network reaches it; trying on")
            }
            _ => failure.hint("see the installer's messages; trying on"),
        });
    }

    /// Tries every address once, beginning with the one that answered last.
    async fn call_all<B: Serialize, A: serde::de::DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&B>,
    ) -> Result<(usize, A), CallError> {
        let count = self.urls.len();
        let mut index = self.current;
        loop {
            match self.call(index, method.clone(), path, body).await {
                Ok(answer) => return Ok((index, answer)),
                Err(CallError::Unreachable { .. }) if (index + 1) % count != self.current => {
                    index = (index + 1) % count;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn call<B: Serialize, A: serde::de::DeserializeOwned>(
        &self,
        index: usize,
        method: Method,
        path: &str,
        body: Option<&B>,
    ) -> Result<A, CallError> {
        let url = format!("{}/v1/agent/{path}", self.urls[index]);
        let mut request = self.client.request(method, &url).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = match request.send().await {
            Ok(response) => response,
            Err(source) => return Err(CallError::Unreachable { url, source }),
        };
        let status = response.status();
        if status.is_success() {
            self.clock.adjust(response.headers());
            return response.json().await.map_err(|source| CallError::Nonsense { url, source });
        }
        let said = response.text().await.unwrap_or_default();
        let answer = serde_json::from_str(&said).unwrap_or(ErrorAnswer { error: said, hint: None });
        Err(CallError::Refused { url, status, answer })
    }
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
