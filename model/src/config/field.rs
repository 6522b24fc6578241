//! What the table of fields is made of: kinds, and constructors that read like a list.

#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub name: &'static str,
    pub kind: Kind,
    pub required: bool,
    pub secret: bool,
    pub default: &'static str,
    /// As it would be written in the file (YAML).
    pub example: &'static str,
    pub description: &'static str,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Text,
    Integer,
    Boolean,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list of strings.
    Texts,
    Object(&'static [Field]),
    /// A list of objects.
    Objects(&'static [Field]),
    /// An object whose keys belong to somebody else; the listed top-level keys are allowed.
    Foreign(&'static [&'static str]),
}

impl Kind {
    pub fn children(self) -> &'static [Field] {
        match self {
            Kind::Object(fields) | Kind::Objects(fields) => fields,
            _ => &[],
        }
    }

    pub fn describe(self) -> String {
        match self {
            Kind::Text => "string".into(),
            Kind::Integer => "integer".into(),
            Kind::Boolean => "true or false".into(),
            Kind::Choice(words) => format!("one of {}", words.join(", ")),
            Kind::Texts => "list of strings".into(),
            Kind::Object(_) => "object".into(),
            Kind::Objects(_) => "list of objects".into(),
            Kind::Foreign(_) => "object".into(),
        }
    }
}

const fn field(name: &'static str, kind: Kind, example: &'static str, description: &'static str) -> Field {
    Field { name, kind, required: false, secret: false, default: "", example, description }
}

pub(super) const fn text(name: &'static str, example: &'static str, description: &'static str) -> Field {
    field(name, Kind::Text, example, description)
}

pub(super) const fn integer(name: &'static str, example: &'static str, description: &'static str) -> Field {
    field(name, Kind::Integer, example, description)
}

pub(super) const fn boolean(name: &'static str, example: &'static str, description: &'static str) -> Field {
    field(name, Kind::Boolean, example, description)
}

pub(super) const fn choice(
    name: &'static str,
    words: &'static [&'static str],
    description: &'static str,
) -> Field {
    field(name, Kind::Choice(words), words[0], description)
}

pub(super) const fn texts(name: &'static str, example: &'static str, description: &'static str) -> Field {
    field(name, Kind::Texts, example, description)
}

pub(super) const fn object(
    name: &'static str,
    children: &'static [Field],
    description: &'static str,
) -> Field {
    field(name, Kind::Object(children), "", description)
}

pub(super) const fn objects(
    name: &'static str,
    children: &'static [Field],
    description: &'static str,
) -> Field {
    field(name, Kind::Objects(children), "", description)
}

pub(super) const fn foreign(
    name: &'static str,
    keys: &'static [&'static str],
    example: &'static str,
    description: &'static str,
) -> Field {
    field(name, Kind::Foreign(keys), example, description)
}

impl Field {
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    pub const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    pub const fn default(mut self, default: &'static str) -> Self {
        self.default = default;
        self
    }
}
