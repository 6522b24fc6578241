//! Enrolment tokens: one per host and installation, bound to the first key that presents it. Pure.

/// What is known of a host's token; servers keep the hash only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound<'a> {
    pub token_sha256: &'a str,
    pub key_sha256: Option<&'a str>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The key that the token is bound to.
    Known,
    /// The first key: bind it, durably, before answering.
    Bind,
    /// A right token from another key.
    OtherKey,
    WrongToken,
    /// The peer did not prove that it holds any key.
    NoKey,
}

pub fn judge(bound: &Bound<'_>, presented_sha256: &str, key_sha256: Option<&str>) -> Verdict {
    if !equal(bound.token_sha256, presented_sha256) {
        return Verdict::WrongToken;
    }
    match (bound.key_sha256, key_sha256) {
        (_, None) => Verdict::NoKey,
        (None, Some(_)) => Verdict::Bind,
        (Some(known), Some(key)) if known == key => Verdict::Known,
        (Some(_), Some(_)) => Verdict::OtherKey,
    }
}

/// Takes the same time wherever the texts differ.
fn equal(left: &str, right: &str) -> bool {
    left.len() == right.len() && left.bytes().zip(right.bytes()).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_belongs_to_the_first_key_that_presents_it() {
        let fresh = Bound { token_sha256: "aa", key_sha256: None };
        let bound = Bound { token_sha256: "aa", key_sha256: Some("k1") };
        assert_eq!(judge(&fresh, "aa", Some("k1")), Verdict::Bind);
        assert_eq!(judge(&bound, "aa", Some("k1")), Verdict::Known);
        assert_eq!(judge(&bound, "aa", Some("k2")), Verdict::OtherKey);
        assert_eq!(judge(&fresh, "aa", None), Verdict::NoKey);
        assert_eq!(judge(&fresh, "ab", Some("k1")), Verdict::WrongToken);
    }
}
