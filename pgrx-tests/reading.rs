//! Reading records: what `expand` and keyset paging ask of the database, and what they do not open.

#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;

    use crate::tests::scene::{Scene, run};

    /// Public `books` with an `author`; authors are listed if they are `open`, and viewed if they are not.
    fn with_books(count: usize) -> Scene {
        let scene = Scene::new();
        scene.collection(
            r#"{"name": "authors", "fields": [{"name": "name", "type": "text"}, {"name": "open", "type": "boolean"}],
                "list_rule": "open", "view_rule": "!open", "create_rule": ""}"#,
        );
        scene.collection(
            r#"{"name": "books",
                "fields": [{"name": "title", "type": "text"},
                           {"name": "author", "type": "reference", "collection": "authors", "on_delete": "cascade"}],
                "list_rule": "", "view_rule": "", "create_rule": ""}"#,
        );
        for number in 0..count {
            let author = scene.ada.created(
                "authors",
                &format!(r#"{{"name": "a{number}", "open": {}}}"#, number % 2 == 0),
            );
            scene.ada.created(
                "books",
                &format!(r#"{{"title": "t{number}", "author": "{author}"}}"#),
            );
        }
        scene
    }

    const EXPANDED: &str = "snackbase.records_list('books', sort => 'title', expand => 'author')";

    #[pg_test]
    fn expand_follows_the_view_rule_of_the_target_and_no_other() {
        let scene = with_books(2);
        scene
            .ada
            .ask("list", &format!("select {EXPANDED} #>> '{{items,0,author}}' is null, {EXPANDED} #>> '{{items,1,author,name}}'"))
            .says("true");
        scene
            .ada
            .ask(
                "list",
                &format!("select {EXPANDED} #>> '{{items,1,author,name}}'"),
            )
            .says("a1");
        // The role that lists sees by itself what it may list, before and after.
        scene
            .ada
            .ask(
                "list",
                &format!(
                    "select name from snackbase.col_authors, lateral (select {EXPANDED}) e where name = 'a1'"
                ),
            )
            .says("");
        scene
            .bob
            .ask("list", &format!("select {EXPANDED} ->> 'total'"))
            .says("0");
    }

    #[pg_test]
    fn expand_takes_one_query_whatever_the_number_of_rows() {
        let scene = with_books(9);
        // Without indexes every query of a table is one sequential scan of it.
        run("set local enable_indexscan = off; set local enable_bitmapscan = off; set local enable_indexonlyscan = off").answer();
        let scans = "(select seq_scan from pg_stat_xact_user_tables where relname = 'col_authors')";
        for limit in [1, 9] {
            let list = format!("snackbase.records_list('books', max_items => {limit}, expand => 'author')");
            scene
                .ada
                .ask(
                    "list",
                    &format!(
                        "with before as materialized (select coalesce({scans}, 0) as n),
                              list as materialized (select {list} from before),
                              after as materialized (select coalesce({scans}, 0) as n from list)
                         select after.n - before.n from before, list, after"
                    ),
                )
                .says("1");
        }
    }

    #[pg_test]
    fn nobodys_operator_runs_as_the_role_that_expand_reads_as() {
        let scene = with_books(2);
        run("create schema evil;
             create table evil.log (who text);
             create function evil.equal(uuid, uuid) returns boolean language plpgsql as
                 $f$ begin insert into evil.log values (current_user); return $1::text operator(pg_catalog.=) $2::text; end $f$;
             create operator evil.= (leftarg = uuid, rightarg = uuid, function = evil.equal);
             create function evil.any_equal(text) returns boolean language sql as 'select true';
             grant usage on schema evil to public; grant insert, select on evil.log to public")
        .answer();
        scene
            .ada
            .run(
                "list",
                &format!(
                    "do $d$ begin
                         set local search_path = evil, pg_catalog;
                         -- The operator is found by this caller's own statements …
                         perform from snackbase.col_books b where b.id = b.id;
                         perform {EXPANDED};
                     end $d$"
                ),
            )
            .answer();
        crate::tests::scene::ask("select string_agg(distinct who, ' ') from evil.log").says("snackbase_list");
    }

    #[pg_test]
    fn a_page_beyond_a_place_is_an_index_condition() {
        let scene = with_books(0);
        run("set local enable_seqscan = off; set local enable_bitmapscan = off; set local enable_sort = off")
            .answer();
        let plan = scene
            .ada
            .ask(
                "list",
                "explain (costs off) select title from snackbase.col_books
                  where true and (created_at, id) < (now(), '6a0e0d4c-0000-4000-8000-000000000000'::uuid) order by created_at desc, id desc limit 31",
            )
            .plan();
        assert!(
            plan.contains("Index Cond: ((account_id = $0) AND (ROW(created_at, id) <"),
            "{plan}"
        );
    }

    #[pg_test]
    fn an_administrator_chooses_how_requests_are_read() {
        let scene = with_books(2);
        let first = "select snackbase.records_list('books', sort => 'title') #>> '{items,0,title}'";
        scene.ada.ask("list", first).says("t0");
        run("set snackbase.sort_bare_desc = on").answer();
        scene.ada.ask("list", first).says("t1");
        let ascending = "select snackbase.records_list('books', sort => '+title') #>> '{items,0,title}'";
        scene.ada.ask("list", ascending).says("t0");
        run("set snackbase.expand_max_depth = 1; set snackbase.batch_max_items = 1").answer();
        scene
            .ada
            .ask(
                "list",
                "select snackbase.records_list('books', expand => 'author.name')",
            )
            .refused("22023")
            .saying("'author.name' is too long: at most 1 references are followed");
        scene
            .ada
            .ask(
                "create",
                r#"select snackbase.records_create_many('books', '{"records": [{}, {}]}')"#,
            )
            .refused("22023")
            .saying("A batch holds at most 1 items, this one has 2");
    }
}
