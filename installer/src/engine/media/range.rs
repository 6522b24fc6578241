//! The one kind of HTTP range that BMCs use: a single span of bytes (RFC 9110, 14.1.2). Pure.

#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    Whole,
    /// Bytes `start..end`.
    Part {
        start: u64,
        end: u64,
    },
    Unsatisfiable,
}

/// What to answer to a `Range` header for `length` bytes. What is not understood, or asks for several spans, is
/// answered with everything, as the RFC allows.
pub fn answer(asked: Option<&str>, length: u64) -> Answer {
    let Some(spec) = asked.and_then(|text| text.trim().strip_prefix("bytes=")) else { return Answer::Whole };
    let Some((first, last)) = spec.trim().split_once('-') else { return Answer::Whole };
    let (first, last) = (first.trim(), last.trim());
    match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(start), Ok(last)) if start <= last => part(start, last.saturating_add(1).min(length), length),
        (Ok(start), Err(_)) if last.is_empty() => part(start, length, length),
        (Err(_), Ok(count)) if first.is_empty() => part(length.saturating_sub(count), length, length),
        _ => Answer::Whole,
    }
}

fn part(start: u64, end: u64, length: u64) -> Answer {
    if start < end && start < length { Answer::Part { start, end } } else { Answer::Unsatisfiable }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_ranges_are_understood() {
        for (asked, want) in [
            ("bytes=0-0", Answer::Part { start: 0, end: 1 }),
            ("bytes=10-", Answer::Part { start: 10, end: 100 }),
            ("bytes=-10", Answer::Part { start: 90, end: 100 }),
            ("bytes=90-500", Answer::Part { start: 90, end: 100 }),
            ("bytes=-500", Answer::Part { start: 0, end: 100 }),
            ("bytes=100-", Answer::Unsatisfiable),
            ("bytes=-0", Answer::Unsatisfiable),
            ("bytes=5-4", Answer::Whole),
            ("bytes=0-1,5-6", Answer::Whole),
            ("lines=1-2", Answer::Whole),
        ] {
            assert_eq!(answer(Some(asked), 100), want, "{asked}");
        }
        assert_eq!(answer(None, 100), Answer::Whole);
    }
}
