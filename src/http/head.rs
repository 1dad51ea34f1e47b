//! Heads: raw bytes plus an index of (name, value) ranges.

use bytes::Bytes;

/// A range of a head's bytes. Heads are limited to far less than 4 GiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub start: u32,
    pub len: u32,
}

impl Span {
    /// The span of `part`, which must be a slice of `whole`.
    pub fn of(whole: &[u8], part: &[u8]) -> Span {
        let start = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
        debug_assert!(start + part.len() <= whole.len());
        Span {
            start: start as u32,
            len: part.len() as u32,
        }
    }

    #[inline]
    pub fn slice(self, bytes: &[u8]) -> &[u8] {
        let start = self.start as usize;
        bytes
            .get(start..start + self.len as usize)
            .unwrap_or_default()
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    Http10,
    #[default]
    Http11,
    Http2,
}

impl Version {
    /// As a request line has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
            Version::Http2 => "HTTP/2.0",
        }
    }
}

/// Whether a header has this name, given in lower case. Said at once where length or first letter
/// differ, which is nearly always.
#[inline]
pub fn is_named(name: &[u8], known: &str) -> bool {
    let known = known.as_bytes();
    let folded = |name: &[u8]| name.first().map(|byte| byte | 0x20);
    name.len() == known.len() && folded(name) == folded(known) && name.eq_ignore_ascii_case(known)
}

/// Which header names may be among some lines: one bit for length, first and last letter of each. Most
/// headers that are asked for are not there, and this says so without a look at the lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct NameMask(u64);

impl NameMask {
    #[inline]
    fn bit(name: &[u8]) -> u64 {
        // The same of capitals and small letters, and that is all it has to be.
        let folded = |byte: Option<&u8>| usize::from(byte.map_or(0, |byte| byte | 0x20));
        let (first, last) = (folded(name.first()), folded(name.last()));
        1 << ((name.len().wrapping_mul(7) ^ first ^ last.wrapping_mul(5)) & 63)
    }

    #[inline]
    pub fn add(&mut self, name: &[u8]) {
        self.0 |= NameMask::bit(name);
    }

    /// `false`: no line has this name.
    #[inline]
    pub fn may_have(self, name: &[u8]) -> bool {
        self.0 & NameMask::bit(name) != 0
    }
}

/// The header lines of a head, in the order they came.
#[derive(Clone, Debug, Default)]
pub struct HeaderIndex {
    bytes: Bytes,
    lines: Vec<(Span, Span)>,
    names: NameMask,
}

impl HeaderIndex {
    /// Takes over the bytes of a head; `lines` is kept for its capacity.
    pub fn reset(&mut self, bytes: Bytes) {
        self.bytes = bytes;
        self.lines.clear();
        self.names = NameMask::default();
    }

    /// Drops bytes and lines; the capacity for lines is kept.
    pub fn clear(&mut self) {
        self.reset(Bytes::new());
    }

    /// Appends a line by its ranges in the bytes of the head.
    pub fn push(&mut self, name: Span, value: Span) {
        self.names.add(name.slice(&self.bytes));
        self.lines.push((name, value));
    }

    /// Appends a line of a head whose bytes follow later, by `install`.
    #[cfg(feature = "data-plane")]
    pub(super) fn push_early(&mut self, name: &[u8], line: (Span, Span)) {
        self.names.add(name);
        self.lines.push(line);
    }

    /// Lets the value of the line at `index` be another range; no such line, no change.
    #[cfg(feature = "data-plane")]
    pub(super) fn set_value(&mut self, index: usize, value: Span) {
        if let Some(line) = self.lines.get_mut(index) {
            line.1 = value;
        }
    }

    /// Gives lines that were pushed while the head was read the bytes that they point into.
    #[cfg(feature = "data-plane")]
    pub(super) fn install(&mut self, bytes: Bytes) {
        self.bytes = bytes;
    }

    pub fn len(&self) -> usize {
        self.lines.len()
    }

    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Every line as it came: names in the client's spelling, values without outer blanks.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.lines
            .iter()
            .map(|(name, value)| (name.slice(&self.bytes), value.slice(&self.bytes)))
    }

    /// The first value of a header; names compare without case.
    #[inline]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        match self.names.may_have(name.as_bytes()) {
            true => self.find(name),
            false => None,
        }
    }

    fn find(&self, name: &str) -> Option<&[u8]> {
        let mut lines = self.lines.iter();
        let (_, value) = lines.find(|(found, _)| self.is(*found, name))?;
        Some(value.slice(&self.bytes))
    }

    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let lines = self.candidates(name).iter();
        lines
            .filter(move |(found, _)| self.is(*found, name))
            .map(|(_, value)| value.slice(&self.bytes))
    }

    /// The lines among which this name may be: all or none.
    fn candidates(&self, name: &str) -> &[(Span, Span)] {
        match self.names.may_have(name.as_bytes()) {
            true => &self.lines,
            false => &[],
        }
    }

    fn is(&self, found: Span, name: &str) -> bool {
        found.len as usize == name.len()
            && found
                .slice(&self.bytes)
                .eq_ignore_ascii_case(name.as_bytes())
    }
}

/// A request head as it came from the client.
#[derive(Clone, Debug, Default)]
pub struct RequestHead {
    pub version: Version,
    pub headers: HeaderIndex,
    method: Span,
    target: Span,
}

impl RequestHead {
    /// A new head over `bytes` without header lines; they are pushed afterwards.
    pub fn reset(&mut self, bytes: Bytes, version: Version, method: Span, target: Span) {
        self.headers.reset(bytes);
        self.version = version;
        self.method = method;
        self.target = target;
    }

    /// Completes a head whose header lines were pushed while it was read.
    #[cfg(feature = "data-plane")]
    pub(super) fn install(&mut self, bytes: Bytes, version: Version, method: Span, target: Span) {
        self.headers.install(bytes);
        self.version = version;
        self.method = method;
        self.target = target;
    }

    pub fn method(&self) -> &[u8] {
        self.method.slice(&self.headers.bytes)
    }

    /// The request target in origin form, as it came: path and query.
    pub fn target(&self) -> &[u8] {
        self.target.slice(&self.headers.bytes)
    }

    /// The raw path: the target up to the first `?`.
    pub fn path(&self) -> &[u8] {
        let target = self.target();
        let end = target.iter().position(|byte| *byte == b'?');
        &target[..end.unwrap_or(target.len())]
    }

    /// The raw query, without the `?`; `None` when there is no `?`.
    pub fn query(&self) -> Option<&[u8]> {
        let target = self.target();
        let mark = target.iter().position(|byte| *byte == b'?')?;
        Some(&target[mark + 1..])
    }
}

/// A response head as it came from the upstream.
#[derive(Clone, Debug, Default)]
pub struct ResponseHead {
    pub version: Version,
    pub headers: HeaderIndex,
    pub status: u16,
    reason: Span,
}

impl ResponseHead {
    /// A new head over `bytes` without header lines; they are pushed afterwards.
    pub fn reset(&mut self, bytes: Bytes, version: Version, status: u16, reason: Span) {
        self.headers.reset(bytes);
        self.version = version;
        self.status = status;
        self.reason = reason;
    }

    /// Completes a head whose header lines were pushed while it was read.
    #[cfg(feature = "data-plane")]
    pub(super) fn install(&mut self, bytes: Bytes, version: Version, status: u16, reason: Span) {
        self.headers.install(bytes);
        self.version = version;
        self.status = status;
        self.reason = reason;
    }

    pub fn reason(&self) -> &[u8] {
        self.reason.slice(&self.headers.bytes)
    }
}
