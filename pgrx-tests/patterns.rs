//! Filters by patterns that begin with something fixed: the index serves them under row security, and loses no match.

#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;
    use snackbase_core::rules::prefix;

    use crate::tests::scene::{Scene, ask, run};

    fn with_labels() -> Scene {
        let scene = Scene::new();
        scene.collection(
            r#"{"name": "labels",
                "fields": [{"name": "name", "type": "text", "options": {"index": "prefix"}}, {"name": "plain", "type": "text"}],
                "list_rule": "", "create_rule": ""}"#,
        );
        scene
    }

    #[pg_test]
    fn a_fixed_beginning_is_an_index_condition_under_row_security() {
        let scene = with_labels();
        run(&format!(
            "insert into snackbase.col_labels (account_id, name) select '{}', 'y' || n from generate_series(1, 3000) n",
            scene.ada.account
        ))
        .answer();
        run("analyze snackbase.col_labels").answer();
        let plan = |condition: &str| {
            let statement =
                format!("explain (costs off) select name from snackbase.col_labels where {condition}");
            scene.ada.ask("list", &statement).plan()
        };
        let ranged = plan(
            r#"((("col_labels"."name" COLLATE "C" >= 'X1'::text AND "col_labels"."name" COLLATE "C" < 'X2'::text)
                 OR ("col_labels"."name" COLLATE "C" >= 'x1'::text AND "col_labels"."name" COLLATE "C" < 'x2'::text))
                AND "col_labels"."name" ILIKE 'x1%'::text)"#,
        );
        for range in [
            "(name)::text >= 'X1'",
            "(name)::text < 'X2'",
            "(name)::text >= 'x1'",
        ] {
            let condition = ranged
                .lines()
                .any(|line| line.contains("Index Cond: ((account_id = $0)") && line.contains(range));
            assert!(condition, "{range}: {ranged}");
        }
        let bare = plan("name ilike 'x1%'");
        assert!(
            !bare
                .lines()
                .any(|line| line.contains("Index Cond") && line.contains("name")),
            "{bare}"
        );
    }

    #[pg_test]
    fn the_ranges_change_no_answer() {
        let scene = with_labels();
        for name in [
            "Kilo",
            "kilo",
            "KILO 2",
            "\u{212a}ilo",
            "kil",
            "Ki",
            "İl",
            "ilo",
            "1_a",
            "1%a",
            "1xa",
            "",
            "É",
            "é",
        ] {
            scene.ada.created(
                "labels",
                &serde_json::json!({"name": name, "plain": name}).to_string(),
            );
        }
        scene.ada.created("labels", "{}");
        for pattern in [
            "k%", "ki%", "KILO%", "kilo", "kil_", "i%", "1\\_%", "1\\%%", "1_a", "é%", "%", "", "_i%",
            "kilo%2",
        ] {
            let total = |field: &str| {
                scene.ada.total(
                    "labels",
                    &serde_json::json!({field: {"$like": pattern}}).to_string(),
                )
            };
            assert_eq!(total("name"), total("plain"), "{pattern}");
            let not = |field: &str| {
                scene.ada.total(
                    "labels",
                    &serde_json::json!({"$not": {field: {"$like": pattern}}}).to_string(),
                )
            };
            assert_eq!(not("name"), not("plain"), "not {pattern}");
        }
    }

    #[pg_test]
    fn a_fixed_beginning_reads_few_records() {
        let scene = with_labels();
        run(&format!(
            "insert into snackbase.col_labels (account_id, name) select '{}', 'label ' || n from generate_series(1, 5000) n",
            scene.ada.account
        ))
        .answer();
        run("analyze snackbase.col_labels").answer();
        let read = "(select sum(idx_tup_fetch + seq_tup_read) from pg_stat_xact_user_tables where relname = 'col_labels')";
        let page = |list: &str| {
            scene
                .ada
                .ask(
                    "list",
                    &format!(
                        "with before as materialized (select coalesce({read}, 0) as n),
                              list as materialized (select {list} -> 'items' as items from before),
                              after as materialized (select coalesce({read}, 0) as n from list)
                         select json_build_array(after.n - before.n, list.items -> 0 ->> 'name', json_array_length(list.items))
                           from before, list, after"
                    ),
                )
                .json()
        };
        let found = page(r#"snackbase.records_list('labels', 'name ~ "LABEL 4999%"', cursor => '')"#);
        assert_eq!(
            (&found[1], &found[2]),
            (&"label 4999".into(), &1.into()),
            "{found}"
        );
        assert!(found[0].as_u64().is_some_and(|read| read < 100), "{found}");
    }

    /// Every character that some language folds to something that begins with a letter of ASCII is one of its cases.
    #[pg_test]
    fn no_language_folds_a_character_that_the_ranges_do_not_know() {
        // Where Postgres is built without ICU there are only those of the system.
        let collations = ask(
            "select collname from pg_collation
              where collname in ('default', 'C', 'en-x-icu', 'tr-x-icu', 'az-x-icu', 'lt-x-icu', 'und-x-icu') order by 1",
        )
        .answer();
        let mut folded = String::new();
        for collation in collations.lines() {
            folded += &ask(&format!(
                r#"select '{collation} ' || ascii(f.folded) || ' ' || n
                     from generate_series(33, 65535) n cross join lateral (select lower(chr(n) collate "{collation}")) f(folded)
                    where n not between 55296 and 57343 and ascii(f.folded) < 128 and f.folded <> ''"#
            ))
            .answer();
            folded.push('\n');
        }
        let mut checked = 0;
        for line in folded.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let character = |word: &str| word.parse().ok().and_then(char::from_u32).expect("a code point");
            let (letter, original) = (character(words[1]), character(words[2]));
            for asked in [letter, letter.to_ascii_uppercase()] {
                let known = prefix::cases(asked);
                assert!(
                    known.contains(&original),
                    "{}: {original:?} folds to {letter:?}",
                    words[0]
                );
            }
            checked += 1;
        }
        assert!(checked > 90, "{checked}");
    }
}
