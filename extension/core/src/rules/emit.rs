//! From the predicate to SQL text.
//!
//! Names come from the schema and pass [`names::quote`]. Values of a filter are bound. Policies, triggers and views cannot
//! take parameters: for them, and only here, a literal is quoted.
//!
//! The text calls functions of the extension, all in schema `snackbase`, all NULL where they have no answer:
//!
//! | Function | Result |
//! |---|---|
//! | `current_user_id()`, `current_user_email()`, `current_user_role()` | `text` |
//! | `current_user_uuid()`, `current_account_id()` | `uuid` |
//! | `in_group(text)`, `has_permission(text, text)` | `boolean` |
//! | `num_add`, `num_subtract`, `num_multiply`, `num_divide`, `num_modulo` `(float8, float8)` | `float8` |
//! | `num_round(float8, digits float8)` | `float8`, half away from zero |
//! | `text_substring(text, start float8 [, length float8])` | `text`, counted from 1; NULL for a negative length |
//! | `date_start(date)` | `timestamptz`, midnight UTC |
//! | `date_add(timestamptz, amount float8, unit text)` | `timestamptz`; unit is `seconds` … `years`, the calendar that of UTC |
//!
//! The text stands on its own next to `AND`, `OR` and `NOT`: whatever binds weaker is in parentheses. Every literal and
//! parameter carries its type, so PostgreSQL never chooses one.

use super::ast::{Arithmetic, Comparison};
use super::prefix;
use super::schema::{Kind, Schema};
use super::typed::{Attribute, Function, Node, Row, Unit};
use crate::names;

/// A bound value of a filter, `$n` in its SQL text. The text casts each to the SQL type named here, so a caller may
/// declare a parameter with that type or as `text` (`text[]`).
#[derive(Debug, Clone, PartialEq)]
pub enum Param {
    /// `text`
    Text(String),
    /// `float8`, finite
    Number(f64),
    /// `uuid`, lower case with hyphens
    Uuid(String),
    /// `timestamptz`, RFC 3339 in UTC, at most microseconds
    Datetime(String),
    /// `date`, `YYYY-MM-DD`
    Date(String),
    /// `text[]`, no NULLs
    Texts(Vec<String>),
    /// `float8[]`, no NULLs
    Numbers(Vec<f64>),
    /// `uuid[]`, no NULLs
    Uuids(Vec<String>),
    /// `timestamptz[]`, no NULLs
    Datetimes(Vec<String>),
    /// `date[]`, no NULLs
    Dates(Vec<String>),
}

/// The condition of a policy, or the expression of a computed field: columns of the table, quoted literals.
pub(super) fn policy(node: &Node<'_>, schema: &Schema) -> String {
    Emitter::new(Rows::Table(names::quote(schema.table())), Values::Quoted)
        .run(node)
        .0
}

/// The condition of a BEFORE UPDATE trigger: `OLD` and `NEW`, quoted literals, no sub-select.
pub(super) fn transition(node: &Node<'_>) -> String {
    Emitter::new(Rows::OldAndNew, Values::Quoted).run(node).0
}

/// A filter and its values, the first of which is `$first`.
pub(super) fn filter(node: &Node<'_>, schema: &Schema, first: usize) -> (String, Vec<Param>) {
    Emitter::new(Rows::Table(names::quote(schema.table())), Values::Bound { first }).run(node)
}

/// See [`super::Filter::selective`].
pub(super) fn is_selective(node: &Node<'_>) -> bool {
    match node {
        Node::And(operands) => operands.iter().any(is_selective),
        Node::Compare(left, Comparison::Like, right) => match (&**left, &**right) {
            (Node::Column(_, column), Node::Text(pattern)) => {
                let shortest = prefix::SELECTIVE;
                let longest = |beginning: &String| beginning.chars().count() >= shortest;
                column.prefix_index && prefix::beginnings(pattern).iter().any(longest)
            }
            _ => false,
        },
        _ => false,
    }
}

enum Rows {
    /// Both rows are the one the table's policies judge; the qualifier is quoted.
    Table(String),
    OldAndNew,
}

enum Values {
    Quoted,
    Bound { first: usize },
}

struct Emitter {
    rows: Rows,
    values: Values,
    sql: String,
    params: Vec<Param>,
}

impl Emitter {
    fn new(rows: Rows, values: Values) -> Self {
        Emitter {
            rows,
            values,
            sql: String::new(),
            params: Vec::new(),
        }
    }

    fn run(mut self, node: &Node<'_>) -> (String, Vec<Param>) {
        self.node(node);
        (self.sql, self.params)
    }

    fn push(&mut self, text: &str) {
        self.sql.push_str(text);
    }

    fn node(&mut self, node: &Node<'_>) {
        match node {
            Node::Null(kind) => {
                self.push("NULL::");
                self.push(kind.sql());
            }
            Node::Text(text) => self.value(Param::Text(text.clone())),
            Node::Number(number) => self.value(Param::Number(number.value)),
            // A keyword, never a parameter: there are two of them, and the planner knows what `active = true` selects only when
            // it sees the value.
            Node::Boolean(value) => self.push(if *value { "true" } else { "false" }),
            Node::Uuid(text) => self.value(Param::Uuid(text.clone())),
            Node::Datetime(text) => self.value(Param::Datetime(text.clone())),
            Node::Date(text) => self.value(Param::Date(text.clone())),
            Node::Column(row, column) => self.column(*row, &column.name),
            Node::Attribute(attribute) => {
                let (accessor, cast) = match attribute {
                    Attribute::Id => ("snackbase.current_user_id()", ""),
                    Attribute::Email => ("snackbase.current_user_email()", ""),
                    Attribute::Role => ("snackbase.current_user_role()", ""),
                    Attribute::AccountId => ("snackbase.current_account_id()", "::text"),
                };
                self.once(true, |emitter| emitter.push(accessor));
                self.push(cast);
            }
            Node::AttributeUuid(attribute) => {
                let accessor = match attribute {
                    Attribute::AccountId => "snackbase.current_account_id()",
                    _ => "snackbase.current_user_uuid()",
                };
                self.once(true, |emitter| emitter.push(accessor));
            }
            Node::ToText(operand) => {
                self.operand(operand);
                self.push("::text");
            }
            Node::Not(operand) => {
                self.push("NOT ");
                self.operand(operand);
            }
            Node::And(operands) => self.chain(operands, " AND "),
            Node::Or(operands) => self.chain(operands, " OR "),
            Node::Compare(left, operator, right) => {
                let ranged = self.ranges(left, *operator, right);
                self.operand(left);
                self.push(match operator {
                    Comparison::Equal => " = ",
                    Comparison::Unequal => " <> ",
                    Comparison::Less => " < ",
                    Comparison::Greater => " > ",
                    Comparison::LessOrEqual => " <= ",
                    Comparison::GreaterOrEqual => " >= ",
                    Comparison::Like => " ILIKE ",
                });
                self.operand(right);
                if ranged {
                    self.push(")");
                }
            }
            Node::In(operand, members) => self.membership(operand, members),
            Node::IsNull(operand, negated) => {
                self.operand(operand);
                self.push(if *negated { " IS NOT NULL" } else { " IS NULL" });
            }
            Node::Never(operand, negated) => {
                self.push("(");
                self.operand(operand);
                // True or false by itself; together with NULL, NULL for the NULL.
                self.push(if *negated {
                    " IS NOT NULL OR NULL::boolean)"
                } else {
                    " IS NULL AND NULL::boolean)"
                });
            }
            Node::Negate(operand) => {
                self.push("(-");
                self.operand(operand);
                self.push(")");
            }
            Node::Arithmetic(first, steps) => self.arithmetic(first, steps),
            Node::InGroup(group) => {
                let constant = !reads_columns(group);
                self.once(constant, |emitter| {
                    emitter.push("snackbase.in_group(");
                    emitter.node(group);
                    emitter.push(")");
                });
            }
            Node::HasPermission(act, collection) => self.once(true, |emitter| {
                emitter.push("snackbase.has_permission(");
                emitter.value(Param::Text(act.clone()));
                emitter.push(", ");
                emitter.value(Param::Text(collection.clone()));
                emitter.push(")");
            }),
            Node::InHours(from, to) => self.hours(*from, *to),
            Node::Macro(function, arguments) => self.macro_call(function, arguments),
            Node::Function(function, arguments) => self.function(*function, arguments),
            Node::StartOfDay(date) => self.call("snackbase.date_start(", std::slice::from_ref(&**date), ")"),
        }
    }

    /// The function of a macro: once for the statement, or once for each distinct set of arguments that the rows have. The
    /// constant in the call lets Postgres note that the policy depends on the function.
    fn macro_call(&mut self, function: &str, arguments: &[Node<'_>]) {
        let types = vec!["text"; arguments.len()].join(", ");
        let signature = names::quote_literal(&format!("snackbase.{}({types})", names::quote(function)));
        self.push("coalesce(");
        self.once(!arguments.iter().any(reads_columns), |emitter| {
            emitter.push(&format!("snackbase._macro_call({signature}::regprocedure"));
            for argument in arguments {
                emitter.push(", ");
                // It casts to text what it has not been asked before.
                emitter.operand(match argument {
                    Node::ToText(operand) => operand,
                    other => other,
                });
            }
            emitter.push(")");
        });
        self.push(", false)");
    }

    /// A call that does not depend on the row, written so that it runs once per statement and can be an index
    /// condition. A trigger's condition must not have a sub-select.
    fn once(&mut self, constant: bool, call: impl FnOnce(&mut Self)) {
        match self.rows {
            Rows::Table(_) if constant => {
                self.push("(select ");
                call(self);
                self.push(")");
            }
            _ => call(self),
        }
    }

    /// Before a pattern with a fixed beginning, over a column with an index in byte order: the same beginning as ranges.
    ///
    /// Under row security a condition that comes with a request reaches an index only if its operator is leakproof: `<` on
    /// texts is, `ILIKE` is not. The ranges find candidates, the pattern decides. True: a parenthesis was opened.
    fn ranges(&mut self, left: &Node<'_>, operator: Comparison, right: &Node<'_>) -> bool {
        let (Node::Column(row, column), Node::Text(pattern)) = (left, right) else {
            return false;
        };
        if operator != Comparison::Like || !column.prefix_index || matches!(self.values, Values::Quoted) {
            return false;
        }
        let beginnings = prefix::beginnings(pattern);
        for (index, beginning) in beginnings.iter().enumerate() {
            self.push(if index == 0 { "((" } else { " OR " });
            for (sign, bound) in [(" >= ", beginning.clone()), (" < ", prefix::after(beginning))] {
                self.push(if sign == " < " { " AND " } else { "(" });
                self.column(*row, &column.name);
                self.push(" COLLATE \"C\"");
                self.push(sign);
                self.value(Param::Text(bound));
            }
            self.push(")");
        }
        let ranged = !beginnings.is_empty();
        if ranged {
            self.push(") AND ");
        }
        ranged
    }

    /// An operand of anything but `AND` and `OR`: conditions go into parentheses.
    fn operand(&mut self, node: &Node<'_>) {
        let wrap = matches!(
            node,
            Node::Not(_) | Node::Compare(..) | Node::In(..) | Node::IsNull(..)
        );
        if wrap {
            self.push("(");
        }
        self.node(node);
        if wrap {
            self.push(")");
        }
    }

    fn chain(&mut self, operands: &[Node<'_>], separator: &str) {
        self.push("(");
        for (index, operand) in operands.iter().enumerate() {
            if index > 0 {
                self.push(separator);
            }
            self.node(operand);
        }
        self.push(")");
    }

    fn list(&mut self, nodes: &[Node<'_>]) {
        for (index, node) in nodes.iter().enumerate() {
            if index > 0 {
                self.push(", ");
            }
            self.operand(node);
        }
    }

    fn column(&mut self, row: Row, name: &str) {
        let qualifier = match (&self.rows, row) {
            (Rows::Table(table), _) => table.clone(),
            (Rows::OldAndNew, Row::Record) => "OLD".to_owned(),
            (Rows::OldAndNew, Row::Data) => "NEW".to_owned(),
        };
        self.push(&qualifier);
        self.push(".");
        self.push(&names::quote(name));
    }

    /// `a + b - c` from left to right: calls that give NULL where the operator would fail.
    fn arithmetic(&mut self, first: &Node<'_>, steps: &[(Arithmetic, Node<'_>)]) {
        for (operator, _) in steps.iter().rev() {
            self.push(match operator {
                Arithmetic::Add => "snackbase.num_add(",
                Arithmetic::Subtract => "snackbase.num_subtract(",
                Arithmetic::Multiply => "snackbase.num_multiply(",
                Arithmetic::Divide => "snackbase.num_divide(",
                Arithmetic::Modulo => "snackbase.num_modulo(",
            });
        }
        self.operand(first);
        for (_, operand) in steps {
            self.push(", ");
            self.operand(operand);
            self.push(")");
        }
    }

    /// The hour of the day in UTC is at least `from` and below `to`, or, past midnight, one of both.
    fn hours(&mut self, from: u8, to: u8) {
        let word = if from <= to { "AND" } else { "OR" };
        self.once(true, |emitter| {
            let hour = "pg_catalog.date_part('hour', pg_catalog.timezone('UTC', pg_catalog.now()))";
            emitter.push(&format!("({hour} >= {from} {word} {hour} < {to})"));
        });
    }

    fn call(&mut self, open: &str, arguments: &[Node<'_>], close: &str) {
        self.push(open);
        self.list(arguments);
        self.push(close);
    }

    /// Functions of PostgreSQL where they are total, else functions of the extension that give NULL instead of failing.
    fn function(&mut self, function: Function, arguments: &[Node<'_>]) {
        let name = match function {
            Function::Concat => "pg_catalog.concat(",
            Function::Upper => "pg_catalog.upper(",
            Function::Lower => "pg_catalog.lower(",
            Function::Trim => "pg_catalog.btrim(",
            Function::Length => return self.call("pg_catalog.length(", arguments, ")::float8"),
            Function::Substring => "snackbase.text_substring(",
            Function::Abs => "pg_catalog.abs(",
            Function::Ceil => "pg_catalog.ceil(",
            Function::Floor => "pg_catalog.floor(",
            Function::Round if arguments.len() == 1 => {
                return self.call("snackbase.num_round(", arguments, ", 0::float8)");
            }
            Function::Round => "snackbase.num_round(",
            Function::Coalesce => "coalesce(",
            Function::NullIf => "nullif(",
            Function::Now => "pg_catalog.now(",
            Function::If => {
                for (word, argument) in ["CASE WHEN ", " THEN ", " ELSE "].into_iter().zip(arguments) {
                    self.push(word);
                    self.operand(argument);
                }
                return self.push(" END");
            }
            Function::DateDiff(unit) => return self.date_diff(unit, arguments),
            Function::DateAdd(unit) => {
                let unit = format!(", '{}')", unit_name(unit));
                return self.call("snackbase.date_add(", arguments, &unit);
            }
        };
        self.call(name, arguments, ")");
    }

    fn date_diff(&mut self, unit: Unit, arguments: &[Node<'_>]) {
        let seconds = match unit {
            Unit::Seconds => 1,
            Unit::Minutes => 60,
            Unit::Hours => 3_600,
            Unit::Days => 86_400,
            Unit::Months => 30 * 86_400,
            Unit::Years => 365 * 86_400,
        };
        self.push("snackbase.num_divide(snackbase.num_subtract(");
        for (index, argument) in arguments.iter().enumerate() {
            self.push(if index > 0 { ", " } else { "" });
            self.call(
                "pg_catalog.date_part('epoch', ",
                std::slice::from_ref(argument),
                ")",
            );
        }
        self.push(&format!("), {seconds}::float8)"));
    }

    /// A list of literals is bound as one array: the text does not depend on their number.
    fn membership(&mut self, operand: &Node<'_>, members: &[Node<'_>]) {
        let (nulls, others): (Vec<&Node<'_>>, Vec<&Node<'_>>) =
            members.iter().partition(|member| matches!(member, Node::Null(_)));
        let array = match self.values {
            Values::Bound { .. } => array(&others),
            Values::Quoted => None,
        };
        let Some(array) = array else {
            self.operand(operand);
            self.push(" IN (");
            self.list(members);
            self.push(")");
            return;
        };
        if !nulls.is_empty() {
            self.push("(");
        }
        self.operand(operand);
        self.push(" = ANY (");
        self.value(array);
        self.push(")");
        if !nulls.is_empty() {
            self.push(" OR NULL::boolean)");
        }
    }

    /// The only place where a value meets SQL text.
    fn value(&mut self, value: Param) {
        if let Values::Bound { first } = self.values {
            let text = format!("${}::{}", first + self.params.len(), value.sql_type());
            self.params.push(value);
            return self.push(&text);
        }
        let literal = match &value {
            Param::Text(text) | Param::Uuid(text) | Param::Datetime(text) | Param::Date(text) => {
                names::quote_literal(text)
            }
            Param::Number(number) => number_literal(*number),
            // Arrays are made for bound values only.
            Param::Texts(_) | Param::Numbers(_) | Param::Uuids(_) | Param::Datetimes(_) | Param::Dates(_) => {
                "NULL".to_owned()
            }
        };
        self.push(&literal);
        self.push("::");
        self.push(value.sql_type());
    }
}

impl Param {
    /// The SQL type of the parameter.
    pub fn sql_type(&self) -> &'static str {
        match self {
            Param::Text(_) => Kind::Text.sql(),
            Param::Number(_) => Kind::Number.sql(),
            Param::Uuid(_) => Kind::Uuid.sql(),
            Param::Datetime(_) => Kind::Datetime.sql(),
            Param::Date(_) => Kind::Date.sql(),
            Param::Texts(_) => "text[]",
            Param::Numbers(_) => "float8[]",
            Param::Uuids(_) => "uuid[]",
            Param::Datetimes(_) => "timestamptz[]",
            Param::Dates(_) => "date[]",
        }
    }
}

/// The shortest digits that give the same number. A negative one is in parentheses, because `::` binds tighter than `-`.
fn number_literal(number: f64) -> String {
    let text = format!("{number:?}");
    let text = text.strip_suffix(".0").unwrap_or(&text);
    if text.starts_with('-') {
        format!("({text})")
    } else {
        text.to_owned()
    }
}

fn unit_name(unit: Unit) -> &'static str {
    match unit {
        Unit::Seconds => "seconds",
        Unit::Minutes => "minutes",
        Unit::Hours => "hours",
        Unit::Days => "days",
        Unit::Months => "months",
        Unit::Years => "years",
    }
}

fn reads_columns(node: &Node<'_>) -> bool {
    node.reads(Row::Record) || node.reads(Row::Data)
}

/// The members as one array, if all are literals of one type.
fn array(members: &[&Node<'_>]) -> Option<Param> {
    macro_rules! all {
        ($node:path, $param:path, $value:expr) => {
            members
                .iter()
                .map(|member| match member {
                    $node(value) => Some($value(value)),
                    _ => None,
                })
                .collect::<Option<Vec<_>>>()
                .map($param)
        };
    }
    match members.first()? {
        Node::Text(_) => all!(Node::Text, Param::Texts, String::clone),
        Node::Number(_) => all!(Node::Number, Param::Numbers, |number: &super::ast::Number| number
            .value),
        Node::Uuid(_) => all!(Node::Uuid, Param::Uuids, String::clone),
        Node::Datetime(_) => all!(Node::Datetime, Param::Datetimes, String::clone),
        Node::Date(_) => all!(Node::Date, Param::Dates, String::clone),
        _ => None,
    }
}
