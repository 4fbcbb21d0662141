//! Foreign hands: what others may and may not do to tables of ours.

#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;

    use crate::tests::scene::{Scene, ask, run};

    #[pg_test]
    fn ddl_from_outside_is_refused() {
        Scene::with_notes();
        for statement in [
            "alter table snackbase.col_notes add column x text",
            "alter table snackbase.col_notes disable row level security",
            "alter table snackbase.col_notes no force row level security",
            "alter table snackbase.col_notes disable trigger all",
            "alter table snackbase.col_notes drop column title",
            "alter table snackbase.col_notes rename column title to t",
            "alter table snackbase.col_notes rename to other",
            "alter table snackbase.col_notes owner to postgres",
            "alter table snackbase.col_notes set schema public",
            "alter table snackbase.col_notes inherit pg_class",
            "drop table snackbase.col_notes",
            "drop table snackbase.col_notes cascade",
            "drop policy account on snackbase.col_notes",
            "alter policy account on snackbase.col_notes using (true)",
            "create policy open on snackbase.col_notes using (true)",
            "drop trigger audit_update on snackbase.col_notes",
            "alter trigger audit_update on snackbase.col_notes rename to z",
            "create trigger mine before insert on snackbase.col_notes for each row execute function snackbase._touch()",
            "create rule mine as on insert to snackbase.col_notes do instead nothing",
            "drop index snackbase.\"col_notes$created_at$idx\"",
            "alter table snackbase.users no force row level security",
            "alter table snackbase.audit_change disable trigger prevent_audit_log_update",
            "drop trigger prevent_audit_log_update on snackbase.audit_change",
            "drop policy account on snackbase.users",
            "create policy open on snackbase.accounts to public using (true)",
        ] {
            crate::tests::scene::run(statement).refused_by_somebody(statement);
        }
        ask("select count(*) from pg_policy where polrelid = 'snackbase.col_notes'::regclass").says("9");
    }

    trait RefusedBySomebody {
        fn refused_by_somebody(self, statement: &str);
    }

    impl RefusedBySomebody for crate::tests::scene::Outcome {
        /// 42501 from the event trigger, or what Postgres itself has against the statement.
        #[track_caller]
        fn refused_by_somebody(self, statement: &str) {
            match self {
                crate::tests::scene::Outcome::Refused(refusal) => assert!(
                    ["42501", "42809", "2BP01"].contains(&refusal.code.as_str()),
                    "{statement}: {refusal:?}"
                ),
                crate::tests::scene::Outcome::Answer(_) => panic!("worked: {statement}"),
            }
        }
    }

    #[pg_test]
    fn an_index_of_ones_own_is_welcome() {
        Scene::with_notes();
        run("create index mine on snackbase.col_notes (account_id, lower(title))").answer();
    }

    #[pg_test]
    fn ddl_elsewhere_is_nobodys_business() {
        Scene::with_notes();
        run("create table public.own (a int); alter table public.own add b int; drop table public.own")
            .answer();
    }
}
