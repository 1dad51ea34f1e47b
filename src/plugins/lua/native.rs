//! Functions of Rust that Lua calls: their names, the phases they may be called in, their arguments.

use super::call::{Call, with_current};
use super::phase::{self, ANY};
use mlua::{Lua, MultiValue, Table, Value};

/// What a function gives back, or the text of the error that its caller gets.
pub type Given = Result<MultiValue, String>;

type Run = fn(&mut Call<'_, '_>, &Lua, &Args) -> Given;

/// One function of the PDK or of `ngx`.
#[derive(Clone, Copy)]
pub struct Native {
    /// Where Lua finds it. What begins with `hidden.` is for the prelude alone.
    pub name: &'static str,
    /// The phases that it may be called in.
    pub phases: u16,
    pub run: Run,
}

impl Native {
    pub const fn any(name: &'static str, run: Run) -> Native {
        Native::only(name, ANY, run)
    }

    pub const fn only(name: &'static str, phases: u16, run: Run) -> Native {
        Native { name, phases, run }
    }

    /// Makes the function in a state. `raise` is what stands before the text of an error.
    pub fn make(self, lua: &Lua, raise: &Table) -> mlua::Result<mlua::Function> {
        let raise = raise.clone();
        lua.create_function(move |lua, values: MultiValue| {
            let given = with_current(|call| {
                if self.phases != ANY
                    && let Some(refusal) = phase::refusal(self.name, self.phases, call.phase)
                {
                    return Err(refusal);
                }
                (self.run)(call, lua, &Args(values.into_iter().collect()))
            });
            let none = || Err(format!("{}: no request is at work", self.name));
            match given.unwrap_or_else(none) {
                Ok(given) => Ok(given),
                Err(message) => {
                    let message = lua.create_string(&message)?;
                    Ok(MultiValue::from_iter([
                        Value::Table(raise.clone()),
                        Value::String(message),
                    ]))
                }
            }
        })
    }
}

/// The arguments of a call.
pub struct Args(Vec<Value>);

impl Args {
    pub fn all(&self) -> &[Value] {
        &self.0
    }

    pub fn get(&self, index: usize) -> &Value {
        self.0.get(index).unwrap_or(&Value::Nil)
    }

    pub fn is_nil(&self, index: usize) -> bool {
        self.get(index).is_nil()
    }

    pub fn table(&self, index: usize) -> Option<&Table> {
        self.get(index).as_table()
    }

    pub fn number(&self, index: usize) -> Option<f64> {
        number(self.get(index))
    }

    pub fn boolean(&self, index: usize) -> Option<bool> {
        self.get(index).as_boolean()
    }

    /// A string, not a number.
    pub fn string(&self, index: usize) -> Option<Vec<u8>> {
        match self.get(index) {
            Value::String(text) => Some(text.as_bytes().to_vec()),
            _ => None,
        }
    }

    /// A string, or the error that says what must be one.
    pub fn needed(&self, index: usize, what: &str) -> Result<String, String> {
        let text = self
            .string(index)
            .ok_or_else(|| format!("{what} must be a string"));
        Ok(String::from_utf8_lossy(&text?).into_owned())
    }

    /// What functions of `ngx` take for a string: numbers too, nil and booleans by name.
    pub fn shown(&self, index: usize) -> Vec<u8> {
        shown(self.get(index))
    }
}

pub fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(number) => Some(*number as f64),
        Value::Number(number) => Some(*number),
        _ => None,
    }
}

/// A value as `tostring` shows it.
pub fn shown(value: &Value) -> Vec<u8> {
    match value {
        Value::Nil => b"nil".to_vec(),
        Value::Boolean(value) => value.to_string().into_bytes(),
        Value::String(text) => text.as_bytes().to_vec(),
        Value::Integer(_) | Value::Number(_) => {
            super::number::text(number(value).unwrap_or_default()).into_bytes()
        }
        Value::LightUserData(null) if null.0.is_null() => b"userdata: NULL".to_vec(),
        other => format!("{}: {:p}", other.type_name(), other.to_pointer()).into_bytes(),
    }
}

/// Nothing.
pub fn nothing() -> Given {
    Ok(MultiValue::new())
}

pub fn one(value: Value) -> Given {
    Ok(MultiValue::from_iter([value]))
}

pub fn nil() -> Given {
    one(Value::Nil)
}

pub fn many<const N: usize>(values: [Value; N]) -> Given {
    Ok(MultiValue::from_iter(values))
}

pub fn boolean(value: bool) -> Given {
    one(Value::Boolean(value))
}

pub fn bytes(lua: &Lua, text: impl AsRef<[u8]>) -> Result<Value, String> {
    lua.create_string(text).map(Value::String).map_err(told)
}

pub fn text(lua: &Lua, value: impl AsRef<[u8]>) -> Given {
    one(bytes(lua, value)?)
}

pub fn maybe(lua: &Lua, value: Option<impl AsRef<[u8]>>) -> Given {
    match value {
        Some(value) => text(lua, value),
        None => nil(),
    }
}

/// Nothing, and why.
pub fn refused(lua: &Lua, message: impl AsRef<[u8]>) -> Given {
    many([Value::Nil, bytes(lua, message)?])
}

/// The text of an error that is no fault of the caller's.
pub fn told(error: mlua::Error) -> String {
    error.to_string()
}
