//! The texts of configured functions, and whether they are Lua.

use mlua::{ChunkMode, Lua, LuaOptions, StdLib};
use std::sync::atomic::{AtomicU64, Ordering};

static NUMBERS: AtomicU64 = AtomicU64::new(0);

/// Functions that run one after the other.
#[derive(Debug)]
pub struct Functions {
    /// Unique in this process: by it workers find what they have compiled.
    pub number: u64,
    pub texts: Vec<String>,
}

impl Functions {
    /// # Errors
    /// What is not Lua, with its line.
    pub fn new(texts: Vec<String>) -> Result<Functions, String> {
        let checker =
            Lua::new_with(StdLib::NONE, LuaOptions::new()).map_err(|error| error.to_string())?;
        for text in &texts {
            check(&checker, text)?;
        }
        Ok(Functions {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            texts,
        })
    }

    pub fn mentions(&self, name: &str) -> bool {
        self.texts.iter().any(|text| text.contains(name))
    }
}

fn check(checker: &Lua, text: &str) -> Result<(), String> {
    let chunk = checker.load(text).set_name(text).set_mode(ChunkMode::Text);
    chunk
        .into_function()
        .map(drop)
        .map_err(|error| match error {
            mlua::Error::SyntaxError { message, .. } => message,
            other => other.to_string(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_lua_is_refused_with_its_line() {
        let check = |text: &str, expected: Result<(), &str>| {
            let result = Functions::new(vec![text.to_owned()]).map(drop);
            assert_eq!(result, expected.map_err(str::to_owned), "{text}");
        };
        check("return 1", Ok(()));
        check("-- nothing", Ok(()));
        check("local i=0 ::top:: i=i+1 if i<3 then goto top end", Ok(()));
        check(
            "this is not lua",
            Err("[string \"this is not lua\"]:1: '=' expected near 'is'"),
        );
        check(
            "local x = 1\nend",
            Err("[string \"local x = 1...\"]:2: '<eof>' expected near 'end'"),
        );
    }
}
