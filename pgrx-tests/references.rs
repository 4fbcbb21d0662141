//! References between collections: what a delete does to the records that refer, and what keeps a collection.

#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;
    use serde_json::json;

    use crate::tests::scene::{Scene, ask};

    fn with_books(on_delete: &str) -> (Scene, String, String) {
        let scene = Scene::with_notes();
        scene.collection(&format!(
            r#"{{"name": "books", "list_rule": "", "view_rule": "", "create_rule": "", "fields": [
                {{"name": "note", "type": "reference", "collection": "NOTES", "on_delete": "{on_delete}"}}]}}"#
        ));
        let note = scene.ada.created("notes", r#"{"title": "a"}"#);
        let book = scene.ada.created("books", &format!(r#"{{"note": "{note}"}}"#));
        (scene, note, book)
    }

    #[pg_test]
    fn a_reference_keeps_the_name_of_its_target() {
        let (scene, _, _) = with_books("CASCADE");
        let books = scene
            .root
            .ask("superadmin", "select snackbase.collection_view('books')")
            .json();
        assert_eq!(
            (
                &books["schema"][0]["collection"],
                &books["schema"][0]["on_delete"]
            ),
            (&json!("notes"), &json!("cascade"))
        );
    }

    #[pg_test]
    fn cascade_removes_the_referring_records_whatever_their_delete_rule() {
        let (scene, note, book) = with_books("cascade");
        scene.ada.delete("notes", &note).answer();
        scene.ada.view("books", &book).refused("P0002");
    }

    #[pg_test]
    fn set_null_clears_the_reference_and_keeps_the_account() {
        let (scene, note, book) = with_books("set_null");
        scene.ada.delete("notes", &note).answer();
        let record = scene.ada.view("books", &book).json();
        assert_eq!(
            (&record["note"], &record["account_id"]),
            (&json!(null), &json!(scene.ada.account))
        );
    }

    #[pg_test]
    fn restrict_refuses_to_delete_the_target() {
        let (scene, note, book) = with_books("restrict");
        scene
            .ada
            .delete("notes", &note)
            .refused("23503")
            .saying("The record is still referenced by other records");
        scene.root.delete("books", &book).answer();
        scene.ada.delete("notes", &note).answer();
    }

    #[pg_test]
    fn a_user_field_restricts_or_clears() {
        let scene = Scene::new();
        scene.collection(
            r#"{"name": "tasks", "view_rule": "", "create_rule": "", "fields": [
                {"name": "owner", "type": "user"}, {"name": "helper", "type": "user", "on_delete": "set_null"}]}"#,
        );
        let delete = |id: &str| {
            scene.root.run(
                "superadmin",
                &format!("delete from snackbase.users where id = '{id}'"),
            )
        };
        let task = scene.ada.created(
            "tasks",
            &format!(r#"{{"owner": "{}", "helper": "{}"}}"#, scene.ada.id, scene.alf.id),
        );
        let refusal = delete(&scene.ada.id);
        // PostgreSQL 18 calls it a restrict violation
        let code = if cfg!(feature = "pg18") { "23001" } else { "23503" };
        refusal.refused(code);
        delete(&scene.alf.id).says("1");
        assert!(scene.ada.view("tasks", &task).json()["helper"].is_null());
    }

    #[pg_test]
    fn a_collection_that_is_referred_to_cannot_be_dropped() {
        let (scene, _, _) = with_books("cascade");
        let drop = |name: &str| {
            scene.root.ask(
                "superadmin",
                &format!("select snackbase.collection_drop('{name}')"),
            )
        };
        let refusal = drop("notes").refused("23503");
        assert_eq!(
            refusal.json(),
            json!({"referenced_by": [{"collection": "books", "field": "note"}]})
        );
        let answer = drop("books").json();
        assert_eq!(
            (&answer["records_deleted"], &answer["table_name"]),
            (&json!(1), &json!("col_books"))
        );
        drop("notes").answer();
        drop("notes").refused("P0002");
        scene
            .ada
            .list("notes", "")
            .refused("P0002")
            .saying("Collection 'notes' not found");
        ask("select count(*) from pg_class where relname in ('col_notes', 'notes')").says("0");
        // what the records were is still known
        ask("select count(*) > 0 from snackbase.audit_change where table_name = 'col_notes'").says("true");
        ask("select count(*) from snackbase.audit_verify()").says("0");
    }

    #[pg_test]
    fn a_self_reference_does_not_keep_a_collection() {
        let scene = Scene::new();
        scene.collection(
            r#"{"name": "tree", "fields": [{"name": "parent", "type": "reference", "collection": "tree", "on_delete": "restrict"}]}"#,
        );
        scene
            .root
            .ask("superadmin", "select snackbase.collection_drop('tree')")
            .answer();
    }
}
