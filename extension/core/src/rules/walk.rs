//! Walks over the syntax tree that macros need: which ones a text uses, and a body with its arguments in place.

use super::ast::{Expr, ExprKind};

impl Expr {
    fn children(&self) -> Vec<&Expr> {
        match &self.kind {
            ExprKind::Null
            | ExprKind::Boolean(_)
            | ExprKind::Text(_)
            | ExprKind::Number(_)
            | ExprKind::Name(_)
            | ExprKind::Hole(_) => Vec::new(),
            ExprKind::Call(_, _, list) | ExprKind::And(list) | ExprKind::Or(list) => list.iter().collect(),
            ExprKind::Not(operand) | ExprKind::Negate(operand) | ExprKind::IsNull(operand, _) => {
                vec![operand]
            }
            ExprKind::Arithmetic(first, steps) => std::iter::once(&**first)
                .chain(steps.iter().map(|(_, operand)| operand))
                .collect(),
            ExprKind::Compare(left, _, _, right) => vec![left, right],
            ExprKind::In(operand, _, members) => std::iter::once(&**operand).chain(members).collect(),
        }
    }

    /// The macros the tree names, without `@`, built-in ones included, in order, repeated as written.
    ///
    /// ```
    /// let tree = snackbase_core::rules::parse("@a(@b) && @request.auth.id = owner").unwrap();
    /// assert_eq!(tree.macro_names(), ["a", "b"]);
    /// ```
    pub fn macro_names(&self) -> Vec<&str> {
        let own = match &self.kind {
            ExprKind::Name(name) | ExprKind::Call(name, _, _) => name
                .strip_prefix('@')
                .filter(|name| !name.starts_with("request.") && *name != "request"),
            _ => None,
        };
        own.into_iter()
            .chain(self.children().into_iter().flat_map(Expr::macro_names))
            .collect()
    }

    /// How many arguments a fragment takes: its largest `$n`.
    pub fn arguments(&self) -> usize {
        self.largest_hole()
    }

    /// The tree with `$n` replaced by the nth argument; holes without one stay.
    pub(super) fn with_arguments(&self, arguments: &[Expr]) -> Expr {
        let put = |expr: &Expr| expr.with_arguments(arguments);
        let boxed = |expr: &Expr| Box::new(put(expr));
        let all = |list: &[Expr]| list.iter().map(put).collect::<Vec<_>>();
        let kind = match &self.kind {
            ExprKind::Hole(index) => match arguments.get(index.wrapping_sub(1)) {
                Some(argument) => return argument.clone(),
                None => ExprKind::Hole(*index),
            },
            ExprKind::Call(name, span, list) => ExprKind::Call(name.clone(), *span, all(list)),
            ExprKind::And(list) => ExprKind::And(all(list)),
            ExprKind::Or(list) => ExprKind::Or(all(list)),
            ExprKind::Not(operand) => ExprKind::Not(boxed(operand)),
            ExprKind::Negate(operand) => ExprKind::Negate(boxed(operand)),
            ExprKind::IsNull(operand, negated) => ExprKind::IsNull(boxed(operand), *negated),
            ExprKind::Arithmetic(first, steps) => ExprKind::Arithmetic(
                boxed(first),
                steps
                    .iter()
                    .map(|(operator, operand)| (*operator, put(operand)))
                    .collect(),
            ),
            ExprKind::Compare(left, operator, span, right) => {
                ExprKind::Compare(boxed(left), *operator, *span, boxed(right))
            }
            ExprKind::In(operand, span, members) => ExprKind::In(boxed(operand), *span, all(members)),
            leaf => leaf.clone(),
        };
        Expr {
            kind,
            span: self.span,
        }
    }
}
