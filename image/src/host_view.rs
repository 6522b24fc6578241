//! One host's view of the medium: bytes that take the place of the base image's while it is being served.

use ashlar_model::release::Media;

/// Bytes to serve at `offset` in place of what the image file has there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    pub offset: u64,
    pub bytes: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error(
        "{what} of this host need {need} bytes, {over} more than the {room} reserved on the medium\n\
         hint: move large files of the host into a machine config"
    )]
    TooLarge { what: &'static str, need: u64, room: u64, over: u64 },
    #[error(
        "kernel argument `{0}` has a character that the boot menu cannot carry (quote, $, \\, `;` or control)"
    )]
    Argument(String),
    #[error("the host view spans several lines; it must be compact JSON")]
    NotCompact,
}

/// The patches that turn the base medium into a host's: `view` is its `HostView` as compact JSON.
///
/// # Errors
/// Something does not fit its reserved area, or cannot stand in it.
pub fn patches(media: &Media, view: &[u8], arguments: &[String]) -> Result<Vec<Patch>, Error> {
    let view_area = media.host_view;
    let argument_room = media.kernel_arguments.iter().map(|area| area.length).min().unwrap_or_default();
    check(view, arguments, view_area.length, argument_room)?;
    // What follows in the area is blank already.
    let mut patches = vec![Patch { offset: view_area.offset, bytes: view.to_vec() }];
    if !arguments.is_empty() {
        let line = arguments.join(" ").into_bytes();
        patches.extend(
            media.kernel_arguments.iter().map(|area| Patch { offset: area.offset, bytes: line.clone() }),
        );
    }
    Ok(patches)
}

/// Whether they fit into so many bytes each, and can stand there.
///
/// # Errors
/// They do not, or cannot.
pub fn check(view: &[u8], arguments: &[String], view_room: u64, argument_room: u64) -> Result<(), Error> {
    if view.contains(&b'\n') {
        return Err(Error::NotCompact);
    }
    fit("the identity and network settings", view.len(), view_room)?;
    if let Some(bad) = arguments.iter().find(|argument| argument.contains(unfit)) {
        return Err(Error::Argument(bad.clone()));
    }
    fit("the kernel arguments", arguments.join(" ").len(), argument_room)
}

/// Overwrites the part of `buffer`, which was read at `offset`, that patches cover.
pub fn apply(patches: &[Patch], offset: u64, buffer: &mut [u8]) {
    let end = offset + buffer.len() as u64;
    for patch in patches {
        let from = patch.offset.max(offset);
        let to = (patch.offset + patch.bytes.len() as u64).min(end);
        if from < to {
            let source = &patch.bytes[(from - patch.offset) as usize..(to - patch.offset) as usize];
            buffer[(from - offset) as usize..(to - offset) as usize].copy_from_slice(source);
        }
    }
}

fn fit(what: &'static str, need: usize, room: u64) -> Result<(), Error> {
    let need = need as u64;
    match need.checked_sub(room) {
        None | Some(0) => Ok(()),
        Some(over) => Err(Error::TooLarge { what, need, room, over }),
    }
}

fn unfit(character: char) -> bool {
    matches!(character, '"' | '\'' | '$' | '\\' | ';' | '`' | '{' | '}' | ' ') || character.is_control()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ashlar_model::release::Range;

    fn media() -> Media {
        Media {
            version: "1".into(),
            host_view: Range { offset: 100, length: 10 },
            kernel_arguments: vec![Range { offset: 50, length: 8 }],
            root_filesystem: None,
        }
    }

    #[test]
    fn a_buffer_that_meets_only_part_of_a_patch_gets_that_part() {
        let patches = patches(&media(), b"{\"a\":1}", &["quiet".into()]).expect("fits");
        let mut buffer = [b'.'; 6];
        apply(&patches, 98, &mut buffer);
        assert_eq!(&buffer, b"..{\"a\"");
        apply(&patches, 104, &mut buffer);
        assert_eq!(&buffer, b":1}\"a\"");
        apply(&patches, 48, &mut buffer);
        assert_eq!(&buffer, b":1quie");
    }

    #[test]
    fn what_does_not_fit_says_how_much_is_missing() {
        let error = patches(&media(), b"{\"a\":1234567}", &[]).expect_err("too large");
        assert!(error.to_string().contains("13 bytes, 3 more than the 10"), "{error}");
        assert!(patches(&media(), b"{}", &["a=\"b\"".into()]).is_err());
    }
}
