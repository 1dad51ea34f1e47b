//! What LuaJIT 2.1 says, built as Kong builds it.

use super::*;

/// Sources that LuaJIT takes.
const GOOD: [&str; 32] = [
    "return",
    "return 1",
    "x = 1",
    "function f(a, ...) return ... end",
    "local function f(...) g(...) end",
    "return ...",
    "while a do break end",
    "do goto a end ::a::",
    "::a:: goto a",
    "x = \"\\u{41}\\u{20AC}\\z \n\\065\"",
    "x = [==[a]=]]==]",
    "--[==[ a ]] ]==] x = 1",
    "-- a",
    "#!/bin/lua\nx = 1",
    "x = 0x1p4 y = .5e-3 z = 3LL w = 2ULL v = 1i u = 0b101 t = 0xAp-1",
    "x = 1 .. 2",
    "x, y = 1",
    "a.b[\"c\"]:d \"e\" {f = 1, [g] = 2; 3}.h = 4",
    "é = 1 return é",
    "a.b()",
    "(\"a\"):b()",
    "return function() return 1 end",
    "x = {a = 1, b}",
    "x = 5 y = 6",
    "for k in pairs(t) do end",
    "return;",
    "x = 1;; y = 2",
    "while a do break; b() end",
    "f\n(1)",
    "while a do break x() end",
    "for i = 1, 2 do local x goto continue local y ::continue:: end",
    ";",
];

/// Sources with LuaJIT's message.
const BAD: [(&str, &str); 90] = [
    (
        "local a <const> = 1",
        "[string \"local a <const> = 1\"]:1: unexpected symbol near '<'",
    ),
    (
        "this is not lua",
        "[string \"this is not lua\"]:1: '=' expected near 'is'",
    ),
    (
        "kong.log(\"a\"",
        "[string \"kong.log(\"a\"\"]:1: ')' expected near '<eof>'",
    ),
    (
        "if a then",
        "[string \"if a then\"]:1: 'end' expected near '<eof>'",
    ),
    (
        "if a then b() else\n\nc() ",
        "[string \"if a then b() else...\"]:3: 'end' expected (to close 'if' at line 1) near '<eof>'",
    ),
    (
        "for i do end",
        "[string \"for i do end\"]:1: '=' or 'in' expected near 'do'",
    ),
    (
        "for i = 1 do end",
        "[string \"for i = 1 do end\"]:1: ',' expected near 'do'",
    ),
    (
        "for a, b of c do end",
        "[string \"for a, b of c do end\"]:1: 'in' expected near 'of'",
    ),
    (
        "while true do",
        "[string \"while true do\"]:1: 'end' expected near '<eof>'",
    ),
    (
        "repeat x() until",
        "[string \"repeat x() until\"]:1: unexpected symbol near '<eof>'",
    ),
    (
        "function f( return end",
        "[string \"function f( return end\"]:1: <name> or '...' expected near 'return'",
    ),
    (
        "function f(a) return ... end",
        "[string \"function f(a) return ... end\"]:1: cannot use '...' outside a vararg function near '...'",
    ),
    ("break", "[string \"break\"]:1: no loop to break"),
    ("goto a", "[string \"goto a\"]:1: undefined label 'a'"),
    (
        "goto a local b ::a:: print(b)",
        "[string \"goto a local b ::a:: print(b)\"]:1: <goto a> jumps into the scope of local 'b'",
    ),
    (
        "::a:: ::a::",
        "[string \"::a:: ::a::\"]:1: duplicate label 'a'",
    ),
    (
        "x = \"a",
        "[string \"x = \"a\"]:1: unfinished string near '<eof>'",
    ),
    (
        "x = \"a\nb\"",
        "[string \"x = \"a...\"]:1: unfinished string near '\"a'",
    ),
    (
        "x = \"\\q\"",
        "[string \"x = \"\\q\"\"]:1: invalid escape sequence near '\"'",
    ),
    (
        "x = \"\\x4\"",
        "[string \"x = \"\\x4\"\"]:1: invalid escape sequence near '\"'",
    ),
    (
        "x = \"\\300\"",
        "[string \"x = \"\\300\"\"]:1: invalid escape sequence near '\"'",
    ),
    (
        "x = \"\\u{110000}\"",
        "[string \"x = \"\\u{110000}\"\"]:1: invalid escape sequence near '\"'",
    ),
    (
        "x = [[a",
        "[string \"x = [[a\"]:1: unfinished long string near '<eof>'",
    ),
    (
        "x = [=a",
        "[string \"x = [=a\"]:1: invalid long string delimiter near '[='",
    ),
    (
        "--[[ a",
        "[string \"--[[ a\"]:1: unfinished long comment near '<eof>'",
    ),
    (
        "x = 1z",
        "[string \"x = 1z\"]:1: malformed number near '1z'",
    ),
    (
        "x = 0x",
        "[string \"x = 0x\"]:1: malformed number near '0x'",
    ),
    (
        "x = 1..2",
        "[string \"x = 1..2\"]:1: malformed number near '1..2'",
    ),
    (
        "x = 3.4.5",
        "[string \"x = 3.4.5\"]:1: malformed number near '3.4.5'",
    ),
    (
        "f() = 1",
        "[string \"f() = 1\"]:1: unexpected symbol near '='",
    ),
    ("(a) = 1", "[string \"(a) = 1\"]:1: syntax error near '='"),
    (
        "a, f() = 1, 2",
        "[string \"a, f() = 1, 2\"]:1: syntax error near '='",
    ),
    (
        "a:b",
        "[string \"a:b\"]:1: function arguments expected near '<eof>'",
    ),
    ("a.1", "[string \"a.1\"]:1: '=' expected near '.1'"),
    ("a b", "[string \"a b\"]:1: '=' expected near 'b'"),
    ("f(", "[string \"f(\"]:1: unexpected symbol near '<eof>'"),
    ("f(a,)", "[string \"f(a,)\"]:1: unexpected symbol near ')'"),
    (
        "x = {1, 2",
        "[string \"x = {1, 2\"]:1: '}' expected near '<eof>'",
    ),
    (
        "x = {[1] 2}",
        "[string \"x = {[1] 2}\"]:1: '=' expected near '2'",
    ),
    (
        "x = a.",
        "[string \"x = a.\"]:1: '<name>' expected near '<eof>'",
    ),
    (
        "x = -",
        "[string \"x = -\"]:1: unexpected symbol near '<eof>'",
    ),
    (
        "x = not",
        "[string \"x = not\"]:1: unexpected symbol near '<eof>'",
    ),
    (
        "x = a ..",
        "[string \"x = a ..\"]:1: unexpected symbol near '<eof>'",
    ),
    (
        "x = a and or b",
        "[string \"x = a and or b\"]:1: unexpected symbol near 'or'",
    ),
    ("end", "[string \"end\"]:1: '<eof>' expected near 'end'"),
    (
        "x = function() end)",
        "[string \"x = function() end)\"]:1: unexpected symbol near ')'",
    ),
    (
        "x = 1 )",
        "[string \"x = 1 )\"]:1: unexpected symbol near ')'",
    ),
    ("@", ":1: unexpected symbol near '@'"),
    (
        "x = a @ b",
        "[string \"x = a @ b\"]:1: unexpected symbol near '@'",
    ),
    (
        "x = \u{1}",
        "[string \"x = ...\"]:1: unexpected symbol near 'char(1)'",
    ),
    (
        "local 1",
        "[string \"local 1\"]:1: '<name>' expected near '1'",
    ),
    (
        "local a, = 1",
        "[string \"local a, = 1\"]:1: '<name>' expected near '='",
    ),
    (
        "local a =",
        "[string \"local a =\"]:1: unexpected symbol near '<eof>'",
    ),
    (
        "function a.b:c.d() end",
        "[string \"function a.b:c.d() end\"]:1: '(' expected near '.'",
    ),
    (
        "function 1() end",
        "[string \"function 1() end\"]:1: '<name>' expected near '1'",
    ),
    (
        "if a = 1 then end",
        "[string \"if a = 1 then end\"]:1: 'then' expected near '='",
    ),
    (
        "return 1,",
        "[string \"return 1,\"]:1: unexpected symbol near '<eof>'",
    ),
    (
        "return return",
        "[string \"return return\"]:1: unexpected symbol near 'return'",
    ),
    (
        "x = a ~ b",
        "[string \"x = a ~ b\"]:1: unexpected symbol near '~'",
    ),
    ("x != y", "[string \"x != y\"]:1: '=' expected near '!'"),
    (
        "x = a // b",
        "[string \"x = a // b\"]:1: unexpected symbol near '/'",
    ),
    (
        "x = a & b",
        "[string \"x = a & b\"]:1: unexpected symbol near '&'",
    ),
    (
        "x = \"é",
        "[string \"x = \"é\"]:1: unfinished string near '<eof>'",
    ),
    ("=a b", "a b:1: unexpected symbol near '='"),
    ("@a b", "a b:1: unexpected symbol near '@'"),
    (
        "long_name_of_a_function_that_goes_on_and_on_for_more_than_that x",
        "[string \"long_name_of_a_function_that_goes_on_and_on_f...\"]:1: '=' expected near 'x'",
    ),
    (
        "x = (\n1",
        "[string \"x = (...\"]:2: ')' expected (to close '(' at line 1) near '<eof>'",
    ),
    (
        "f(\n1",
        "[string \"f(...\"]:2: ')' expected (to close '(' at line 1) near '<eof>'",
    ),
    (
        "do\nx = 1",
        "[string \"do...\"]:2: 'end' expected (to close 'do' at line 1) near '<eof>'",
    ),
    (
        "while a do\n\n",
        "[string \"while a do...\"]:3: 'end' expected (to close 'while' at line 1) near '<eof>'",
    ),
    (
        "repeat\n",
        "[string \"repeat...\"]:2: 'until' expected (to close 'repeat' at line 1) near '<eof>'",
    ),
    (
        "function f()\n\n",
        "[string \"function f()...\"]:3: 'end' expected (to close 'function' at line 1) near '<eof>'",
    ),
    ("{}", "[string \"{}\"]:1: unexpected symbol near '{'"),
    ("a.b", "[string \"a.b\"]:1: '=' expected near '<eof>'"),
    (
        "\"a\":b()",
        "[string \"\"a\":b()\"]:1: unexpected symbol near '\"a\"'",
    ),
    (
        "local function a.b() end",
        "[string \"local function a.b() end\"]:1: '(' expected near '.'",
    ),
    (
        "goto 1",
        "[string \"goto 1\"]:1: '<name>' expected near '1'",
    ),
    ("::a", "[string \"::a\"]:1: '::' expected near '<eof>'"),
    (
        "elseif",
        "[string \"elseif\"]:1: '<eof>' expected near 'elseif'",
    ),
    (
        "x = function(a,) end",
        "[string \"x = function(a,) end\"]:1: <name> or '...' expected near ')'",
    ),
    (
        "x = function(..., a) end",
        "[string \"x = function(..., a) end\"]:1: ')' expected near ','",
    ),
    (
        "local ...",
        "[string \"local ...\"]:1: '<name>' expected near '...'",
    ),
    (
        "for 1 = 1, 2 do end",
        "[string \"for 1 = 1, 2 do end\"]:1: '<name>' expected near '1'",
    ),
    (
        "x = nil.y",
        "[string \"x = nil.y\"]:1: unexpected symbol near '.'",
    ),
    (
        "return 1; x = 2",
        "[string \"return 1; x = 2\"]:1: '<eof>' expected near 'x'",
    ),
    (
        "local goto = 1",
        "[string \"local goto = 1\"]:1: '<name>' expected near 'goto'",
    ),
    (
        "goto 1",
        "[string \"goto 1\"]:1: '<name>' expected near '1'",
    ),
    (
        "repeat local a goto c local b ::c:: until b",
        "[string \"repeat local a goto c local b ::c:: until b\"]:1: <goto c> jumps into the scope of local 'b'",
    ),
    (
        "do ::a:: end goto a",
        "[string \"do ::a:: end goto a\"]:1: undefined label 'a'",
    ),
    (
        "while a do local function f() break end end",
        "[string \"while a do local function f() break end end\"]:1: no loop to break",
    ),
];

#[test]
fn beside_15_what_luajit_takes() {
    for source in GOOD {
        assert_eq!(check(source), Ok(()), "{source}");
    }
}

#[test]
fn beside_15_what_luajit_refuses() {
    for (source, expected) in BAD {
        assert_eq!(check(source), Err(expected.to_owned()), "{source}");
    }
}

#[test]
fn limits() {
    let names = |count: usize| -> Vec<String> { (0..count).map(|at| format!("a{at}")).collect() };
    let locals = |count| format!("local {}", names(count).join(", "));
    assert_eq!(check(&locals(200)), Ok(()));
    let refused = |source: &str, expected: &str| {
        let found = check(source).expect_err(expected);
        assert!(found.ends_with(expected), "{found}");
    };
    refused(
        &locals(201),
        "main function has more than 200 local variables",
    );
    let upvalues = |count: usize| {
        let declared: String = names(count)
            .iter()
            .map(|name| format!("local {name}\n"))
            .collect();
        let used = names(count).join(" + ");
        format!("{declared}function f() return {used} end")
    };
    assert_eq!(check(&upvalues(60)), Ok(()));
    refused(
        &upvalues(61),
        "function at line 62 has more than 60 upvalues",
    );
    let nested = |depth: usize| format!("x = {}1{}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(check(&nested(150)), Ok(()));
    refused(&nested(100_000), ":1: chunk has too many syntax levels");
    refused(&"{".repeat(100_000), ":1: unexpected symbol near '{'");
    refused(
        &"function f() ".repeat(100_000),
        ":1: chunk has too many syntax levels",
    );
}

#[test]
fn what_is_long_is_read_once() {
    // Each of these is quadratic where somebody looks again from the start.
    let count = 200_000;
    for source in [
        "goto a ".repeat(count) + "::a::",
        "::a:: do goto a end ".to_owned() + &"do goto a end ".repeat(count),
        "x = 1 ".repeat(count),
        "--[[ ]] ".repeat(count),
        format!("x = {}1", "1 + ".repeat(count)),
        format!("f{}", "(1)".repeat(count)),
    ] {
        assert_eq!(check(&source), Ok(()));
    }
}

proptest::proptest! {
    /// Nothing panics, and what is refused has a line.
    #[test]
    fn any_text_is_read(source in ".{0,60}") {
        let _ = check(&source);
    }
}
