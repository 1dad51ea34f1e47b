//! The grammar, in the order in which LuaJIT looks, so that the same mistake is found first.

use super::SyntaxError;
use super::lexer::{Lexer, Token};
use super::scope::{BREAK, Function};
use std::collections::HashMap;

/// Statements and expressions in each other.
const MAX_LEVELS: usize = 200;
const MAX_LOCALS: usize = 200;
const MAX_UPVALUES: usize = 60;
/// Of `not`, `-` and `#`.
const UNARY_PRIORITY: u8 = 8;

type Parsed<T = ()> = Result<T, SyntaxError>;

/// What an expression before a `=` may be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Variable,
    Call,
    Value,
}

struct Parser<'s> {
    lexer: Lexer<'s>,
    token: Token<'s>,
    ahead: Option<Token<'s>>,
    /// Of the last token that was taken.
    line_before: u32,
    levels: usize,
    functions: Vec<Function<'s>>,
    /// The active variables of each name: the function, by its place, and the variable's number.
    variables: HashMap<&'s [u8], Vec<(usize, u64)>>,
    numbers: u64,
}

/// Reads a whole chunk.
pub(super) fn parse(source: &[u8]) -> Parsed {
    let mut parser = Parser {
        lexer: Lexer::new(source),
        token: Token::End,
        ahead: None,
        line_before: 1,
        levels: 0,
        functions: Vec::new(),
        variables: HashMap::new(),
        numbers: 0,
    };
    parser.functions.push(Function::new(0));
    parser.begin(false);
    parser.next()?;
    parser.chunk()?;
    if parser.token != Token::End {
        return Err(parser.expected(Token::End));
    }
    parser.end()
}

impl<'s> Parser<'s> {
    fn next(&mut self) -> Parsed {
        self.line_before = self.lexer.line;
        self.token = match self.ahead.take() {
            Some(token) => token,
            None => self.lexer.next()?,
        };
        Ok(())
    }

    fn look_ahead(&mut self) -> Parsed<Token<'s>> {
        let token = self.lexer.next()?;
        self.ahead = Some(token);
        Ok(token)
    }

    fn is(&self, token: Token<'_>) -> bool {
        self.token == token
    }

    fn is_char(&self, byte: u8) -> bool {
        self.is(Token::Char(byte))
    }

    fn take(&mut self, token: Token<'_>) -> Parsed<bool> {
        let found = self.is(token);
        if found {
            self.next()?;
        }
        Ok(found)
    }

    fn take_char(&mut self, byte: u8) -> Parsed<bool> {
        self.take(Token::Char(byte))
    }

    fn expect(&mut self, token: Token<'_>) -> Parsed {
        match self.take(token)? {
            true => Ok(()),
            false => Err(self.expected(token)),
        }
    }

    /// What `opened` on that line has to be closed by.
    fn close(&mut self, token: Token<'_>, opened: &str, line: u32) -> Parsed {
        if self.take(token)? {
            return Ok(());
        }
        Err(match line == self.lexer.line {
            true => self.expected(token),
            false => self.wrong(format!(
                "'{}' expected (to close '{opened}' at line {line})",
                name_of(token)
            )),
        })
    }

    fn wrong(&self, text: impl Into<String>) -> SyntaxError {
        self.lexer.error_at(self.token, text)
    }

    fn expected(&self, token: Token<'_>) -> SyntaxError {
        self.wrong(format!("'{}' expected", name_of(token)))
    }

    fn name(&mut self) -> Parsed<&'s [u8]> {
        match self.token {
            Token::Name(name) => {
                self.next()?;
                Ok(name)
            }
            _ => Err(self.expected(Token::Name(b""))),
        }
    }

    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        self.levels += 1;
        if self.levels >= MAX_LEVELS {
            return Err(self.lexer.error("chunk has too many syntax levels"));
        }
        let done = inner(self)?;
        self.levels -= 1;
        Ok(done)
    }

    fn too_many(&self, function: usize, limit: usize, what: &str) -> SyntaxError {
        let whose = match self.functions[function].line {
            0 => "main function".to_owned(),
            line => format!("function at line {line}"),
        };
        self.lexer
            .error(format!("{whose} has more than {limit} {what}"))
    }

    // Scopes.

    fn function(&mut self) -> &mut Function<'s> {
        let last = self.functions.len() - 1;
        &mut self.functions[last]
    }

    fn begin(&mut self, is_loop: bool) {
        self.function().begin(is_loop);
    }

    fn end(&mut self) -> Parsed {
        let function = self.function();
        if function.blocks.last().is_some_and(|block| block.is_loop) {
            // What leaves the loop lands behind it.
            let _ = function.found(BREAK, 0);
        }
        match function.end() {
            Ok(ended) => {
                for (name, _) in ended {
                    if let Some(active) = self.variables.get_mut(name) {
                        active.pop();
                    }
                }
                Ok(())
            }
            Err(at) => {
                let goto = &function.gotos[at];
                let text = match goto.name {
                    BREAK => "no loop to break".to_owned(),
                    name => format!("undefined label '{}'", String::from_utf8_lossy(name)),
                };
                Err(SyntaxError {
                    line: goto.line,
                    text,
                })
            }
        }
    }

    fn block(&mut self) -> Parsed {
        self.begin(false);
        self.chunk()?;
        self.end()
    }

    /// Whether that many variables more may be active; the names of a list count from zero.
    fn check_locals(&self, more: usize) -> Parsed {
        let last = self.functions.len() - 1;
        match self.functions[last].locals.len() + more >= MAX_LOCALS {
            true => Err(self.too_many(last, MAX_LOCALS, "local variables")),
            false => Ok(()),
        }
    }

    fn activate(&mut self, names: &[&'s [u8]]) {
        let owner = self.functions.len() - 1;
        for name in names {
            self.numbers += 1;
            let number = self.numbers;
            self.function().locals.push((name, number));
            self.variables
                .entry(name)
                .or_default()
                .push((owner, number));
        }
    }

    /// Uses a variable: each function between its owner and here keeps it.
    fn use_variable(&mut self, name: &[u8]) -> Parsed {
        let active = self.variables.get(name).and_then(|active| active.last());
        let Some((owner, number)) = active.copied() else {
            return Ok(());
        };
        for at in owner + 1..self.functions.len() {
            let upvalues = &mut self.functions[at].upvalues;
            if upvalues.insert(number) && upvalues.len() > MAX_UPVALUES {
                return Err(self.too_many(at, MAX_UPVALUES, "upvalues"));
            }
        }
        Ok(())
    }

    // Statements.

    fn is_at_end_of_block(&self) -> bool {
        matches!(
            self.token,
            Token::End | Token::Word("else" | "elseif" | "end" | "until")
        )
    }

    fn chunk(&mut self) -> Parsed {
        self.deeper(|parser| {
            let mut is_last = false;
            while !is_last && !parser.is_at_end_of_block() {
                is_last = parser.statement()?;
                parser.take_char(b';')?;
            }
            Ok(())
        })
    }

    /// Whether nothing may follow it in its block.
    fn statement(&mut self) -> Parsed<bool> {
        let line = self.lexer.line;
        let end = Token::Word("end");
        match self.token {
            Token::Word("if") => self.conditional(line)?,
            Token::Word("while") => {
                self.next()?;
                self.expression()?;
                self.begin(true);
                self.expect(Token::Word("do"))?;
                self.block()?;
                self.close(end, "while", line)?;
                self.end()?;
            }
            Token::Word("do") => {
                self.next()?;
                self.block()?;
                self.close(end, "do", line)?;
            }
            Token::Word("for") => self.for_loop(line)?,
            Token::Word("repeat") => {
                self.begin(true);
                self.begin(false);
                self.next()?;
                self.chunk()?;
                self.close(Token::Word("until"), "repeat", line)?;
                // The condition sees the variables of the body.
                self.expression()?;
                self.end()?;
                self.end()?;
            }
            Token::Word("function") => {
                self.next()?;
                let name = self.name()?;
                self.use_variable(name)?;
                while self.is_char(b'.') {
                    self.next()?;
                    self.name()?;
                }
                let is_method = self.take_char(b':')?;
                if is_method {
                    self.name()?;
                }
                self.body(is_method, line)?;
            }
            Token::Word("local") => {
                self.next()?;
                self.local()?;
            }
            Token::Word("return") => {
                self.next()?;
                if !self.is_at_end_of_block() && !self.is_char(b';') {
                    self.expressions()?;
                }
                return Ok(true);
            }
            Token::Word("break") => {
                self.next()?;
                let line = self.line_before;
                self.function().goto(BREAK, line);
            }
            Token::Char(b';') => self.next()?,
            Token::Word("::") => self.label()?,
            Token::Word("goto") => {
                self.next()?;
                let name = self.name()?;
                let line = self.line_before;
                self.function().goto(name, line);
            }
            _ => self.call_or_assignment()?,
        }
        Ok(false)
    }

    fn conditional(&mut self, line: u32) -> Parsed {
        loop {
            self.next()?;
            self.expression()?;
            self.expect(Token::Word("then"))?;
            self.block()?;
            if !self.is(Token::Word("elseif")) {
                break;
            }
        }
        if self.take(Token::Word("else"))? {
            self.block()?;
        }
        self.close(Token::Word("end"), "if", line)
    }

    fn for_loop(&mut self, line: u32) -> Parsed {
        self.begin(true);
        self.next()?;
        let mut names: Vec<&'s [u8]> = vec![b"", b"", b""];
        names.push(self.name()?);
        match self.token {
            Token::Char(b'=') => {
                self.next()?;
                self.expression()?;
                self.expect(Token::Char(b','))?;
                self.expression()?;
                if self.take_char(b',')? {
                    self.expression()?;
                }
            }
            Token::Char(b',') | Token::Word("in") => {
                while self.take_char(b',')? {
                    self.check_locals(names.len())?;
                    names.push(self.name()?);
                }
                self.expect(Token::Word("in"))?;
                self.expressions()?;
            }
            _ => return Err(self.wrong("'=' or 'in' expected")),
        }
        self.check_locals(names.len() - 1)?;
        self.activate(&names[..3]);
        self.expect(Token::Word("do"))?;
        self.begin(false);
        self.activate(&names[3..]);
        self.block()?;
        self.end()?;
        self.close(Token::Word("end"), "for", line)?;
        self.end()
    }

    fn local(&mut self) -> Parsed {
        if self.take(Token::Word("function"))? {
            let line = self.lexer.line;
            self.check_locals(0)?;
            let name = self.name()?;
            self.activate(&[name]);
            return self.body(false, line);
        }
        let mut names = Vec::new();
        loop {
            self.check_locals(names.len())?;
            names.push(self.name()?);
            if !self.take_char(b',')? {
                break;
            }
        }
        if self.take_char(b'=')? {
            self.expressions()?;
        }
        self.activate(&names);
        Ok(())
    }

    fn label(&mut self) -> Parsed {
        self.next()?;
        let name = self.name()?;
        if !self.function().add_label(name) {
            let text = format!("duplicate label '{}'", String::from_utf8_lossy(name));
            return Err(self.lexer.error(text));
        }
        let mut locals = self.function().locals.len();
        self.expect(Token::Word("::"))?;
        loop {
            match self.token {
                Token::Word("::") => self.deeper(Self::label)?,
                Token::Char(b';') => self.next()?,
                _ => break,
            }
        }
        if self.is_at_end_of_block() && !self.is(Token::Word("until")) {
            // At the end of a block nothing is in scope any more.
            let block = self.function().blocks.last().map(|block| block.locals);
            locals = block.unwrap_or_default();
        }
        let function = self.function();
        match function.found(name, locals) {
            Ok(()) => Ok(()),
            Err((at, variable)) => {
                let (variable, _) = function.locals[variable];
                Err(SyntaxError {
                    line: function.gotos[at].line,
                    text: format!(
                        "<goto {}> jumps into the scope of local '{}'",
                        String::from_utf8_lossy(name),
                        String::from_utf8_lossy(variable)
                    ),
                })
            }
        }
    }

    fn call_or_assignment(&mut self) -> Parsed {
        let mut kind = self.primary()?;
        if kind == Kind::Call {
            return Ok(());
        }
        let mut variables = 1;
        loop {
            if kind != Kind::Variable {
                return Err(self.wrong("syntax error"));
            }
            if !self.take_char(b',')? {
                break;
            }
            kind = self.primary()?;
            if self.levels + variables >= MAX_LEVELS {
                let last = self.functions.len() - 1;
                return Err(self.too_many(last, MAX_LEVELS, "variable names"));
            }
            variables += 1;
        }
        self.expect(Token::Char(b'='))?;
        self.expressions()
    }

    // Expressions.

    fn expressions(&mut self) -> Parsed {
        self.expression()?;
        while self.take_char(b',')? {
            self.expression()?;
        }
        Ok(())
    }

    fn expression(&mut self) -> Parsed {
        self.operators(0)
    }

    /// An expression of operators that bind closer than `limit`.
    fn operators(&mut self, limit: u8) -> Parsed {
        self.deeper(|parser| {
            match parser.token {
                Token::Word("not") | Token::Char(b'-' | b'#') => {
                    parser.next()?;
                    parser.operators(UNARY_PRIORITY)?;
                }
                _ => parser.simple()?,
            }
            while let Some((left, right)) = priorities(parser.token) {
                if left <= limit {
                    break;
                }
                parser.next()?;
                parser.operators(right)?;
            }
            Ok(())
        })
    }

    fn simple(&mut self) -> Parsed {
        match self.token {
            Token::Number | Token::Text | Token::Word("nil" | "true" | "false") => self.next(),
            Token::Word("...") => {
                if !self.function().takes_varargs {
                    return Err(self.wrong("cannot use '...' outside a vararg function"));
                }
                self.next()
            }
            Token::Char(b'{') => self.table(),
            Token::Word("function") => {
                self.next()?;
                let line = self.lexer.line;
                self.body(false, line)
            }
            _ => self.primary().map(|_| ()),
        }
    }

    fn primary(&mut self) -> Parsed<Kind> {
        let mut kind = match self.token {
            Token::Char(b'(') => {
                let line = self.lexer.line;
                self.next()?;
                self.expression()?;
                self.close(Token::Char(b')'), "(", line)?;
                Kind::Value
            }
            Token::Name(name) => {
                self.use_variable(name)?;
                self.next()?;
                Kind::Variable
            }
            _ => return Err(self.wrong("unexpected symbol")),
        };
        loop {
            kind = match self.token {
                Token::Char(b'.') => {
                    self.next()?;
                    self.name()?;
                    Kind::Variable
                }
                Token::Char(b'[') => {
                    self.index()?;
                    Kind::Variable
                }
                Token::Char(b':') => {
                    self.next()?;
                    self.name()?;
                    self.arguments()?;
                    Kind::Call
                }
                Token::Char(b'(' | b'{') | Token::Text => {
                    self.arguments()?;
                    Kind::Call
                }
                _ => return Ok(kind),
            };
        }
    }

    fn index(&mut self) -> Parsed {
        self.next()?;
        self.expression()?;
        self.expect(Token::Char(b']'))
    }

    fn arguments(&mut self) -> Parsed {
        let line = self.lexer.line;
        match self.token {
            Token::Char(b'(') => {
                self.next()?;
                if !self.is_char(b')') {
                    self.expressions()?;
                }
                self.close(Token::Char(b')'), "(", line)
            }
            Token::Char(b'{') => self.table(),
            Token::Text => self.next(),
            _ => Err(self.wrong("function arguments expected")),
        }
    }

    fn table(&mut self) -> Parsed {
        let line = self.lexer.line;
        self.expect(Token::Char(b'{'))?;
        while !self.is_char(b'}') {
            if self.is_char(b'[') {
                self.index()?;
                self.expect(Token::Char(b'='))?;
            } else if matches!(self.token, Token::Name(_))
                && self.look_ahead()? == Token::Char(b'=')
            {
                self.name()?;
                self.expect(Token::Char(b'='))?;
            }
            self.expression()?;
            if !self.take_char(b',')? && !self.take_char(b';')? {
                break;
            }
        }
        self.close(Token::Char(b'}'), "{", line)
    }

    /// Parameters and statements of a function that begins at `line`.
    fn body(&mut self, is_method: bool, line: u32) -> Parsed {
        self.functions.push(Function::new(line.max(1)));
        self.function().takes_varargs = false;
        self.begin(false);
        self.expect(Token::Char(b'('))?;
        let mut names: Vec<&'s [u8]> = Vec::new();
        if is_method {
            names.push(b"self");
        }
        if !self.is_char(b')') {
            loop {
                match self.token {
                    Token::Name(name) => {
                        self.check_locals(names.len())?;
                        self.next()?;
                        names.push(name);
                    }
                    Token::Word("...") => {
                        self.next()?;
                        self.function().takes_varargs = true;
                        break;
                    }
                    _ => return Err(self.wrong("<name> or '...' expected")),
                }
                if !self.take_char(b',')? {
                    break;
                }
            }
        }
        self.activate(&names);
        self.expect(Token::Char(b')'))?;
        self.chunk()?;
        if !self.is(Token::Word("end")) {
            return self.close(Token::Word("end"), "function", line);
        }
        self.end()?;
        self.functions.pop();
        self.next()
    }
}

/// How tightly an operator binds what stands left and right of it.
fn priorities(token: Token<'_>) -> Option<(u8, u8)> {
    Some(match token {
        Token::Char(b'+' | b'-') => (6, 6),
        Token::Char(b'*' | b'/' | b'%') => (7, 7),
        Token::Char(b'^') => (10, 9),
        Token::Word("..") => (5, 4),
        Token::Word("==" | "~=" | "<=" | ">=") | Token::Char(b'<' | b'>') => (3, 3),
        Token::Word("and") => (2, 2),
        Token::Word("or") => (1, 1),
        _ => return None,
    })
}

fn name_of(token: Token<'_>) -> String {
    match token {
        Token::Char(byte) => char::from(byte).to_string(),
        Token::Word(word) => word.to_owned(),
        Token::Name(_) => "<name>".to_owned(),
        Token::Text => "<string>".to_owned(),
        Token::Number => "<number>".to_owned(),
        Token::End => "<eof>".to_owned(),
    }
}
