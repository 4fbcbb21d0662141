//! Arithmetic of rules and filters: total functions, so that a predicate cannot fail at run time. NULL where
//! IEEE 754 has no finite answer: division by zero, overflow.

use pgrx::prelude::*;

fn finite(number: f64) -> Option<f64> {
    number.is_finite().then_some(number)
}

/// `a + b`, or NULL when the sum is not finite.
#[pg_extern(immutable, strict, parallel_safe)]
fn num_add(a: f64, b: f64) -> Option<f64> {
    finite(a + b)
}

/// `a - b`, or NULL when the difference is not finite.
#[pg_extern(immutable, strict, parallel_safe)]
fn num_subtract(a: f64, b: f64) -> Option<f64> {
    finite(a - b)
}

/// `a * b`, or NULL when the product is not finite.
#[pg_extern(immutable, strict, parallel_safe)]
fn num_multiply(a: f64, b: f64) -> Option<f64> {
    finite(a * b)
}

/// `a / b`, or NULL when `b` is zero or the quotient is not finite.
#[pg_extern(immutable, strict, parallel_safe)]
fn num_divide(a: f64, b: f64) -> Option<f64> {
    finite(a / b)
}

/// The remainder of `a / b` with the sign of `a`, or NULL when `b` is zero.
#[pg_extern(immutable, strict, parallel_safe)]
fn num_modulo(a: f64, b: f64) -> Option<f64> {
    finite(a % b)
}
