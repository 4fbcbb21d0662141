//! What the doctor finds, on each version of Postgres.

#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;

    use crate::tests::scene::{ask, run};

    const SEVERE: &str = "select code || ': ' || message from snackbase.doctor() where severity = 'severe'";

    #[pg_test]
    fn this_server_is_fit() {
        ask(SEVERE).says("");
    }

    #[pg_test]
    fn a_gateway_that_inherits_is_severe() {
        run("alter role snackbase_gateway inherit").answer();
        ask(SEVERE).says("gateway_inherits: snackbase_gateway inherits the rights of the operation roles");
        run("alter role snackbase_gateway noinherit").answer();
        ask(SEVERE).says("");
    }

    /// From PostgreSQL 16 on, the membership decides and the attribute of the role only sets its default.
    #[cfg(not(feature = "pg15"))]
    #[pg_test]
    fn an_inheriting_membership_of_the_gateway_is_severe() {
        run("grant snackbase_list to snackbase_gateway with inherit true").answer();
        ask(SEVERE).says("gateway_inherits: snackbase_gateway inherits the rights of snackbase_list");
        run("grant snackbase_list to snackbase_gateway with inherit false").answer();
        ask(SEVERE).says("");
    }

    #[pg_test]
    fn minor_releases_with_known_holes_are_found() {
        ask("select concat_ws(' ', version, snackbase._release_finding(version))
               from unnest(array[150008, 150009, 150013, 150014, 160004, 160005, 160009, 160010, 170000, 170001,
                                 170005, 170006, 180000]) as version")
        .says(
            "150008 severe\n150009 warning\n150013 warning\n150014\n160004 severe\n160005 warning\n160009 warning\n\
             160010\n170000 severe\n170001 warning\n170005 warning\n170006\n180000",
        );
    }
}
