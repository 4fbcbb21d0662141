//! Custom macros as the compiler sees them. The built-in ones are in `check::builtin`.

/// Finds custom macros by name. Built-in names are never looked up.
pub trait Macros {
    /// The macro of this name, without `@`; case-sensitive.
    fn lookup(&self, name: &str) -> Option<MacroBody>;
}

/// What a custom macro is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MacroBody {
    /// Rule text in which `$1`, `$2`, … stand for the arguments. Expanded on the tree: an argument is never text.
    /// The number of arguments is the largest hole.
    Fragment(String),
    /// A SQL function `snackbase.<function>(text, …) → boolean`, called with `arity` arguments; NULL means false.
    Select {
        /// Unqualified, unquoted name of the function.
        function: String,
        /// Number of arguments.
        arity: usize,
    },
}

/// No custom macros.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoMacros;

impl Macros for NoMacros {
    fn lookup(&self, _: &str) -> Option<MacroBody> {
        None
    }
}
