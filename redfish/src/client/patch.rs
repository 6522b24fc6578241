//! PATCH with the ETag a BMC wants. Some demand one, some refuse their own, some compress it into another.

use super::Error;
use super::connection::{Connection, Reply, Request};
use crate::quirks::Quirks;
use reqwest::Method;
use serde_json::Value;

/// How often a resource may change under our hands before we give up.
const FRESH_ETAGS: usize = 3;

impl Connection {
    pub(super) async fn patch(&self, path: &str, body: &Value, quirks: &Quirks) -> Result<Reply, Error> {
        let mut etag = etag_of(&self.get(path).await?);
        for _ in 0..FRESH_ETAGS {
            let refused = match self.patch_with(path, body, rungs(etag.as_deref(), quirks)).await {
                Err(error) if is_precondition(&error) => error,
                done => return done,
            };
            let fresh = etag_of(&self.get(path).await?);
            if fresh == etag {
                return Err(refused);
            }
            etag = fresh;
        }
        self.patch_with(path, body, rungs(etag.as_deref(), quirks)).await
    }

    async fn patch_with(&self, path: &str, body: &Value, rungs: Vec<Option<String>>) -> Result<Reply, Error> {
        let mut refused = None;
        for if_match in rungs {
            let request =
                Request { method: Method::PATCH, path, body: Some(body), if_match: if_match.as_deref() };
            match self.send(&request).await {
                Err(error) if is_precondition(&error) => refused = Some(error),
                done => return done,
            }
        }
        Err(refused
            .unwrap_or_else(|| Error::Lacks { bmc: self.bmc.clone(), what: format!("ETag for {path}") }))
    }
}

fn is_precondition(error: &Error) -> bool {
    matches!(error.status(), Some(412 | 428))
}

fn etag_of(reply: &Reply) -> Option<String> {
    let etag = reply.header("etag").or_else(|| reply.body.get("@odata.etag")?.as_str())?;
    (!etag.trim_matches('"').is_empty()).then(|| etag.replace("-gzip\"", "\""))
}

/// What to send as If-Match, best first. A lost update is noticed as long as an early rung works.
fn rungs(etag: Option<&str>, quirks: &Quirks) -> Vec<Option<String>> {
    let wildcard = || Some("*".to_owned());
    if quirks.accepts_only_wildcard_etag {
        return vec![wildcard()];
    }
    let mut rungs = vec![];
    if let Some(etag) = etag {
        rungs.push(Some(etag.to_owned()));
        if let Some(strong) = etag.strip_prefix("W/") {
            rungs.push(Some(strong.to_owned()));
        }
    } else {
        rungs.push(None);
    }
    if etag.is_none() && !quirks.refuses_wildcard_etag {
        rungs.push(wildcard());
    }
    rungs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(etag: Option<&str>, quirks: &Quirks) -> Vec<String> {
        rungs(etag, quirks).into_iter().map(|rung| rung.unwrap_or_else(|| "none".into())).collect()
    }

    #[test]
    fn the_ladder_of_etags_follows_the_quirks() {
        let standard = Quirks::default();
        assert_eq!(texts(Some("W/\"1\""), &standard), ["W/\"1\"", "\"1\""]);
        assert_eq!(texts(None, &standard), ["none", "*"]);
        assert_eq!(texts(None, &Quirks { refuses_wildcard_etag: true, ..standard }), ["none"]);
        assert_eq!(texts(Some("\"1\""), &Quirks { accepts_only_wildcard_etag: true, ..standard }), ["*"]);
    }
}
