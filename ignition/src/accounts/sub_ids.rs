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
    // As useradd leaves the file: in the order of the ranges, the new one at the end.
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_by_key(|line| range(line).map_or((true, 0, 0), |(start, end)| (false, start, end)));
    let mut sorted: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let taken: Vec<(u64, u64)> = lines.into_iter().filter_map(range).collect();
    let start = taken.into_iter().fold(FIRST, |start, (first, end)| {
        if first >= start.saturating_add(COUNT) { start } else { start.max(end) }
    });
    if start + COUNT - 1 <= LAST {
        append(&mut sorted, &format!("{user}:{start}:{COUNT}"));
        *text = sorted;
    }
}

/// First id, and the one after the last.
fn range(line: &str) -> Option<(u64, u64)> {
    let line = fields(line);
    let start: u64 = field(&line, 1).parse().ok()?;
    let count: u64 = field(&line, 2).parse().ok()?;
    Some((start, start.saturating_add(count)))
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
        let wanted = "a:100000:65536\nc:165536:65536\nd:231072:65536\nb:300000:65536\ne:365536:65536\n";
        assert_eq!(text, wanted);
    }
}
