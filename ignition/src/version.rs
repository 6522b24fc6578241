//! The versions of the specification, and what each of them knows.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// In the order in which they appeared: a later one knows everything that an earlier one does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Version {
    #[serde(rename = "3.0.0")]
    V3_0,
    #[serde(rename = "3.1.0")]
    V3_1,
    #[serde(rename = "3.2.0")]
    V3_2,
    #[serde(rename = "3.3.0")]
    V3_3,
    #[serde(rename = "3.4.0")]
    V3_4,
    #[serde(rename = "3.5.0")]
    V3_5,
}

impl Version {
    pub const ALL: &'static [Version] =
        &[Version::V3_0, Version::V3_1, Version::V3_2, Version::V3_3, Version::V3_4, Version::V3_5];
    pub const LATEST: Version = Version::V3_5;

    pub fn text(self) -> &'static str {
        match self {
            Version::V3_0 => "3.0.0",
            Version::V3_1 => "3.1.0",
            Version::V3_2 => "3.2.0",
            Version::V3_3 => "3.3.0",
            Version::V3_4 => "3.4.0",
            Version::V3_5 => "3.5.0",
        }
    }

    /// The first version that knows a scheme of `source`; `None` when none does.
    pub(crate) fn of_scheme(scheme: &str) -> Option<Version> {
        match scheme {
            "data" | "http" | "https" | "tftp" | "s3" => Some(Version::V3_0),
            "gs" => Some(Version::V3_2),
            "arn" => Some(Version::V3_4),
            _ => None,
        }
    }

    /// The first version that knows a format of filesystems.
    pub(crate) fn of_format(format: &str) -> Option<Version> {
        match format {
            "ext4" | "btrfs" | "xfs" | "swap" | "vfat" => Some(Version::V3_0),
            "none" => Some(Version::V3_3),
            _ => None,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl FromStr for Version {
    type Err = String;

    /// `3.4` is `3.4.0`.
    fn from_str(text: &str) -> Result<Self, String> {
        let found = Version::ALL
            .iter()
            .find(|version| version.text() == text || version.text().strip_suffix(".0") == Some(text));
        found.copied().ok_or_else(|| format!("spec version {text} is not supported; 3.0.0 to 3.5.0 are"))
    }
}
