//! This machine's clock follows the engine's once, at the first answer: what is made here (keys, the config slot) is
//! used by others soon, and time servers may be known to the installed system only.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use ashlar_host::clock;
use reqwest::header::{DATE, HeaderMap};

/// An answer's date is in whole seconds and has been on the way; nothing cares for less.
const NEAR_ENOUGH: Duration = Duration::from_secs(30);

#[derive(Default)]
pub struct EngineClock(OnceLock<()>);

impl EngineClock {
    /// To be called with the headers of every answer.
    pub fn adjust(&self, headers: &HeaderMap) {
        self.0.get_or_init(|| {
            let Some(time) = date(headers).filter(|time| differs(SystemTime::now(), *time)) else { return };
            match clock::set(time) {
                Ok(()) => tracing::warn!("this machine's clock was wrong: it is set to the engine's"),
                Err(error) => tracing::warn!(%error, "this machine's clock differs from the engine's"),
            }
        });
    }
}

/// RFC 9110, 6.6.1.
fn date(headers: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()
}

fn differs(ours: SystemTime, theirs: SystemTime) -> bool {
    let distance = ours.duration_since(theirs).or_else(|_| theirs.duration_since(ours));
    distance.is_ok_and(|distance| distance > NEAR_ENOUGH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_tells_the_time_and_small_differences_are_none() {
        let mut headers = HeaderMap::new();
        assert_eq!(date(&headers), None);
        headers.insert(DATE, "Sun, 06 Nov 1994 08:49:37 GMT".parse().expect("a header"));
        let time = date(&headers).expect("a date");
        assert_eq!(time, SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777));
        assert!(!differs(time + Duration::from_secs(20), time));
        assert!(
            differs(time - Duration::from_secs(7200), time) && differs(time + Duration::from_secs(60), time)
        );
    }
}
