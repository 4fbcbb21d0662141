//! Rules and filters: one grammar, checked against a schema, emitted as SQL.
//!
//! A *rule* belongs to an operation of a collection and becomes policies; a *filter* belongs to one request and becomes
//! a condition with bound values; a *computed* expression defines a field that is calculated when it is read.
//!
//! ```text
//! input      = [ expr ] EOF ;
//! expr       = and_e , { "||" , and_e } ;
//! and_e      = not_e , { "&&" , not_e } ;
//! not_e      = "!" , not_e | cmp_e ;
//! cmp_e      = add_e , [ cmp_op , add_e | in_tail | is_tail ] ;
//! cmp_op     = "=" | "!=" | "<" | ">" | "<=" | ">=" | "~" ;
//! in_tail    = IN , "(" , add_e , { "," , add_e } , ")" ;
//! is_tail    = IS , [ NOT ] , NULL ;
//! add_e      = mul_e , { ( "+" | "-" ) , mul_e } ;
//! mul_e      = atom , { ( "*" | "/" | "%" ) , atom } ;
//! atom       = NUMBER | STRING | TRUE | FALSE | NULL | "-" , atom | "(" , expr , ")" | call | NAME ;
//! call       = NAME , "(" , [ expr , { "," , expr } ] , ")" ;
//! NAME       = ( letter | "_" | "@" ) , { letter | digit | "_" | "." | "@" } ;
//! NUMBER     = digit , { digit } , [ "." , { digit } ] , [ ( "e" | "E" ) , [ "+" | "-" ] , digit , { digit } ] ;
//! STRING     = "'" , { char | escape } , "'" | '"' , { char | escape } , '"' ;
//! escape     = "\" , ( "'" | '"' | "\" ) ;
//! ```
//!
//! The steps are modules: [`parse`](parse()) makes the tree of [`ast`]; `check` settles names, types and coercions; `emit`
//! writes SQL. What the words mean is described in `docs/rules.md`.
//!
//! Nothing here panics, recurses without a bound, reads a clock or does I/O.

pub mod ast;
mod body;
mod check;
mod clauses;
mod emit;
mod error;
mod having;
mod json;
mod lex;
pub mod limits;
mod macros;
mod parse;
pub mod prefix;
mod schema;
mod typed;
mod walk;

pub use body::{SelectBody, select_arity, select_body};
pub use clauses::{Clause, Joint, clauses};
pub use emit::Param;
pub use error::{Code, Error, summary};
pub use having::{Call, Name, compile_having, parse_calls};
pub use macros::{
    MacroBody, Macros, NoMacros, RESERVED, Uses, check_fragment, function_name, is_select, name_problem,
};
pub use parse::{parse, parse_fragment};
pub use schema::{Column, Kind, Schema};

use typed::{Node, Row};

/// What a rule is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Reading many records.
    List,
    /// Reading one record.
    View,
    /// Writing a new record.
    Create,
    /// Changing a record.
    Update,
    /// Deleting a record.
    Delete,
}

/// Which names a text may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Rule(Operation),
    Filter,
    Computed,
}

/// A compiled rule. The third state, *locked* (`null`), has no text: the caller knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// The empty text: every record of the account.
    Public,
    /// The records for which the predicate is TRUE; NULL means no.
    Predicate(Predicate),
}

impl Rule {
    /// Whether every record of the account passes.
    pub fn is_public(&self) -> bool {
        matches!(self, Rule::Public)
    }
}

/// The SQL conditions a rule becomes. None means that part has nothing to say (`true`).
///
/// Each is complete in itself next to `AND`, `OR` and `NOT`. Literals are quoted; identifiers come from the schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Predicate {
    /// About the existing row: list, view, delete, and the conjuncts of an update that do not read `@request.data`.
    pub using: Option<String>,
    /// About the new row: create, and the conjuncts of an update that read no record field.
    pub check: Option<String>,
    /// Conjuncts of an update that read both rows, over `OLD` and `NEW`, without a sub-select: for the WHEN condition of a
    /// BEFORE UPDATE trigger that refuses the row unless the condition is TRUE (`WHEN ((…) IS NOT TRUE)`).
    pub transition: Option<String>,
    /// What is probably not meant, in reading order.
    pub warnings: Vec<Error>,
}

/// Compiles a rule.
///
/// `source` `""` is [`Rule::Public`]; nothing but white space is an error. Errors: all semantic ones in reading order (at
/// most [`limits::ERRORS`]), or the first syntax error.
///
/// ```
/// use snackbase_core::rules::{Column, Kind, NoMacros, Operation, Rule, Schema, compile_rule};
///
/// let mut columns = Schema::system_columns();
/// columns.push(Column::new("status", Kind::Text));
/// let schema = Schema::new("col_posts", columns);
/// let rule = compile_rule(r#"status = "published" || @owns_record()"#, Operation::List, &schema, &NoMacros);
/// let Ok(Rule::Predicate(predicate)) = rule else { panic!() };
/// assert_eq!(
///     predicate.using.as_deref(),
///     Some(
///         r#"("col_posts"."status" = 'published'::text OR "col_posts"."created_by" = (select snackbase.current_user_id()))"#
///     )
/// );
/// ```
pub fn compile_rule(
    source: &str,
    operation: Operation,
    schema: &Schema,
    macros: &dyn Macros,
) -> Result<Rule, Vec<Error>> {
    if source.is_empty() {
        return Ok(Rule::Public);
    }
    let expr = parse(source).map_err(|error| vec![error])?;
    let checked = check::condition(&expr, Dialect::Rule(operation), schema, macros);
    let node = checked.result?;
    let mut predicate = Predicate {
        using: None,
        check: None,
        transition: None,
        warnings: checked.warnings,
    };
    match operation {
        Operation::List | Operation::View | Operation::Delete => {
            predicate.using = Some(emit::policy(&node, schema));
        }
        Operation::Create => predicate.check = Some(emit::policy(&node, schema)),
        Operation::Update => split(node, schema, &mut predicate),
    }
    Ok(Rule::Predicate(predicate))
}

/// A row passes an update rule when each conjunct is TRUE; each conjunct goes where both its rows can be seen.
fn split(node: Node<'_>, schema: &Schema, predicate: &mut Predicate) {
    let (mut using, mut check, mut transition) = (Vec::new(), Vec::new(), Vec::new());
    for conjunct in node.into_conjuncts() {
        match (conjunct.reads(Row::Record), conjunct.reads(Row::Data)) {
            (_, false) => using.push(conjunct),
            (false, true) => check.push(conjunct),
            (true, true) => transition.push(conjunct),
        }
    }
    let join = |mut conjuncts: Vec<_>| match conjuncts.len() {
        0 | 1 => conjuncts.pop(),
        _ => Some(Node::And(conjuncts)),
    };
    predicate.using = join(using).map(|node| emit::policy(&node, schema));
    predicate.check = join(check).map(|node| emit::policy(&node, schema));
    predicate.transition = join(transition).map(|node| emit::transition(&node));
}

/// A compiled filter.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    /// A condition over the table's columns, complete in itself next to `AND`, `OR` and `NOT`. It does not depend on the
    /// values of the filter (but for `true` and `false`), only on its shape, so its plan can be kept.
    pub sql: String,
    /// The values, in the order of their numbers.
    pub params: Vec<Param>,
    /// Whether every record must lie in ranges of an index that follow from a fixed beginning of some length: few records
    /// are expected, and looking for them in the order of the list would read most of the others.
    pub selective: bool,
}

/// Compiles a filter; None when it is blank or asks for nothing (`{}`). The first value is `$first_param`.
///
/// A text whose first character is `{` is read as JSON: `{"status": "draft", "views": {"$gt": 4}}` is
/// `status = "draft" && views > 4`.
///
/// Errors: as for [`compile_rule`].
///
/// ```
/// use snackbase_core::rules::{Column, Kind, Param, Schema, compile_filter};
///
/// let schema = Schema::new("r", vec![Column::new("status", Kind::Text)]);
/// let filter = compile_filter(r#"status IN ("draft", "review")"#, &schema, 3).unwrap().unwrap();
/// assert_eq!(filter.sql, r#""r"."status" = ANY ($3::text[])"#);
/// assert_eq!(filter.params, [Param::Texts(vec!["draft".into(), "review".into()])]);
/// ```
pub fn compile_filter(
    source: &str,
    schema: &Schema,
    first_param: usize,
) -> Result<Option<Filter>, Vec<Error>> {
    if source.trim().is_empty() {
        return Ok(None);
    }
    let expr = if json::is_json(source) {
        match json::parse(source)? {
            Some(expr) => expr,
            None => return Ok(None),
        }
    } else {
        parse(source).map_err(|error| vec![error])?
    };
    let node = check::condition(&expr, Dialect::Filter, schema, &NoMacros).result?;
    let (sql, params) = emit::filter(&node, schema, first_param);
    let selective = emit::is_selective(&node);
    Ok(Some(Filter {
        sql,
        params,
        selective,
    }))
}

/// Compiles the expression of a computed field to SQL of the type `return_type`.
///
/// Errors: as for [`compile_rule`]; `type_mismatch` when the expression has another type.
///
/// ```
/// use snackbase_core::rules::{Column, Kind, Schema, compile_computed};
///
/// let schema = Schema::new("r", vec![Column::new("views", Kind::Number)]);
/// assert_eq!(
///     compile_computed("views * 2", &schema, Kind::Number).unwrap(),
///     r#"snackbase.num_multiply("r"."views", 2::float8)"#
/// );
/// ```
pub fn compile_computed(source: &str, schema: &Schema, return_type: Kind) -> Result<String, Vec<Error>> {
    let expr = parse(source).map_err(|error| vec![error])?;
    let node = check::computed(&expr, return_type, schema, &NoMacros).result?;
    Ok(emit::policy(&node, schema))
}

/// What is wrong with a text, and what is probably not meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Findings {
    /// As [`compile_rule`] reports them; none when the rule is valid.
    pub errors: Vec<Error>,
    /// In reading order; empty when there are errors of syntax.
    pub warnings: Vec<Error>,
}

/// Checks a rule when only the *names* of the fields are known: everything but their types. The system fields are
/// always known.
pub fn validate(source: &str, operation: Operation, fields: &[&str], macros: &dyn Macros) -> Findings {
    validate_in(source, operation, &Schema::of_names(fields), macros)
}

/// Checks a rule against a schema: with types ([`Schema::new`]), or for everything but fields ([`Schema::open`]).
pub fn validate_in(source: &str, operation: Operation, schema: &Schema, macros: &dyn Macros) -> Findings {
    if source.is_empty() {
        return Findings {
            errors: Vec::new(),
            warnings: Vec::new(),
        };
    }
    match parse(source) {
        Err(error) => Findings {
            errors: vec![error],
            warnings: Vec::new(),
        },
        Ok(expr) => {
            let checked = check::condition(&expr, Dialect::Rule(operation), schema, macros);
            Findings {
                errors: checked.result.err().unwrap_or_default(),
                warnings: checked.warnings,
            }
        }
    }
}
