//! Any text as a rule, a filter and a computed expression: the promises of the compiler hold.

#![no_main]

#[path = "../../tests/rules_fixture/mod.rs"]
mod rules_fixture;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|source: &str| rules_fixture::invariants::check(source));
