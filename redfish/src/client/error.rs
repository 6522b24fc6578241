//! What can go wrong with a BMC, so that an operator can tell a wrong password from a dead cable.

use super::extended_info::Explanation;
use crate::fingerprint::{Fingerprint, NotAFingerprint};
use std::time::Duration;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("BMC address {address:?} cannot be used: {cause}")]
    BadAddress { address: String, cause: String },
    #[error(transparent)]
    BadFingerprint(#[from] NotAFingerprint),
    #[error("the certificate authority given for BMC {bmc} cannot be used: {cause}")]
    BadCertificateAuthority { bmc: String, cause: String },
    #[error("BMC {bmc} cannot be reached: {cause}")]
    Unreachable { bmc: String, cause: String },
    #[error(
        "BMC {bmc} presented a certificate with fingerprint {presented}, expected {expected}; if its \
         certificate was replaced on purpose, update the pinned fingerprint, otherwise something else answers"
    )]
    FingerprintMismatch { bmc: String, expected: Fingerprint, presented: Fingerprint },
    #[error("the certificate of BMC {bmc} is not trusted: {cause}")]
    CertificateRefused { bmc: String, cause: String },
    #[error("BMC {bmc} does not accept user {user:?} with the given password")]
    WrongPassword { bmc: String, user: String },
    #[error("BMC {bmc} did not answer {request} within {after:?}")]
    NoAnswer { bmc: String, request: String, after: Duration },
    #[error("the connection to BMC {bmc} broke during {request}: {cause}")]
    Broken { bmc: String, request: String, cause: String },
    #[error("BMC {bmc} answered {request} with something that is not Redfish: {cause}")]
    NotRedfish { bmc: String, request: String, cause: String },
    #[error("BMC {bmc} refused {request} with status {status}: {explanation}")]
    Refused { bmc: String, request: String, status: u16, explanation: Explanation },
    #[error("BMC {bmc} has no system")]
    NoSystem { bmc: String },
    #[error(
        "BMC {bmc} has several systems; add the path of one to its address: {}",
        .systems.join(", ")
    )]
    SeveralSystems { bmc: String, systems: Vec<String> },
    #[error("BMC {bmc} has no {what}")]
    Lacks { bmc: String, what: String },
    #[error("BMC {bmc} cannot {wanted}; it offers {}", .offered.join(", "))]
    NotOffered { bmc: String, wanted: String, offered: Vec<String> },
    #[error("no virtual CD of BMC {bmc} took {url}: {}", .tries.join("; "))]
    NotInserted { bmc: String, url: String, tries: Vec<String> },
    #[error("BMC {bmc}: task {task} ended as {state}: {explanation}")]
    TaskFailed { bmc: String, task: String, state: String, explanation: Explanation },
    #[error("BMC {bmc}: waited {after:?} for {what}; last seen: {last}")]
    TimedOut { bmc: String, what: String, after: Duration, last: String },
}

impl Error {
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    pub(super) fn explanation(&self) -> Option<&Explanation> {
        match self {
            Self::Refused { explanation, .. } => Some(explanation),
            _ => None,
        }
    }

    /// The BMC is busy or restarting; the same question may be answered later.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::NoAnswer { .. }
            | Self::Broken { .. }
            | Self::NotRedfish { .. } => true,
            Self::Refused { status, .. } => *status >= 500,
            _ => false,
        }
    }
}
