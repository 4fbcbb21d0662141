//! What the tests and the fuzz target of the rule compiler share. Each of them uses a part.
#![allow(dead_code)]

pub mod invariants;

use snackbase_core::rules::{Column, Kind, MacroBody, Macros, Schema};

/// The fixture of the contract: every kind of column, with the alias `r`.
pub fn fixture() -> Schema {
    let mut columns = Schema::system_columns();
    columns.extend([
        Column::new("title", Kind::Text),
        Column::new("status", Kind::Text),
        Column::new("owner", Kind::Text),
        Column::new("views", Kind::Number),
        Column::new("active", Kind::Boolean),
        Column::new("public", Kind::Boolean),
        Column::new("at", Kind::Datetime),
        Column::new("d", Kind::Date),
        Column::new("meta", Kind::Json),
        Column::new("post", Kind::Uuid),
        Column::encrypted("sec", Kind::Text),
        Column::new("doc", Kind::File),
        Column::computed("total", Kind::Number, "views * 2"),
    ]);
    Schema::new("r", columns)
}

/// Custom macros, some of them wrong on purpose.
pub struct Fixtures;

impl Macros for Fixtures {
    fn lookup(&self, name: &str) -> Option<MacroBody> {
        let fragment = |text: &str| Some(MacroBody::Fragment(text.to_owned()));
        match name {
            "m1" => fragment("@m2 && views = 2"),
            "m2" => fragment("views > 1"),
            "loop" => fragment("@loop"),
            "ten" => fragment("views = $1 || views = $10 || views IN ($2, $3, $4, $5, $6, $7, $8, $9)"),
            "twice" => fragment("$1 && $1"),
            "same" => fragment("$1 = $2"),
            "hidden" => fragment("title = nosuch"),
            "broken" => fragment("title = = 1"),
            "ping" => fragment("@pong"),
            "pong" => fragment("@ping"),
            "set" => fragment("$1 IS NOT NULL"),
            "mine" => fragment("@owns_record($1)"),
            "deep" => Some(MacroBody::Fragment(deepest(98, "$1"))),
            "m" => Some(MacroBody::Select {
                function: "macro_m".to_owned(),
                arity: 2,
            }),
            // A tower: @d1 needs @d2 and so on, down to a condition at @d0.
            "d0" => fragment("active"),
            _ => {
                let height: usize = name.strip_prefix('d')?.parse().ok()?;
                Some(MacroBody::Fragment(format!("@d{}", height.checked_sub(1)?)))
            }
        }
    }
}

/// `inner` inside as many levels of the tree as `nesting` parentheses can make.
pub fn deepest(nesting: usize, inner: &str) -> String {
    (0..nesting).fold(inner.to_owned(), |text, _| {
        format!("({text} * 1 + 1 = 1 && active || active)")
    })
}
