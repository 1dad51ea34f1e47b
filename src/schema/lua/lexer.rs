//! The tokens of Lua as LuaJIT 2.1 reads them.

use super::SyntaxError;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'s> {
    /// An operator or bracket of one character, and any character that nothing begins with.
    Char(u8),
    /// A reserved word, or an operator of several characters.
    Word(&'static str),
    Name(&'s [u8]),
    Text,
    Number,
    End,
}

const RESERVED: [&str; 22] = [
    "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if", "in",
    "local", "nil", "not", "or", "repeat", "return", "then", "true", "until", "while",
];

pub(super) struct Lexer<'s> {
    source: &'s [u8],
    at: usize,
    pub line: u32,
    /// What the last token with a text of its own looks like, escapes resolved.
    text: Vec<u8>,
}

impl<'s> Lexer<'s> {
    pub fn new(source: &'s [u8]) -> Lexer<'s> {
        let mut lexer = Lexer {
            source: source.strip_prefix(b"\xef\xbb\xbf").unwrap_or(source),
            at: 0,
            line: 1,
            text: Vec::new(),
        };
        // `#!` of a script.
        if lexer.byte() == Some(b'#') {
            while lexer.byte().is_some_and(|byte| !is_newline(byte)) {
                lexer.at += 1;
            }
            lexer.newline();
        }
        lexer
    }

    fn byte(&self) -> Option<u8> {
        self.source.get(self.at).copied()
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.source.get(self.at + ahead).copied()
    }

    /// Takes the current byte into the token's text.
    fn save(&mut self) {
        self.text.extend(self.byte());
        self.at += 1;
    }

    /// Two different characters of a line end are one.
    fn newline(&mut self) {
        let Some(first) = self.byte() else { return };
        self.at += 1;
        if self.byte().is_some_and(|b| is_newline(b) && b != first) {
            self.at += 1;
        }
        self.line += 1;
    }

    /// An error at a token, which the message names.
    pub fn error_at(&self, token: Token<'_>, text: impl Into<String>) -> SyntaxError {
        let near = match token {
            Token::Char(byte) if byte.is_ascii_control() => format!("char({byte})"),
            Token::Char(byte) => String::from_utf8_lossy(&[byte]).into_owned(),
            Token::Word(word) => word.to_owned(),
            Token::Name(_) | Token::Text | Token::Number => {
                let end = self.text.iter().position(|byte| *byte == 0);
                let shown = &self.text[..end.unwrap_or(self.text.len())];
                String::from_utf8_lossy(shown).into_owned()
            }
            Token::End => "<eof>".to_owned(),
        };
        SyntaxError {
            line: self.line,
            text: format!("{} near '{near}'", text.into()),
        }
    }

    /// An error that no token is to blame for.
    pub fn error(&self, text: impl Into<String>) -> SyntaxError {
        SyntaxError {
            line: self.line,
            text: text.into(),
        }
    }

    pub fn next(&mut self) -> Result<Token<'s>, SyntaxError> {
        self.text.clear();
        loop {
            let Some(byte) = self.byte() else {
                return Ok(Token::End);
            };
            let two = |lexer: &mut Self, second: u8, word: &'static str| {
                lexer.at += 1;
                if lexer.byte() != Some(second) {
                    return Token::Char(byte);
                }
                lexer.at += 1;
                Token::Word(word)
            };
            return Ok(match byte {
                b'\n' | b'\r' => {
                    self.newline();
                    continue;
                }
                b' ' | b'\t' | 0x0b | 0x0c => {
                    self.at += 1;
                    continue;
                }
                b'0'..=b'9' => self.number()?,
                byte if is_word(byte) => self.name(),
                b'-' if self.peek(1) == Some(b'-') => {
                    self.at += 2;
                    self.comment()?;
                    continue;
                }
                b'[' => self.bracket()?,
                b'=' => two(self, b'=', "=="),
                b'<' => two(self, b'=', "<="),
                b'>' => two(self, b'=', ">="),
                b'~' => two(self, b'=', "~="),
                b':' => two(self, b':', "::"),
                b'"' | b'\'' => self.string(byte)?,
                b'.' => match (self.peek(1), self.peek(2)) {
                    (Some(b'.'), Some(b'.')) => {
                        self.at += 3;
                        Token::Word("...")
                    }
                    (Some(b'.'), _) => {
                        self.at += 2;
                        Token::Word("..")
                    }
                    (Some(b'0'..=b'9'), _) => self.number()?,
                    _ => {
                        self.at += 1;
                        Token::Char(b'.')
                    }
                },
                byte => {
                    self.at += 1;
                    Token::Char(byte)
                }
            });
        }
    }

    fn name(&mut self) -> Token<'s> {
        let start = self.at;
        while self.byte().is_some_and(is_word) {
            self.at += 1;
        }
        let name = &self.source[start..self.at];
        self.text.extend_from_slice(name);
        let reserved = RESERVED.iter().find(|word| word.as_bytes() == name);
        reserved.map_or(Token::Name(name), |word| Token::Word(word))
    }

    /// After the two dashes.
    fn comment(&mut self) -> Result<(), SyntaxError> {
        if self.byte() == Some(b'[')
            && let Some(level) = self.long_bracket()
        {
            self.long_text(level, "unfinished long comment")?;
            self.text.clear();
            return Ok(());
        }
        while self.byte().is_some_and(|byte| !is_newline(byte)) {
            self.at += 1;
        }
        self.text.clear();
        Ok(())
    }

    fn bracket(&mut self) -> Result<Token<'s>, SyntaxError> {
        match self.long_bracket() {
            Some(level) => {
                self.long_text(level, "unfinished long string")?;
                Ok(Token::Text)
            }
            None if self.text.len() == 1 => Ok(Token::Char(b'[')),
            None => Err(self.error_at(Token::Text, "invalid long string delimiter")),
        }
    }

    /// Takes `[==[`, up to the second bracket; how many signs are in it. None when it is another
    /// text, of which the bracket and the signs are taken.
    fn long_bracket(&mut self) -> Option<usize> {
        self.save();
        while self.byte() == Some(b'=') {
            self.save();
        }
        (self.byte() == Some(b'[')).then(|| self.text.len() - 1)
    }

    fn long_text(&mut self, level: usize, unfinished: &str) -> Result<(), SyntaxError> {
        self.save();
        loop {
            match self.byte() {
                None => return Err(self.error_at(Token::End, unfinished)),
                Some(b']') => {
                    self.save();
                    let start = self.at;
                    while self.byte() == Some(b'=') {
                        self.save();
                    }
                    if self.byte() == Some(b']') && self.at - start == level {
                        self.save();
                        return Ok(());
                    }
                }
                Some(byte) if is_newline(byte) => {
                    self.text.push(b'\n');
                    self.newline();
                }
                Some(_) => self.save(),
            }
        }
    }

    /// Digits, letters and dots, with the sign of an exponent; then whether that is a number.
    fn number(&mut self) -> Result<Token<'s>, SyntaxError> {
        let hexadecimal = self.byte() == Some(b'0') && matches!(self.peek(1), Some(b'x' | b'X'));
        let exponent = if hexadecimal { b'p' } else { b'e' };
        let mut before = 0;
        while let Some(byte) = self.byte() {
            let signs = (byte == b'-' || byte == b'+') && (before | 0x20) == exponent;
            if !is_word(byte) && byte != b'.' && !signs {
                break;
            }
            before = byte;
            self.save();
        }
        match is_number(&self.text) {
            true => Ok(Token::Number),
            false => Err(self.error_at(Token::Number, "malformed number")),
        }
    }

    fn string(&mut self, quote: u8) -> Result<Token<'s>, SyntaxError> {
        self.save();
        loop {
            match self.byte() {
                None => return Err(self.error_at(Token::End, "unfinished string")),
                Some(byte) if byte == quote => {
                    self.save();
                    return Ok(Token::Text);
                }
                Some(byte) if is_newline(byte) => {
                    return Err(self.error_at(Token::Text, "unfinished string"));
                }
                Some(b'\\') => {
                    self.at += 1;
                    if self.escape().is_none() {
                        return Err(self.error_at(Token::Text, "invalid escape sequence"));
                    }
                }
                Some(_) => self.save(),
            }
        }
    }

    /// After a backslash. None when nothing begins so.
    fn escape(&mut self) -> Option<()> {
        // The end of the text is an unfinished string.
        let Some(byte) = self.byte() else {
            return Some(());
        };
        let single = match byte {
            b'a' => 0x07,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 0x0b,
            b'\\' | b'"' | b'\'' => byte,
            b'\n' | b'\r' => {
                self.text.push(b'\n');
                self.newline();
                return Some(());
            }
            b'z' => {
                self.at += 1;
                while let Some(space) = self.byte() {
                    match space {
                        b'\n' | b'\r' => self.newline(),
                        b' ' | b'\t' | 0x0b | 0x0c => self.at += 1,
                        _ => break,
                    }
                }
                return Some(());
            }
            b'x' => {
                self.at += 1;
                let high = self.hexadecimal()?;
                let low = self.hexadecimal()?;
                self.text.push((high * 16 + low) as u8);
                return Some(());
            }
            b'u' => return self.unicode(),
            b'0'..=b'9' => {
                let mut code = 0;
                for _ in 0..3 {
                    let Some(digit) = self.byte().filter(u8::is_ascii_digit) else {
                        break;
                    };
                    code = code * 10 + u32::from(digit - b'0');
                    self.at += 1;
                }
                self.text.push(u8::try_from(code).ok()?);
                return Some(());
            }
            _ => return None,
        };
        self.text.push(single);
        self.at += 1;
        Some(())
    }

    fn hexadecimal(&mut self) -> Option<u32> {
        let digit = char::from(self.byte()?).to_digit(16)?;
        self.at += 1;
        Some(digit)
    }

    /// `{XXX}` after `\u`: a code point.
    fn unicode(&mut self) -> Option<()> {
        self.at += 1;
        if self.byte() != Some(b'{') {
            return None;
        }
        self.at += 1;
        let mut code = 0;
        loop {
            code = code * 16 + self.hexadecimal()?;
            if code > 0x10_ffff {
                return None;
            }
            if self.byte() == Some(b'}') {
                break;
            }
        }
        self.at += 1;
        let mut buffer = [0; 4];
        let encoded = char::from_u32(code)?.encode_utf8(&mut buffer);
        self.text.extend_from_slice(encoded.as_bytes());
        Some(())
    }
}

/// Of a name; LuaJIT takes any byte beyond ASCII.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

fn is_newline(byte: u8) -> bool {
    byte == b'\n' || byte == b'\r'
}

/// Decimal, `0x` or `0b`, with LuaJIT's suffixes for 64 bits (`LL`, `ULL`) and imaginary (`i`).
fn is_number(text: &[u8]) -> bool {
    let lower = text.to_ascii_lowercase();
    let (imaginary, body) = match lower.strip_suffix(b"i") {
        Some(body) => (true, body),
        None => (false, &*lower),
    };
    let long = body
        .strip_suffix(b"ull")
        .or_else(|| body.strip_suffix(b"ll"));
    if let (Some(digits), false) = (long, imaginary) {
        return match digits {
            [b'0', b'x', hex @ ..] => !hex.is_empty() && hex.iter().all(u8::is_ascii_hexdigit),
            [b'0', b'b', binary @ ..] => is_binary(binary),
            digits => !digits.is_empty() && digits.iter().all(u8::is_ascii_digit),
        };
    }
    match body {
        [b'0', b'x', rest @ ..] => has_mantissa(rest, b'p', u8::is_ascii_hexdigit),
        [b'0', b'b', binary @ ..] => is_binary(binary),
        body => has_mantissa(body, b'e', u8::is_ascii_digit),
    }
}

fn is_binary(digits: &[u8]) -> bool {
    !digits.is_empty() && digits.iter().all(|b| matches!(b, b'0' | b'1'))
}

/// Digits with at most one dot, and an exponent or none.
fn has_mantissa(text: &[u8], exponent: u8, is_digit: impl Fn(&u8) -> bool) -> bool {
    let (mantissa, power) = match text.iter().position(|byte| *byte == exponent) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let dots = mantissa.iter().filter(|byte| **byte == b'.').count();
    let digits = mantissa.iter().filter(|byte| is_digit(byte)).count();
    let whole = dots <= 1 && digits >= 1 && dots + digits == mantissa.len();
    whole
        && power.is_none_or(|power| {
            let unsigned = match power {
                [b'+' | b'-', rest @ ..] => rest,
                power => power,
            };
            !unsigned.is_empty() && unsigned.iter().all(u8::is_ascii_digit)
        })
}
