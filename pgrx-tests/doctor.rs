//! `doctor()`: silent over a fresh installation, and every finding can be provoked.

#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;

    use crate::tests::scene::{Scene, ask, ask_as, run};

    /// Severity, code and message of every finding but those about the server's release and the sealer, which depend on the machine
    /// and on its configuration.
    #[track_caller]
    fn findings(expected: &str) {
        ask("select severity || ' ' || code || ': ' || message from snackbase.doctor() where code not in ('old_release', 'no_sealer', 'no_audit_key') order by 1")
            .says(expected);
    }

    /// Runs statements that the guards would refuse.
    #[track_caller]
    fn unguarded(statement: &str) {
        run(&format!(
            "alter event trigger snackbase_guard_ddl disable; {statement}; alter event trigger snackbase_guard_ddl enable always"
        ))
        .answer();
    }

    #[pg_test]
    fn a_fresh_installation_is_healthy() {
        findings("");
        Scene::with_notes();
        findings("");
    }

    #[pg_test]
    fn a_trail_without_sealer_or_key_is_told() {
        let told = "select string_agg(code, ' ' order by code) from snackbase.doctor() where code in ('no_sealer', 'no_audit_key')";
        ask(told).says("no_audit_key no_sealer");
        run("set snackbase.audit_key_file = '/nowhere/audit.key'").answer();
        ask("select message from snackbase.doctor() where code = 'no_audit_key'").says(
            "checkpoints of the audit trail are not signed: the key file /nowhere/audit.key cannot be read: No such file or directory (os error 2)",
        );
    }

    #[pg_test]
    fn old_releases_are_known_by_number() {
        for (number, finding) in [
            (150_008, "severe"),
            (150_009, "warning"),
            (150_013, "warning"),
            (150_014, "null"),
            (160_004, "severe"),
            (160_005, "warning"),
            (160_010, "null"),
            (170_000, "severe"),
            (170_001, "warning"),
            (170_006, "null"),
            (180_000, "null"),
        ] {
            ask(&format!("select snackbase._release_finding({number})")).says(finding);
        }
    }

    #[pg_test]
    fn a_powerful_gateway_is_severe() {
        let message =
            "severe gateway_powerful: snackbase_gateway is superuser, bypasses row security or creates roles";
        for attribute in ["superuser", "bypassrls", "createrole"] {
            run(&format!("alter role snackbase_gateway {attribute}")).answer();
            findings(message);
            run(&format!("alter role snackbase_gateway no{attribute}")).answer();
        }
        findings("");
    }

    #[pg_test]
    fn an_inheriting_gateway_is_severe() {
        run("alter role snackbase_gateway inherit").answer();
        findings("severe gateway_inherits: snackbase_gateway inherits the rights of the operation roles");
    }

    /// From PostgreSQL 16 on, the membership decides and the attribute of the role only sets its default.
    #[cfg(not(feature = "pg15"))]
    #[pg_test]
    fn an_inheriting_membership_of_the_gateway_is_severe() {
        run("grant snackbase_list to snackbase_gateway with inherit true").answer();
        findings("severe gateway_inherits: snackbase_gateway inherits the rights of snackbase_list");
        run("grant snackbase_list to snackbase_gateway with inherit false").answer();
        findings("");
    }

    #[pg_test]
    fn a_gateway_that_can_become_the_owner_is_severe() {
        for role in ["snackbase_owner", "snackbase_hook", "snackbase_reader"] {
            run(&format!("grant {role} to snackbase_gateway")).answer();
            findings(&format!(
                "severe gateway_member: snackbase_gateway is a member of {role}"
            ));
            run(&format!("revoke {role} from snackbase_gateway")).answer();
        }
        run("create role tests_admin createrole; grant tests_admin to snackbase_gateway").answer();
        findings("severe gateway_member: snackbase_gateway is a member of tests_admin");
    }

    #[pg_test]
    fn a_gateway_that_can_become_the_owner_in_two_steps_is_severe() {
        run("create role tests_step; grant snackbase_owner to tests_step; grant tests_step to snackbase_gateway").answer();
        findings("severe gateway_member: snackbase_gateway is a member of snackbase_owner");
    }

    #[pg_test]
    fn a_powerful_role_of_ours_is_severe() {
        run("alter role snackbase_list bypassrls").answer();
        findings("severe role_powerful: snackbase_list is superuser, bypasses row security or creates roles");
    }

    #[pg_test]
    fn switched_off_row_security_is_severe() {
        Scene::with_notes();
        unguarded("alter table snackbase.col_notes disable row level security");
        findings("severe row_security_off: row security is not enabled and forced on snackbase.col_notes");
        unguarded(
            "alter table snackbase.col_notes enable row level security; alter table snackbase.col_notes no force row level security",
        );
        findings("severe row_security_off: row security is not enabled and forced on snackbase.col_notes");
    }

    #[pg_test]
    fn a_missing_account_policy_is_severe_and_a_rule_change_heals_it() {
        let scene = Scene::with_notes();
        run(
            "alter event trigger snackbase_guard_drop disable; drop policy account on snackbase.col_notes;
             alter event trigger snackbase_guard_drop enable always",
        )
        .answer();
        findings(
            "severe account_policy_missing: snackbase.col_notes has no restrictive policy named account",
        );
        scene.rules("notes", r#"{"list_rule": null}"#);
        findings("");
    }

    #[pg_test]
    fn a_disabled_trigger_is_severe() {
        Scene::with_notes();
        unguarded("alter table snackbase.col_notes disable trigger audit_update");
        findings("severe trigger_disabled: trigger audit_update of snackbase.col_notes is disabled");
    }

    #[pg_test]
    fn a_disabled_guard_is_severe() {
        run("alter event trigger snackbase_guard_ddl disable").answer();
        findings("severe guard_disabled: event trigger snackbase_guard_ddl is disabled");
    }

    #[pg_test]
    fn a_dropped_guard_is_severe() {
        Scene::with_notes();
        run(
            "alter extension snackbase drop event trigger snackbase_guard_drop; drop event trigger snackbase_guard_drop;
             alter extension snackbase drop event trigger snackbase_guard_ddl; drop event trigger snackbase_guard_ddl;
             drop trigger prevent_audit_log_update on snackbase.audit_change;
             drop trigger audit_restore on snackbase.audit_block;
             drop trigger a_guard on snackbase.roles;
             drop trigger audit_delete on snackbase.users;
             drop trigger audit_insert on snackbase.col_notes;
             drop policy member on snackbase.audit_change;
             drop policy account on snackbase.audit_import_entry",
        )
        .answer();
        findings(
            "severe account_policy_missing: snackbase.audit_import_entry has no restrictive policy named account\n\
             severe guard_dropped: event trigger snackbase_guard_ddl was dropped\n\
             severe guard_dropped: event trigger snackbase_guard_drop was dropped\n\
             severe guard_dropped: policy member of snackbase.audit_change was dropped\n\
             severe guard_dropped: trigger a_guard of snackbase.roles was dropped\n\
             severe guard_dropped: trigger audit_delete of snackbase.users was dropped\n\
             severe guard_dropped: trigger audit_insert of snackbase.col_notes was dropped\n\
             severe guard_dropped: trigger audit_restore of snackbase.audit_block was dropped\n\
             severe guard_dropped: trigger prevent_audit_log_update of snackbase.audit_change was dropped",
        );
        // The hints put back what can be put back, as it was; event triggers first, which stand aside for the others.
        let hints = ask(
            "select hint from snackbase.doctor() where code = 'guard_dropped' and message not like 'policy%' and message not like '%col_notes%'
              order by message not like 'event%', message",
        )
        .answer();
        for hint in hints.lines() {
            run(hint).answer();
        }
        findings(
            "severe account_policy_missing: snackbase.audit_import_entry has no restrictive policy named account\n\
             severe guard_dropped: policy member of snackbase.audit_change was dropped\n\
             severe guard_dropped: trigger audit_insert of snackbase.col_notes was dropped",
        );
        run("update snackbase.audit_change set operation = 'DELETE'").refused("42501");
    }

    #[pg_test]
    fn a_guard_that_does_not_always_fire_is_severe() {
        // What pg_restore --disable-triggers leaves.
        unguarded(
            "alter table snackbase.audit_change disable trigger all; alter table snackbase.audit_change enable trigger all",
        );
        let guards = [
            "audit_restore",
            "prevent_audit_log_delete",
            "prevent_audit_log_truncate",
            "prevent_audit_log_update",
        ];
        findings(
            &guards
                .map(|guard| {
                    format!("severe guard_weakened: trigger {guard} of snackbase.audit_change does not fire whatever session_replication_role is")
                })
                .join("\n"),
        );
        for hint in ask("select hint from snackbase.doctor() where code = 'guard_weakened'")
            .answer()
            .lines()
        {
            run(hint).answer();
        }
        run("alter event trigger snackbase_guard_ddl enable").answer();
        findings(
            "severe guard_weakened: event trigger snackbase_guard_ddl does not fire whatever session_replication_role is",
        );
        run("alter event trigger snackbase_guard_ddl enable always").answer();
        findings("");
    }

    /// A trigger is enabled as it was made: no more, no less.
    #[pg_test]
    fn the_hints_for_disabled_triggers_make_the_doctor_content() {
        Scene::with_notes();
        unguarded(
            "alter table snackbase.col_notes disable trigger audit_update;
             alter table snackbase.audit_block disable trigger prevent_audit_log_update",
        );
        let hints =
            ask("select hint from snackbase.doctor() where code = 'trigger_disabled' order by 1").answer();
        assert_eq!(
            hints,
            "alter event trigger snackbase_guard_ddl disable; alter table snackbase.audit_block enable always trigger prevent_audit_log_update; \
             alter event trigger snackbase_guard_ddl enable always\n\
             alter event trigger snackbase_guard_ddl disable; alter table snackbase.col_notes enable trigger audit_update; \
             alter event trigger snackbase_guard_ddl enable always"
        );
        for hint in hints.lines() {
            run(hint).answer();
        }
        findings("");
    }

    #[pg_test]
    fn a_grant_to_strangers_is_a_warning() {
        Scene::with_notes();
        run("create role tests_stranger").answer();
        run("grant select on snackbase.col_notes to tests_stranger").answer();
        findings("warning foreign_grant: tests_stranger holds SELECT on snackbase.col_notes");
        run("revoke all on snackbase.col_notes from tests_stranger; grant insert on snackbase.users to public").answer();
        findings("warning foreign_grant: PUBLIC holds INSERT on snackbase.users");
    }

    #[pg_test]
    fn a_grant_of_one_column_to_strangers_is_a_warning() {
        Scene::with_notes();
        run("create role tests_stranger; grant select (title) on snackbase.col_notes to tests_stranger")
            .answer();
        findings("warning foreign_grant: tests_stranger holds SELECT on snackbase.col_notes");
    }

    #[pg_test]
    fn the_hints_are_statements_that_help() {
        Scene::with_notes();
        run("grant snackbase_owner to snackbase_gateway; alter role snackbase_gateway inherit; alter role snackbase_list bypassrls;
             create role tests_stranger; grant select on snackbase.col_notes to tests_stranger")
        .answer();
        let hints = ask("select hint from snackbase.doctor() where code not in ('old_release', 'no_sealer', 'no_audit_key')").answer();
        assert_eq!(hints.lines().count(), 4, "{hints}");
        for hint in hints.lines() {
            run(hint).answer();
        }
        findings("");
    }

    #[pg_test]
    fn the_gateway_may_ask() {
        ask_as(
            "snackbase_gateway",
            "select count(*) from snackbase.doctor() where severity = 'severe'",
        )
        .says("0");
        run("create role tests_stranger login").answer();
        ask_as("tests_stranger", "select count(*) from snackbase.doctor()").refused("42501");
    }
}
