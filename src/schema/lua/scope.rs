//! What a function knows while it is read: its variables, its blocks, its labels and gotos.

use std::collections::{HashMap, HashSet};

/// The name under which a `break` waits for its loop: a reserved word, so no label has it.
pub(super) const BREAK: &[u8] = b"break";

/// One function, the main one included.
pub(super) struct Function<'s> {
    /// Where it begins; zero for the main function.
    pub line: u32,
    pub takes_varargs: bool,
    /// The active local variables, with a number that no other variable has. The hidden ones of a
    /// loop have no name.
    pub locals: Vec<(&'s [u8], u64)>,
    /// The variables of outer functions that it uses.
    pub upvalues: HashSet<u64>,
    pub blocks: Vec<Block<'s>>,
    pub gotos: Vec<Goto<'s>>,
    /// The places in `gotos` that wait for a label of that name.
    waiting: HashMap<&'s [u8], Vec<usize>>,
}

pub(super) struct Block<'s> {
    pub is_loop: bool,
    /// How many local variables were active before it.
    pub locals: usize,
    first_goto: usize,
    labels: HashSet<&'s [u8]>,
}

pub(super) struct Goto<'s> {
    pub name: &'s [u8],
    pub line: u32,
    /// How many local variables were active; those of blocks that have ended do not count.
    locals: usize,
    found: bool,
}

impl<'s> Function<'s> {
    pub fn new(line: u32) -> Function<'s> {
        Function {
            line,
            takes_varargs: line == 0,
            locals: Vec::new(),
            upvalues: HashSet::new(),
            blocks: Vec::new(),
            gotos: Vec::new(),
            waiting: HashMap::new(),
        }
    }

    pub fn begin(&mut self, is_loop: bool) {
        self.blocks.push(Block {
            is_loop,
            locals: self.locals.len(),
            first_goto: self.gotos.len(),
            labels: HashSet::new(),
        });
    }

    pub fn goto(&mut self, name: &'s [u8], line: u32) {
        let waiting = self.waiting.entry(name).or_default();
        waiting.push(self.gotos.len());
        self.gotos.push(Goto {
            name,
            line,
            locals: self.locals.len(),
            found: false,
        });
    }

    /// Whether the label is new in the innermost block.
    pub fn add_label(&mut self, name: &'s [u8]) -> bool {
        self.blocks
            .last_mut()
            .is_none_or(|block| block.labels.insert(name))
    }

    /// Lets the gotos of the innermost block that wait for a label find it. `locals` is how many
    /// variables are active there.
    ///
    /// # Errors
    /// The place of a goto that would jump into the scope of a variable, and the variable's.
    pub fn found(&mut self, name: &[u8], locals: usize) -> Result<(), (usize, usize)> {
        let first = self.blocks.last().map_or(0, |block| block.first_goto);
        let Some(waiting) = self.waiting.get_mut(name) else {
            return Ok(());
        };
        while let Some(at) = waiting.pop_if(|at| *at >= first) {
            let goto = &mut self.gotos[at];
            if goto.locals < locals {
                return Err((at, goto.locals));
            }
            goto.found = true;
        }
        Ok(())
    }

    /// Ends the innermost block and forgets its variables, which the caller gets.
    ///
    /// # Errors
    /// The place of the first goto that the outermost block leaves without a label.
    pub fn end(&mut self) -> Result<Vec<(&'s [u8], u64)>, usize> {
        let Some(block) = self.blocks.pop() else {
            return Ok(Vec::new());
        };
        for label in &block.labels {
            let waiting = self.waiting.get_mut(label).into_iter();
            for at in waiting.flat_map(|waiting| {
                let from = waiting.partition_point(|at| *at < block.first_goto);
                waiting.drain(from..)
            }) {
                self.gotos[at].found = true;
            }
        }
        let is_outermost = self.blocks.is_empty();
        for (at, goto) in self.gotos.iter_mut().enumerate().skip(block.first_goto) {
            if !goto.found && is_outermost {
                return Err(at);
            }
            goto.locals = goto.locals.min(block.locals);
        }
        Ok(self.locals.split_off(block.locals))
    }
}
