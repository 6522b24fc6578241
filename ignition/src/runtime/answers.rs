//! What answers mean that are not what was asked for: which may change, which are final, and what helps.

use std::io;

use reqwest::StatusCode;

use super::attempts::Attempt;
use super::sink::Refused;

/// `own` servers may not know the host yet; elsewhere a missing file stays missing.
pub(super) async fn unsuccessful(response: reqwest::Response, status: StatusCode, own: bool) -> Attempt {
    let not_yet =
        [StatusCode::UNAUTHORIZED, StatusCode::NOT_FOUND, StatusCode::CONFLICT, StatusCode::TOO_EARLY];
    let later = status.is_server_error()
        || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
        || (own && not_yet.contains(&status));
    let said = beginning(response).await;
    let cause = if said.is_empty() { format!("answer {status}") } else { format!("answer {status}: {said}") };
    if later {
        return Attempt::Again(cause);
    }
    let remedy = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if own => {
            "the server does not accept this host's token or key: install the host again"
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            "give the request what the server asks for (httpHeaders), or make the file public"
        }
        _ => "correct the source in the configuration and install the host again",
    };
    Attempt::Final { cause, remedy }
}

/// The first words of an answer that is not what was asked for.
async fn beginning(mut response: reqwest::Response) -> String {
    let mut bytes = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        bytes.extend_from_slice(&chunk);
        if bytes.len() >= 1024 {
            break;
        }
    }
    String::from_utf8_lossy(&bytes).chars().filter(|c| !c.is_control()).take(200).collect()
}

pub(super) fn refused(refused: Refused) -> Attempt {
    let (cause, remedy) = match refused {
        Refused::Hash { wanted, found } => (
            format!("the contents have the hash {found}, not {wanted}"),
            "correct the hash, or put the right file on the server",
        ),
        Refused::Gzip(error) => (
            format!("the contents are not valid gzip: {error}"),
            "leave `compression` out, or pack the file with gzip",
        ),
        Refused::Write(error) if error.kind() == io::ErrorKind::StorageFull => {
            ("the contents do not fit on the disk".to_owned(), "install to a larger disk, or write less")
        }
        Refused::Write(error) => {
            (format!("the contents cannot be taken: {error}"), "correct the source in the configuration")
        }
    };
    Attempt::Final { cause, remedy }
}
