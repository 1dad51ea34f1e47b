//! Whether a text is a regular expression in the sense of PCRE, which is what Kong compiles.
//!
//! The `regex` crate refuses more: `{vault://env/x}` (a brace that is no quantifier), look-around,
//! references back. Only the syntax is checked here; nothing is matched.

use std::collections::HashSet;

/// Groups in groups, in brackets: as deep as PCRE allows.
const MAX_NESTING: usize = 250;
/// The largest number of a quantifier.
const MAX_REPEAT: u32 = 65_535;
/// The longest pattern in bytes; PCRE's compiled form has about this limit.
const MAX_LENGTH: usize = 65_535;
/// The longest text within braces or brackets that is looked for, which bounds the search.
const MAX_INNER: usize = 32;

/// Whether PCRE or the `regex` crate compiles it.
pub(super) fn is_valid(pattern: &str) -> bool {
    pattern.len() <= MAX_LENGTH
        && (Reader::new(pattern).pattern().is_some() || regex::Regex::new(pattern).is_ok())
}

/// Reads a pattern from left to right; `None` is a mistake.
struct Reader<'p> {
    rest: &'p [u8],
    nesting: usize,
    /// White space and comments mean nothing: `(?x)`.
    extended: bool,
    groups: u32,
    names: HashSet<&'p [u8]>,
    /// What is referred to must exist by the end.
    numbers_used: Vec<u32>,
    names_used: Vec<&'p [u8]>,
}

impl<'p> Reader<'p> {
    fn new(pattern: &'p str) -> Reader<'p> {
        Reader {
            rest: pattern.as_bytes(),
            nesting: 0,
            extended: false,
            groups: 0,
            names: HashSet::new(),
            numbers_used: Vec::new(),
            names_used: Vec::new(),
        }
    }

    fn pattern(&mut self) -> Option<()> {
        self.alternatives()?;
        let complete = self.rest.is_empty();
        let numbers = self.numbers_used.iter().all(|used| *used <= self.groups);
        let names = self.names_used.iter().all(|used| self.names.contains(used));
        (complete && numbers && names).then_some(())
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn take(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text.as_bytes()) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// What stands before `end`, which is taken, too.
    fn until(&mut self, end: u8) -> Option<&'p [u8]> {
        let at = self.rest.iter().position(|byte| *byte == end)?;
        let (inner, rest) = self.rest.split_at(at);
        self.rest = &rest[1..];
        Some(inner)
    }

    /// Up to the end or to the parenthesis that closes the group.
    fn alternatives(&mut self) -> Option<()> {
        let extended = self.extended;
        let mut repeatable = false;
        while let Some(byte) = self.rest.first().copied() {
            if byte == b')' {
                break;
            }
            self.next();
            repeatable = match byte {
                // A comment, and the end of a quotation that never began, change nothing.
                b'(' if self.take("?#") => self.until(b')').map(|_| repeatable)?,
                b'\\' if self.take("E") => repeatable,
                b'^' | b'$' => false,
                b'(' => self.group()?,
                b'[' => self.class()?,
                b'\\' => self.escape()?,
                b'|' => false,
                b'*' | b'+' | b'?' => self.quantified(repeatable)?,
                b'{' => match self.counts()? {
                    true => self.quantified(repeatable)?,
                    // Any other brace is a brace.
                    false => true,
                },
                b'#' if self.extended => {
                    let line = self.rest.iter().position(|byte| *byte == b'\n');
                    self.rest = &self.rest[line.unwrap_or(self.rest.len())..];
                    repeatable
                }
                byte if self.extended && byte.is_ascii_whitespace() => repeatable,
                _ => true,
            };
        }
        self.extended = extended;
        Some(())
    }

    /// After a quantifier: `?` makes it lazy, `+` possessive; nothing else may repeat it.
    fn quantified(&mut self, repeatable: bool) -> Option<bool> {
        if !repeatable {
            return None;
        }
        if !self.take("?") {
            self.take("+");
        }
        Some(false)
    }

    /// Whether `{n}`, `{n,}` or `{n,m}` follows the brace, and takes it then.
    fn counts(&mut self) -> Option<bool> {
        let mut near = self.rest.iter().take(MAX_INNER);
        let Some(end) = near.position(|byte| *byte == b'}') else {
            return Some(false);
        };
        let Ok(inner) = str::from_utf8(&self.rest[..end]) else {
            return Some(false);
        };
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let (least, most) = match inner.split_once(',') {
            Some((least, most)) => (least, Some(most)),
            None => (inner, None),
        };
        if !digits(least) || most.is_some_and(|most| !most.is_empty() && !digits(most)) {
            return Some(false);
        }
        self.rest = &self.rest[end + 1..];
        let number = |text: &str| text.parse().ok().filter(|n: &u32| *n <= MAX_REPEAT);
        let least = number(least)?;
        match most {
            Some(most) if !most.is_empty() => (least <= number(most)?).then_some(true),
            _ => Some(true),
        }
    }

    /// After a `(`. Whether what it is may be repeated.
    fn group(&mut self) -> Option<bool> {
        if self.nesting == MAX_NESTING {
            return None;
        }
        if self.take("*") {
            // A verb, such as `(*UTF)`.
            let verb = self.until(b')')?;
            return verb
                .iter()
                .all(|b| b.is_ascii_alphanumeric() || b"_:=".contains(b))
                .then_some(false);
        }
        if !self.take("?") {
            self.groups += 1;
            return self.closed();
        }
        match self.next()? {
            b':' | b'|' | b'>' | b'=' | b'!' => self.closed(),
            b'P' => match self.next()? {
                b'<' => self.named(b'>'),
                b'=' | b'>' => {
                    let name = self.until(b')')?;
                    self.names_used.push(name);
                    is_name(name).then_some(true)
                }
                _ => None,
            },
            b'<' if self.take("=") || self.take("!") => self.closed(),
            b'<' => self.named(b'>'),
            b'\'' => self.named(b'\''),
            b'&' => {
                let name = self.until(b')')?;
                self.names_used.push(name);
                is_name(name).then_some(true)
            }
            b'R' => self.take(")").then_some(true),
            b'(' => self.condition(),
            first => self.numbered_or_options(first),
        }
    }

    /// The rest of a group, its parenthesis included.
    fn closed(&mut self) -> Option<bool> {
        self.nesting += 1;
        self.alternatives()?;
        self.nesting -= 1;
        self.take(")").then_some(true)
    }

    fn named(&mut self, end: u8) -> Option<bool> {
        let name = self.until(end)?;
        if !is_name(name) || !self.names.insert(name) {
            return None;
        }
        self.groups += 1;
        self.closed()
    }

    /// `(?(1)a|b)`, `(?(<name>)a)`, `(?(?=x)a)`.
    fn condition(&mut self) -> Option<bool> {
        if self.rest.first() == Some(&b'?') {
            self.group()?;
            return self.closed();
        }
        let inner = self.until(b')')?;
        let number = str::from_utf8(inner).ok()?.parse();
        match number {
            Ok(number) => self.numbers_used.push(number),
            Err(_) if inner == b"R" || inner == b"DEFINE" => {}
            Err(_) => {
                let name = inner.strip_prefix(b"<").and_then(|n| n.strip_suffix(b">"));
                let name = name.or_else(|| inner.strip_prefix(b"'")?.strip_suffix(b"'"));
                self.names_used.push(name.unwrap_or(inner));
            }
        }
        self.closed()
    }

    /// A call of a group by number, `(?1)`, or options, `(?i)` and `(?i:...)`.
    fn numbered_or_options(&mut self, first: u8) -> Option<bool> {
        let signed = |byte: u8| byte == b'+' || byte == b'-';
        let calls = first.is_ascii_digit()
            || (signed(first) && self.rest.first().is_some_and(u8::is_ascii_digit));
        if calls {
            let number = self.until(b')')?;
            let digits = str::from_utf8(number).ok()?;
            let number: u32 = match digits {
                "" => 0,
                digits => digits.parse().ok()?,
            };
            if first.is_ascii_digit() {
                let first = u32::from(first - b'0');
                let power = 10_u32.checked_pow(u32::try_from(digits.len()).ok()?)?;
                self.numbers_used
                    .push(first.checked_mul(power)?.checked_add(number)?);
            }
            return Some(true);
        }
        let mut option = first;
        let mut sets = true;
        loop {
            match option {
                b'-' => sets = false,
                b'x' => self.extended = sets,
                b'i' | b'm' | b's' | b'n' | b'J' | b'U' | b'^' => {}
                b')' => return Some(false),
                b':' => return self.closed(),
                _ => return None,
            }
            option = self.next()?;
        }
    }

    /// After a backslash outside of a class.
    fn escape(&mut self) -> Option<bool> {
        let byte = self.next()?;
        match byte {
            b'Q' => {
                let end = self.rest.windows(2).position(|two| two == b"\\E");
                self.rest = end.map_or(&[], |end| &self.rest[end + 2..]);
                Some(true)
            }
            b'1'..=b'9' => {
                let mut number = u32::from(byte - b'0');
                while let Some(digit) = self.rest.first().filter(|b| b.is_ascii_digit()) {
                    number = number
                        .checked_mul(10)?
                        .checked_add(u32::from(*digit - b'0'))?;
                    self.next();
                }
                // Larger numbers without such a group are octal.
                if number < 10 {
                    self.numbers_used.push(number);
                }
                Some(true)
            }
            b'k' | b'g' => self.reference(byte == b'k'),
            b'b' | b'B' | b'A' | b'Z' | b'z' | b'G' | b'K' => Some(false),
            b'R' | b'X' | b'C' | b'N' => Some(true),
            byte => self.character(byte),
        }
    }

    /// `\k<name>`, `\g{2}`, `\g1`.
    fn reference(&mut self, must_be_name: bool) -> Option<bool> {
        let inner = match self.next()? {
            b'{' => self.until(b'}')?,
            b'<' => self.until(b'>')?,
            b'\'' => self.until(b'\'')?,
            byte if byte.is_ascii_digit() && !must_be_name => return Some(true),
            _ => return None,
        };
        let number = str::from_utf8(inner).ok()?.parse::<i32>();
        match number {
            Ok(number) if !must_be_name => {
                self.numbers_used.extend(u32::try_from(number));
                Some(true)
            }
            _ => {
                self.names_used.push(inner);
                is_name(inner).then_some(true)
            }
        }
    }

    /// An escape that stands for characters, in a class or outside.
    fn character(&mut self, byte: u8) -> Option<bool> {
        match byte {
            b'p' | b'P' => match self.next()? {
                b'{' => {
                    let name = self.until(b'}')?;
                    let name = name.strip_prefix(b"^").unwrap_or(name);
                    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"_& =:-".contains(b);
                    (!name.is_empty() && name.iter().all(plain)).then_some(true)
                }
                letter => b"CLMNPSZ".contains(&letter).then_some(true),
            },
            b'x' => {
                if self.take("{") {
                    let digits = self.until(b'}')?;
                    let hex = digits.iter().all(u8::is_ascii_hexdigit);
                    return (!digits.is_empty() && hex).then_some(true);
                }
                Some(true)
            }
            b'o' => {
                let digits = self.take("{").then(|| self.until(b'}'))??;
                let octal = digits.iter().all(|b| (b'0'..=b'7').contains(b));
                (!digits.is_empty() && octal).then_some(true)
            }
            b'c' => self.next()?.is_ascii_graphic().then_some(true),
            byte if byte.is_ascii_alphabetic() => {
                b"adDefhHnrsStvVwW".contains(&byte).then_some(true)
            }
            _ => Some(true),
        }
    }

    /// After a `[`.
    fn class(&mut self) -> Option<bool> {
        self.take("^");
        let mut first = true;
        // The last single character, which may begin a range.
        let mut before: Option<u8> = None;
        loop {
            let byte = self.next()?;
            match byte {
                b']' if !first => return Some(true),
                b'[' if matches!(self.rest.first(), Some(b':')) && self.posix()? => before = None,
                b'\\' => {
                    let escaped = self.next()?;
                    self.class_escape(escaped)?;
                    before = (!escaped.is_ascii_alphanumeric()).then_some(escaped);
                }
                b'-' if before.is_some() && self.rest.first().is_some_and(|b| *b != b']') => {
                    let last = self.next()?;
                    match last {
                        b'\\' => {
                            let escaped = self.next()?;
                            self.class_escape(escaped)?;
                        }
                        last if before.is_some_and(|first| first > last) => return None,
                        _ => {}
                    }
                    before = None;
                }
                byte => before = Some(byte),
            }
            first = false;
        }
    }

    fn class_escape(&mut self, byte: u8) -> Option<()> {
        match byte {
            b'b' | b'Q' | b'E' | b'0'..=b'9' => Some(()),
            byte => self.character(byte).map(|_| ()),
        }
    }

    /// `[:alpha:]` in a class, whose bracket is taken; false when it is none.
    fn posix(&mut self) -> Option<bool> {
        const NAMES: [&str; 14] = [
            "alpha", "lower", "upper", "alnum", "ascii", "blank", "cntrl", "digit", "graph",
            "print", "punct", "space", "word", "xdigit",
        ];
        let mut near = self.rest.windows(2).take(MAX_INNER);
        let Some(end) = near.position(|two| two == b":]") else {
            return Some(false);
        };
        let Some(name) = self.rest.get(1..end) else {
            return Some(false);
        };
        let word = name.strip_prefix(b"^").unwrap_or(name);
        if word.is_empty() || !word.iter().all(u8::is_ascii_alphabetic) {
            return Some(false);
        }
        self.rest = &self.rest[end + 2..];
        NAMES
            .iter()
            .any(|known| known.as_bytes() == word)
            .then_some(true)
    }
}

/// Of a group: no digit first, at most 32 long.
fn is_name(name: &[u8]) -> bool {
    let word = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
    let starts = name.first().is_some_and(|first| !first.is_ascii_digit());
    starts && name.len() <= 32 && name.iter().all(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By the reader for PCRE alone.
    fn by_pcre(pattern: &str) -> bool {
        Reader::new(pattern).pattern().is_some()
    }

    #[test]
    fn beside_13_what_pcre_compiles() {
        for good in [
            "",
            "{vault://env/x}",
            "a{,3}",
            "a{x}",
            "{",
            "a{2,}+",
            "a{2}?",
            "a(?#comment)*",
            "a\\E+",
            "]",
            "}",
            "(?=a)b",
            "(?<!a)b",
            "(?<n>a)\\k<n>",
            "(?P<n>a)(?P=n)",
            "(a)\\1",
            "(?i:a)b(?x) # all of it is a comment (",
            "(?>a+)",
            "a++",
            "\\Qa(b\\Ec",
            "[[:alpha:]-]",
            "[]a]",
            "[^]a]",
            "[a-z\\d-]",
            "[\\w.-]+",
            "(?(1)a|b)(c)",
            "(?|a|b)",
            "(?R)",
            "(?1)(a)",
            "\\p{Lu}\\pL\\x{41}\\x41\\cA",
            "(*UTF)a",
            "^https?://[a-z0-9-]+\\.example\\.com(:\\d+)?$",
            "(curl)/(\\d+)\\.(\\d+)",
        ] {
            assert!(by_pcre(good), "{good}");
            assert!(is_valid(good), "{good}");
        }
        for bad in [
            "^*",
            "$+",
            "\\b{2}",
            "\\E*",
            "(",
            ")",
            "a)",
            "(?",
            "(?z)",
            "*",
            "+a",
            "a|*",
            "(*",
            "a**",
            "a{3,2}",
            "a{70000}",
            "[",
            "[a",
            "[z-a]",
            "[[:foo:]]",
            "\\",
            "a\\",
            "\\j",
            "(?<1>a)",
            "(?<n>a",
            "\\k<n>",
            "(?P=n)",
            "\\2(a)",
            "(?(a",
        ] {
            assert!(!by_pcre(bad), "{bad}");
        }
        assert!(!is_valid("("));
        assert!(!is_valid("*"));
        assert!(!is_valid("[a"));
        // Nesting is limited, and the stack is not used up.
        assert!(!by_pcre(&"(".repeat(100_000)));
        assert!(!is_valid(&"a".repeat(100_000)));
        assert!(by_pcre(&format!("{}a{}", "(".repeat(250), ")".repeat(250))));
    }
}
