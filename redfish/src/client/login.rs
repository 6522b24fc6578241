//! Who we are to a BMC: a session where it offers one, else the password with every request.

use super::Error;
use super::connection::{Connection, Reply, Request};
use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

#[derive(Debug, Clone)]
pub struct Credentials {
    pub user: String,
    pub password: SecretString,
}

impl Credentials {
    pub fn new(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self { user: user.into(), password: SecretString::from(password.into()) }
    }
}

#[derive(Debug, Clone)]
pub(super) enum Login {
    Anonymous,
    Session { token: SecretString, location: Option<String> },
    Basic,
}

const SESSIONS: &str = "/redfish/v1/SessionService/Sessions";
const NEEDS_LOGIN: &str = "/redfish/v1/Systems";

impl Connection {
    /// Proves the credentials.
    pub(super) async fn log_in(&self, root: &Value) -> Result<(), Error> {
        let link = root.pointer("/Links/Sessions/@odata.id").and_then(Value::as_str).unwrap_or(SESSIONS);
        *self.login.write().await = self.open_session(link).await?;
        Ok(())
    }

    /// After a 401: a new login, unless another request has already made one.
    pub(super) async fn renew_login(&self, ended: &Login) -> Result<(), Error> {
        let mut login = self.login.write().await;
        if token_of(&login) == token_of(ended) {
            *login = self.open_session(SESSIONS).await?;
        }
        Ok(())
    }

    /// Ends the session; a BMC keeps only a few and locks everybody out when they are used up.
    pub(super) async fn log_out(&self) -> Result<(), Error> {
        let ended = std::mem::replace(&mut *self.login.write().await, Login::Anonymous);
        let Login::Session { location: Some(path), .. } = &ended else { return Ok(()) };
        let request = Request { method: Method::DELETE, path, body: None, if_match: None };
        let reply = self.exchange(&request, &ended).await?;
        match reply.status {
            // 401 and 404: it had ended by itself.
            200..=299 | 401 | 404 => Ok(()),
            _ => Err(self.refusal(&request, &reply)),
        }
    }

    async fn open_session(&self, path: &str) -> Result<Login, Error> {
        let password = self.credentials.password.expose_secret();
        let body = json!({"UserName": self.credentials.user, "Password": password});
        let request = Request { method: Method::POST, path, body: Some(&body), if_match: None };
        let reply = self.exchange(&request, &Login::Anonymous).await?;
        match (reply.status, reply.header("x-auth-token")) {
            (200..=299, Some(token)) => {
                let token = SecretString::from(token.to_owned());
                Ok(Login::Session { token, location: session_path(&reply) })
            }
            (401, _) => Err(self.wrong_password()),
            (status, _) => {
                tracing::info!(
                    bmc = self.bmc,
                    status,
                    "no session to be had, sending the password each time"
                );
                self.check_basic().await
            }
        }
    }

    async fn check_basic(&self) -> Result<Login, Error> {
        let request = Request { method: Method::GET, path: NEEDS_LOGIN, body: None, if_match: None };
        let reply = self.exchange(&request, &Login::Basic).await?;
        match reply.status {
            200..=299 | 500..=599 => Ok(Login::Basic),
            401 => Err(self.wrong_password()),
            _ => Err(self.refusal(&request, &reply)),
        }
    }
}

fn session_path(reply: &Reply) -> Option<String> {
    let in_body = reply.body.get("@odata.id").and_then(Value::as_str);
    reply.location().or(in_body).map(str::to_owned)
}

fn token_of(login: &Login) -> Option<&str> {
    match login {
        Login::Session { token, .. } => Some(token.expose_secret()),
        _ => None,
    }
}
