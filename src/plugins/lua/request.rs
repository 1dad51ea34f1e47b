//! What Lua keeps of one request: for one plugin instance, and for all of them.

use super::engine::Engine;
use super::turn::Turn;
use mlua::Table;
use std::rc::Rc;

/// Tables that belong to one state. When the state is replaced, they begin anew.
#[derive(Default)]
pub struct Tables {
    engine: Option<Rc<Engine>>,
    table: Option<Table>,
}

impl Tables {
    /// The table, empty at first.
    pub fn get(&mut self, engine: &Rc<Engine>) -> mlua::Result<Table> {
        if let (Some(kept), Some(table)) = (&self.engine, &self.table)
            && Rc::ptr_eq(kept, engine)
        {
            return Ok(table.clone());
        }
        let table = engine.lua().create_table()?;
        self.set(engine, table.clone());
        Ok(table)
    }

    pub fn set(&mut self, engine: &Rc<Engine>, table: Table) {
        self.table = Some(table);
        self.engine = Some(Rc::clone(engine));
    }
}

impl Drop for Tables {
    fn drop(&mut self) {
        // A table must go before the state that it belongs to.
        self.table = None;
    }
}

/// What one plugin instance keeps of a request.
#[derive(Default)]
pub struct LuaRequest {
    /// `kong.ctx.plugin`.
    pub plugin: Tables,
    /// Functions of rewrite that wait.
    pub waiting: Option<Turn>,
    /// What takes the place of the response's body.
    pub body: Option<bytes::Bytes>,
    /// The whole body, as far as it has come.
    pub collected: Vec<u8>,
    /// The body's end was told before its last piece.
    pub ended: bool,
}

/// What the functions of all instances share of a request.
#[derive(Default)]
pub struct SharedRequest {
    /// `kong.ctx.shared`.
    pub shared: Tables,
    /// `ngx.ctx`.
    pub ngx: Tables,
    /// The response was made by a function's `kong.response.exit`, or something like it.
    pub exited: bool,
    /// The whole response is wanted before it is sent on.
    pub buffering: bool,
    /// It, where it was wanted.
    pub buffered: Option<bytes::Bytes>,
}
