//! The lines of `passwd`, `group` and their like: looked up, added, changed, removed.

use super::{AccountError, REGULAR, SYSTEM};

pub(super) fn given(value: &Option<String>) -> Option<&str> {
    value.as_deref().filter(|value| !value.is_empty())
}

/// For services the highest that is free; for people the one after the highest that is used, as useradd does it.
pub(super) fn free(system: bool, texts: &[&str]) -> Result<u32, AccountError> {
    let unused = |id: &u32| owner_of(*id, texts).is_none();
    if system {
        return SYSTEM.rev().find(unused).ok_or(AccountError::NoFreeId);
    }
    let ids =
        texts.iter().flat_map(|text| text.lines()).filter_map(|line| field(&fields(line), 2).parse().ok());
    let next = ids.filter(|id: &u32| REGULAR.contains(id)).max().map_or(REGULAR.start, |highest| highest + 1);
    let next = Some(next).filter(|next| REGULAR.contains(next));
    next.or_else(|| REGULAR.clone().find(unused)).ok_or(AccountError::NoFreeId)
}

pub(super) fn owner_of(id: u32, texts: &[&str]) -> Option<String> {
    let lines = texts.iter().flat_map(|text| text.lines()).map(fields);
    lines.into_iter().find(|line| field(line, 2).parse() == Ok(id)).map(|line| field(&line, 0).to_owned())
}

pub(super) fn fields(line: &str) -> Vec<String> {
    line.split(':').map(str::to_owned).collect()
}

pub(super) fn field(line: &[String], index: usize) -> &str {
    line.get(index).map_or("", String::as_str)
}

pub(super) fn find(text: &str, name: &str) -> Option<Vec<String>> {
    text.lines().map(fields).find(|line| field(line, 0) == name)
}

pub(super) fn set(fields: &mut Vec<String>, index: usize, value: &str) {
    if fields.len() <= index {
        fields.resize(index + 1, String::new());
    }
    fields[index] = value.to_owned();
}

pub(super) fn append(text: &mut String, line: &str) {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(line);
    text.push('\n');
}

pub(super) fn edit(text: &mut String, name: &str, change: impl Fn(&mut Vec<String>)) {
    edit_all(text, |fields| {
        if field(fields, 0) == name {
            change(fields);
        }
    });
}

pub(super) fn edit_all(text: &mut String, change: impl Fn(&mut Vec<String>)) {
    let edited = text.lines().map(|line| {
        let mut fields = fields(line);
        change(&mut fields);
        fields.join(":") + "\n"
    });
    *text = edited.collect();
}

pub(super) fn remove(text: &mut String, name: &str) {
    *text =
        text.lines().filter(|line| field(&fields(line), 0) != name).map(|line| format!("{line}\n")).collect();
}

pub(super) fn add_word(fields: &mut Vec<String>, index: usize, word: &str) {
    let mut words: Vec<&str> = field(fields, index).split(',').filter(|word| !word.is_empty()).collect();
    if !words.contains(&word) {
        words.push(word);
        let joined = words.join(",");
        set(fields, index, &joined);
    }
}

pub(super) fn remove_word(fields: &mut Vec<String>, index: usize, word: &str) {
    if fields.len() > index {
        let words =
            field(fields, index).split(',').filter(|other| *other != word).collect::<Vec<_>>().join(",");
        set(fields, index, &words);
    }
}
