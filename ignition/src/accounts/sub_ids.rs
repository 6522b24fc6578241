//! Ranges of subordinate ids (`/etc/subuid`, `/etc/subgid`), with the numbers of `login.defs` as shipped.

use super::lines::{append, field, fields, find};

const FIRST: u64 = 100_000;
const LAST: u64 = 600_100_000;
const COUNT: u64 = 65_536;

/// The first range that is free; none when the user has one, or no room is left.
pub(super) fn give(text: &mut String, user: &str) {
    if find(text, user).is_some() {
        return;
    }
    let taken = text.lines().map(fields).filter_map(|line| {
        let start: u64 = field(&line, 1).parse().ok()?;
        let count: u64 = field(&line, 2).parse().ok()?;
        Some((start, start.saturating_add(count)))
    });
    let mut taken: Vec<(u64, u64)> = taken.collect();
    taken.sort_unstable();
    let start = taken.into_iter().fold(FIRST, |start, (first, end)| {
        if first >= start.saturating_add(COUNT) { start } else { start.max(end) }
    });
    if start + COUNT - 1 <= LAST {
        append(text, &format!("{user}:{start}:{COUNT}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_fill_the_first_gap_and_never_overlap() {
        let mut text = "a:100000:65536\nb:300000:65536\n".to_owned();
        for user in ["c", "d", "e", "c"] {
            give(&mut text, user);
        }
        let wanted = "a:100000:65536\nb:300000:65536\nc:165536:65536\nd:231072:65536\ne:365536:65536\n";
        assert_eq!(text, wanted);
    }
}
