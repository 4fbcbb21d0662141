//! The installed schema, as a snapshot that a change must be seen to change.

#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;

    use crate::tests::scene::ask;

    const EXPECTED: &str = include_str!("schema.out");

    #[pg_test]
    fn the_installed_schema_is_the_one_in_schema_out() {
        let installed = ask(include_str!("schema.sql")).answer();
        let (installed, expected): (Vec<&str>, Vec<&str>) =
            (installed.lines().collect(), EXPECTED.lines().collect());
        let missing: Vec<&&str> = expected.iter().filter(|line| !installed.contains(line)).collect();
        let new: Vec<&&str> = installed.iter().filter(|line| !expected.contains(line)).collect();
        assert!(
            installed == expected,
            "the installed schema differs from pgrx-tests/schema.out; `make schema` rewrites it\nexpected: {missing:#?}\ninstalled: {new:#?}"
        );
    }
}
