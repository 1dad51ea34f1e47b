//! Changes to a head's headers, kept beside the head until it is written.

use super::head::NameMask;
use super::{HeaderIndex, Span, write};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Edit {
    /// Drop every line of this name.
    Remove,
    /// Replace every line of this name by this one.
    Set,
    /// Append a line, whatever else there is.
    Add,
}

/// Edits in the order they were made. Text lives in one arena, so that an edit costs no
/// allocation once the arena has grown; `clear` keeps the capacity.
#[derive(Clone, Debug, Default)]
pub struct HeaderEdits {
    text: Vec<u8>,
    edits: Vec<(Edit, Span, Span)>,
    /// The names of all edits, those that were forgotten included.
    names: NameMask,
}

impl HeaderEdits {
    pub fn clear(&mut self) {
        self.text.clear();
        self.edits.clear();
        self.names = NameMask::default();
    }

    pub fn set(&mut self, name: &str, value: impl AsRef<[u8]>) {
        self.forget(name);
        self.push(Edit::Set, name, value.as_ref());
    }

    /// Like [`set`](HeaderEdits::set), of a name and a value that are known to be legal.
    pub fn set_legal(&mut self, name: &'static str, value: &[u8]) {
        self.forget(name);
        let start = self.text.len();
        self.text.extend_from_slice(name.as_bytes());
        let between = self.text.len();
        self.text.extend_from_slice(value);
        self.note(Edit::Set, name, start, between);
    }

    /// Like [`set`](HeaderEdits::set), of a number and a name that is known to be legal.
    pub fn set_number(&mut self, name: &'static str, value: u64) {
        self.forget(name);
        let start = self.text.len();
        self.text.extend_from_slice(name.as_bytes());
        let between = self.text.len();
        write::decimal(&mut self.text, value);
        self.note(Edit::Set, name, start, between);
    }

    pub fn add(&mut self, name: &str, value: impl AsRef<[u8]>) {
        self.push(Edit::Add, name, value.as_ref());
    }

    pub fn remove(&mut self, name: &str) {
        self.forget(name);
        self.push(Edit::Remove, name, b"");
    }

    /// The first value of a header with the edits applied.
    pub fn get<'a>(&'a self, head: &'a HeaderIndex, name: &'a str) -> Option<&'a [u8]> {
        self.get_all(head, name).next()
    }

    /// Every value of a header with the edits applied.
    pub fn get_all<'a>(
        &'a self,
        head: &'a HeaderIndex,
        name: &'a str,
    ) -> impl Iterator<Item = &'a [u8]> {
        let kept = (!self.hides(name.as_bytes())).then(|| head.get_all(name));
        let new = self
            .new_lines()
            .filter(move |(n, _)| n.eq_ignore_ascii_case(name.as_bytes()));
        kept.into_iter()
            .flatten()
            .chain(new.map(|(_, value)| value))
    }

    /// Every line with the edits applied: what is written to the other side.
    pub fn apply<'a>(
        &'a self,
        head: &'a HeaderIndex,
    ) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        head.iter()
            .filter(|(name, _)| !self.hides(name))
            .chain(self.new_lines())
    }

    /// Whether an edit gives this header a value.
    pub fn sets(&self, name: &[u8]) -> bool {
        self.names.may_have(name)
            && self
                .new_lines()
                .any(|(edited, _)| edited.eq_ignore_ascii_case(name))
    }

    /// The first value that an edit gives this header.
    pub fn edited(&self, name: &str) -> Option<&[u8]> {
        let mut lines = self.new_lines();
        let found = lines.find(|(edited, _)| edited.eq_ignore_ascii_case(name.as_bytes()));
        found.map(|(_, value)| value)
    }

    pub fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    fn new_lines(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.edits
            .iter()
            .filter(|(edit, _, _)| *edit != Edit::Remove)
            .map(|(_, name, value)| (name.slice(&self.text), value.slice(&self.text)))
    }

    /// Whether the original lines of this name are gone.
    fn hides(&self, name: &[u8]) -> bool {
        self.names.may_have(name)
            && self.edits.iter().any(|(edit, edited, _)| {
                *edit != Edit::Add
                    && edited.len as usize == name.len()
                    && edited.slice(&self.text).eq_ignore_ascii_case(name)
            })
    }

    /// Drops earlier edits of this name: the new one replaces them all.
    fn forget(&mut self, name: &str) {
        if !self.names.may_have(name.as_bytes()) {
            return;
        }
        let text = &self.text;
        self.edits
            .retain(|(_, edited, _)| !edited.slice(text).eq_ignore_ascii_case(name.as_bytes()));
    }

    fn push(&mut self, edit: Edit, name: &str, value: &[u8]) {
        let start = self.text.len();
        // Whatever a name or a value was made from, the header is legal.
        write::header_name(&mut self.text, name.as_bytes());
        let between = self.text.len();
        write::header_value(&mut self.text, value);
        self.note(edit, name, start, between);
    }

    /// Notes an edit whose name begins at `start` of the text, and its value at `between`.
    fn note(&mut self, edit: Edit, name: &str, start: usize, between: usize) {
        let span = |start: usize, end: usize| Span {
            start: start as u32,
            len: (end - start) as u32,
        };
        let (written, value) = (span(start, between), span(between, self.text.len()));
        self.names.add(name.as_bytes());
        // A name that had to be encoded is found as it is written.
        if written.len as usize != name.len() {
            self.names.add(written.slice(&self.text));
        }
        self.edits.push((edit, written, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn head(lines: &[(&str, &str)]) -> HeaderIndex {
        let text: String = lines.iter().map(|(n, v)| format!("{n}{v}")).collect();
        let mut index = HeaderIndex::default();
        index.reset(Bytes::from(text));
        let mut at = 0;
        for (name, value) in lines {
            let name_span = Span {
                start: at,
                len: name.len() as u32,
            };
            let value_span = Span {
                start: at + name_span.len,
                len: value.len() as u32,
            };
            at = value_span.start + value_span.len;
            index.push(name_span, value_span);
        }
        index
    }

    fn lines(edits: &HeaderEdits, head: &HeaderIndex) -> Vec<String> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        edits
            .apply(head)
            .map(|(n, v)| format!("{}: {}", text(n), text(v)))
            .collect()
    }

    #[test]
    fn edits_are_applied_while_writing() {
        let head = head(&[("Host", "a"), ("X-A", "1"), ("x-a", "2"), ("X-B", "3")]);
        let mut edits = HeaderEdits::default();
        assert_eq!(
            lines(&edits, &head),
            ["Host: a", "X-A: 1", "x-a: 2", "X-B: 3"]
        );
        edits.set("X-a", "9");
        edits.add("X-A", "10");
        edits.remove("x-b");
        assert_eq!(lines(&edits, &head), ["Host: a", "X-a: 9", "X-A: 10"]);
        assert_eq!(edits.get(&head, "x-A"), Some(&b"9"[..]));
        assert_eq!(edits.get(&head, "x-b"), None);
        edits.set("x-b", "back");
        edits.remove("X-A");
        assert_eq!(lines(&edits, &head), ["Host: a", "x-b: back"]);
        edits.clear();
        assert_eq!(edits.get_all(&head, "x-a").count(), 2);
        edits.set_number("X-N", 0);
        edits.set_number("x-n", 1207);
        assert_eq!(edits.get(&head, "x-n"), Some(&b"1207"[..]));
        edits.set_legal("X-N", b"text");
        assert_eq!(edits.get_all(&head, "x-n").count(), 1);
        edits.remove("x-n");
        edits.set("x-b", "a\r\nX-Injected: \0");
        let legal = &b"a%0D%0AX-Injected: %00"[..];
        assert_eq!(edits.get(&head, "x-b"), Some(legal));
    }
}
