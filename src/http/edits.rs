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
    /// Whole header lines, as they are sent.
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
    #[inline]
    pub fn set_legal(&mut self, name: &'static str, value: &[u8]) {
        self.set_line(name, |text| text.extend_from_slice(value));
    }

    /// Like [`set`](HeaderEdits::set), of a name that is known to be legal.
    #[inline]
    pub fn set_value(&mut self, name: &'static str, value: &[u8]) {
        self.set_line(name, |text| write::header_value(text, value));
    }

    /// Like [`set`](HeaderEdits::set), of a number and a name that is known to be legal.
    #[inline]
    pub fn set_number(&mut self, name: &'static str, value: u64) {
        self.set_line(name, |text| write::decimal(text, value));
    }

    /// Sets a header of a legal name to what `write` appends. Inlined, so that what depends on the
    /// name alone is made by the compiler.
    #[inline]
    fn set_line(&mut self, name: &'static str, write: impl FnOnce(&mut Vec<u8>)) {
        self.forget(name);
        let start = self.text.len();
        self.text.extend_from_slice(name.as_bytes());
        let between = self.text.len();
        self.text.extend_from_slice(b": ");
        write(&mut self.text);
        self.names.add(name.as_bytes());
        self.end_line(Edit::Set, start, between);
    }

    pub fn add(&mut self, name: &str, value: impl AsRef<[u8]>) {
        self.push(Edit::Add, name, value.as_ref());
    }

    pub fn remove(&mut self, name: &str) {
        self.forget(name);
        self.push(Edit::Remove, name, b"");
    }

    /// The first value of a header with the edits applied.
    #[inline]
    pub fn get<'a>(&'a self, head: &'a HeaderIndex, name: &'a str) -> Option<&'a [u8]> {
        match self.names.may_have(name.as_bytes()) {
            true => self.get_all(head, name).next(),
            false => head.get(name),
        }
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

    /// Appends every line with the edits applied, but not those whose name is to be left out.
    #[inline]
    pub fn write(&self, head: &HeaderIndex, out: &mut Vec<u8>, leave_out: impl Fn(&[u8]) -> bool) {
        for (name, value) in head.iter() {
            if !leave_out(name) && !self.hides(name) {
                write::header(out, name, value);
            }
        }
        for (edit, name, value) in &self.edits {
            if *edit == Edit::Remove || leave_out(name.slice(&self.text)) {
                continue;
            }
            let line = name.start as usize..(value.start + value.len) as usize + 2;
            out.extend_from_slice(self.text.get(line).unwrap_or_default());
        }
    }

    /// Every line with the edits applied.
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
    #[inline]
    pub fn hides(&self, name: &[u8]) -> bool {
        self.names.may_have(name)
            && self.edits.iter().any(|(edit, edited, _)| {
                *edit != Edit::Add
                    && edited.len as usize == name.len()
                    && edited.slice(&self.text).eq_ignore_ascii_case(name)
            })
    }

    /// Drops earlier edits of this name: the new one replaces them all.
    #[inline]
    fn forget(&mut self, name: &str) {
        if self.names.may_have(name.as_bytes()) {
            self.forget_now(name);
        }
    }

    fn forget_now(&mut self, name: &str) {
        let text = &self.text;
        self.edits
            .retain(|(_, edited, _)| !edited.slice(text).eq_ignore_ascii_case(name.as_bytes()));
    }

    fn push(&mut self, edit: Edit, name: &str, value: &[u8]) {
        let start = self.text.len();
        // Whatever a name or a value was made from, the header is legal.
        write::header_name(&mut self.text, name.as_bytes());
        let between = self.text.len();
        self.names.add(name.as_bytes());
        // A name that had to be encoded is found as it is written.
        self.names.add(&self.text[start..]);
        self.text.extend_from_slice(b": ");
        write::header_value(&mut self.text, value);
        self.end_line(edit, start, between);
    }

    /// Ends the line that begins at `start` of the text; its name ends at `between`.
    #[inline]
    fn end_line(&mut self, edit: Edit, start: usize, between: usize) {
        let span = |start: usize, end: usize| Span {
            start: start as u32,
            len: (end - start) as u32,
        };
        let value = span(between + 2, self.text.len());
        self.text.extend_from_slice(b"\r\n");
        self.edits.push((edit, span(start, between), value));
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
        let lines: Vec<String> = edits
            .apply(head)
            .map(|(n, v)| format!("{}: {}", text(n), text(v)))
            .collect();
        let mut written = Vec::new();
        edits.write(head, &mut written, |name| name.is_empty());
        assert_eq!(
            text(&written),
            lines
                .iter()
                .map(|line| format!("{line}\r\n"))
                .collect::<String>()
        );
        lines
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
