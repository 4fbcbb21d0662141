//! Batches of records: what a failure in the middle leaves behind.

#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;

    use crate::tests::scene::{Scene, ask, quoted, run};

    fn create_many(scene: &Scene, body: &str) -> crate::tests::scene::Outcome {
        scene.ada.ask(
            "create",
            &format!("select snackbase.records_create_many('notes', {})", quoted(body)),
        )
    }

    #[pg_test]
    fn a_trigger_of_somebody_elses_refuses_the_whole_batch() {
        let scene = Scene::with_notes();
        run("create function public.refuse() returns trigger language plpgsql as
                 $f$ begin if new.title = 'bad' then perform snackbase.abort(418, 'no tea'); end if; return new; end $f$;
             alter event trigger snackbase_guard_ddl disable;
             create trigger m_refuse before insert on snackbase.col_notes for each row execute function public.refuse();
             alter event trigger snackbase_guard_ddl enable always")
        .answer();
        let refusal = create_many(
            &scene,
            r#"{"records": [{"title": "good"}, {"title": "bad"}, {"title": "good"}]}"#,
        )
        .refused("P0001");
        assert_eq!(
            (refusal.message.as_str(), refusal.detail.as_str()),
            ("no tea", r#"{"status": 418}"#)
        );
        ask("select (select count(*) from snackbase.col_notes) + (select count(*) from snackbase.audit_change where table_name = 'col_notes')").says("0");
        assert_eq!(
            create_many(&scene, r#"{"records": [{"title": "one"}, {"title": "two"}]}"#).json()["count"],
            2,
            "the session goes on"
        );
    }
}
