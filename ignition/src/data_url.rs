//! Data URLs (RFC 2397), as strict as the reference.

use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine, alphabet};

use crate::resource::ResourceError;

/// `data:;base64,…` of these bytes.
pub fn data_url(bytes: &[u8]) -> String {
    format!("data:;base64,{}", BASE64.encode(bytes))
}

/// The bytes of a data URL (RFC 2397).
pub(crate) fn read_data_url(source: &str) -> Result<Vec<u8>, ResourceError> {
    let rest = source.strip_prefix("data:").ok_or(ResourceError::DataUrl("it does not begin with data:"))?;
    let (is_base64, data) = after_media_type(rest)?;
    if !is_base64 {
        return percent_decoded(data);
    }
    if data.bytes().any(|byte| !byte.is_ascii_alphanumeric() && !b"+/=\n".contains(&byte)) {
        return Err(ResourceError::DataUrl("its data has characters that base64 has not"));
    }
    let compact;
    let text = if data.contains('\n') {
        compact = data.replace('\n', "");
        &compact
    } else {
        data
    };
    BASE64.decode(text).map_err(|_| ResourceError::DataUrl("its data is not base64"))
}

/// Padding is required; bits that nothing uses may be set.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

const fn token(byte: u8) -> bool {
    byte.is_ascii_graphic()
        && !matches!(
            byte,
            b'(' | b')'
                | b'<'
                | b'>'
                | b'@'
                | b','
                | b';'
                | b':'
                | b'\\'
                | b'"'
                | b'/'
                | b'['
                | b']'
                | b'?'
                | b'='
        )
}

/// Reads `type/subtype;name=value;base64,`: whether the data is base64, and the data.
fn after_media_type(text: &str) -> Result<(bool, &str), ResourceError> {
    const MEDIA: ResourceError = ResourceError::DataUrl("its media type is malformed");
    const COMMA: ResourceError = ResourceError::DataUrl("it has no comma");
    let word = |text: &str| text.bytes().take_while(|byte| token(*byte)).count();
    let mut rest = text;
    if !rest.starts_with([';', ',']) {
        let (kind, after) = rest.split_at(word(rest));
        let known = ["text", "image", "audio", "video", "application", "message", "multipart", "x-", "X-"];
        if !known.iter().any(|known| kind.starts_with(known)) {
            return Err(if after.is_empty() { COMMA } else { MEDIA });
        }
        let after = after.strip_prefix('/').ok_or(MEDIA)?;
        rest = &after[word(after)..];
    }
    loop {
        if let Some(data) = rest.strip_prefix(',') {
            return Ok((false, data));
        }
        let parameter = rest.strip_prefix(';').ok_or(if rest.is_empty() { COMMA } else { MEDIA })?;
        let (name, after) = parameter.split_at(word(parameter));
        if name.is_empty() {
            return Err(MEDIA);
        }
        if let Some(data) = after.strip_prefix(',') {
            return if name == "base64" { Ok((true, data)) } else { Err(MEDIA) };
        }
        rest = after_value(after.strip_prefix('=').ok_or(MEDIA)?).ok_or(MEDIA)?;
    }
}

/// What follows a parameter's value: a token or a quoted text.
fn after_value(text: &str) -> Option<&str> {
    let Some(quoted) = text.strip_prefix('"') else {
        let length = text.bytes().take_while(|byte| token(*byte)).count();
        return (length > 0).then(|| &text[length..]);
    };
    let mut bytes = quoted.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return Some(&quoted[at + 1..]),
            b'\\' => drop(bytes.next()),
            byte if byte.is_ascii() => {}
            _ => return None,
        }
    }
    None
}

fn percent_decoded(text: &str) -> Result<Vec<u8>, ResourceError> {
    const WRONG: ResourceError = ResourceError::DataUrl("a % is not followed by two hex digits");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first == b'%' {
            let digits = tail.get(..2).ok_or(WRONG)?;
            bytes.extend(hex::decode(digits).map_err(|_| WRONG)?);
            rest = &tail[2..];
        } else if first.is_ascii_graphic() && !b"<>#\"{}|\\^[]`".contains(first) {
            bytes.push(*first);
            rest = tail;
        } else {
            return Err(ResourceError::DataUrl(
                "it has characters that must be written as % and two hex digits",
            ));
        }
    }
    Ok(bytes)
}

pub(crate) fn is_data_url(source: &str) -> bool {
    source.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_urls_are_read_plain_escaped_and_base64() {
        let cases: &[(&str, &[u8])] = &[
            ("data:,hello%20world%0A", b"hello world\n"),
            ("data:text/plain;charset=utf-8,a,b", b"a,b"),
            ("data:;base64,aGk=", b"hi"),
            ("data:text/plain;charset=\"utf-8\";base64,aG\nk=", b"hi"),
            ("data:,", b""),
        ];
        for (source, want) in cases {
            assert_eq!(read_data_url(source).expect(source), *want);
        }
        for source in [
            "data:nothing",
            "data:,%2",
            "data:,%zz",
            "data:;base64,*",
            "http://a",
            "data:;base64,aGk",
            "data:, ",
            "data:what,a",
            "data:;base64;a=b,",
        ] {
            assert!(read_data_url(source).is_err(), "{source}");
        }
    }
}
