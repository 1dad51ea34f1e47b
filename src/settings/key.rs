//! What is known of one settings key: type, default, effect and a line of documentation.

/// The type of a key's value, as a file writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    /// `on`/`off` or `true`/`false`; reported as a JSON boolean.
    Boolean,
    /// The same, reported as the text `on` or `off` (values nginx reads itself in Kong).
    NginxBoolean,
    /// Any finite number.
    Number,
    /// An nginx size such as `8k`.
    Size,
    /// An nginx time such as `60s`.
    Time,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// Comma-separated entries.
    List,
}

impl Kind {
    /// The name of the type in messages and in the documentation.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Text => "string",
            Kind::Boolean => "boolean",
            Kind::NginxBoolean => "ngx_boolean",
            Kind::Number => "number",
            Kind::Size => "size",
            Kind::Time => "time",
            Kind::OneOf(_) => "enum",
            Kind::List => "array",
        }
    }
}

/// Whether setting a key changes anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    Used,
    /// Known for compatibility; setting it gives one warning.
    None,
}

/// One row of the table of all keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    pub name: &'static str,
    pub kind: Kind,
    /// The default in the notation of a file; empty when unset.
    pub default: &'static str,
    pub effect: Effect,
    /// The value is never shown: not in reports, messages or logs.
    pub secret: bool,
    /// Another key that says the same and wins when both are given.
    pub alias_of: Option<&'static str>,
    /// One line, for the documentation.
    pub doc: &'static str,
}

impl Key {
    const fn new(name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Key {
        Key {
            name,
            kind,
            default,
            effect: Effect::Used,
            secret: false,
            alias_of: None,
            doc,
        }
    }

    /// Accepted with a warning.
    pub(super) const fn no_effect(mut self) -> Key {
        self.effect = Effect::None;
        self
    }

    pub(super) const fn secret(mut self) -> Key {
        self.secret = true;
        self
    }

    pub(super) const fn alias_of(mut self, other: &'static str) -> Key {
        self.alias_of = Some(other);
        self
    }
}

pub(super) const fn text(name: &'static str, default: &'static str, doc: &'static str) -> Key {
    Key::new(name, Kind::Text, default, doc)
}

pub(super) const fn boolean(name: &'static str, default: &'static str, doc: &'static str) -> Key {
    Key::new(name, Kind::Boolean, default, doc)
}

pub(super) const fn nginx_boolean(
    name: &'static str,
    default: &'static str,
    doc: &'static str,
) -> Key {
    Key::new(name, Kind::NginxBoolean, default, doc)
}

pub(super) const fn number(name: &'static str, default: &'static str, doc: &'static str) -> Key {
    Key::new(name, Kind::Number, default, doc)
}

pub(super) const fn size(name: &'static str, default: &'static str, doc: &'static str) -> Key {
    Key::new(name, Kind::Size, default, doc)
}

pub(super) const fn time(name: &'static str, default: &'static str, doc: &'static str) -> Key {
    Key::new(name, Kind::Time, default, doc)
}

pub(super) const fn one_of(
    name: &'static str,
    words: &'static [&'static str],
    default: &'static str,
    doc: &'static str,
) -> Key {
    Key::new(name, Kind::OneOf(words), default, doc)
}

pub(super) const fn list(name: &'static str, default: &'static str, doc: &'static str) -> Key {
    Key::new(name, Kind::List, default, doc)
}
