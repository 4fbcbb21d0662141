//! `audit_verify()`: silent over a clean house, and precise about every kind of damage that a superuser can do.

#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;

    use crate::tests::scene::{Scene, ask, run};

    /// A record with three changes (created, title b, title c); its id.
    fn with_history() -> (Scene, String) {
        let scene = Scene::with_notes();
        let id = scene.ada.created("notes", r#"{"title": "a", "stars": 1}"#);
        scene.ada.patch("notes", &id, r#"{"title": "b"}"#).answer();
        scene.ada.patch("notes", &id, r#"{"title": "c"}"#).answer();
        scene.bob.created("notes", r#"{"title": "his"}"#);
        findings("");
        (scene, id)
    }

    /// What `audit_verify` finds, one line each: kind, record, version.
    #[track_caller]
    fn findings(expected: &str) {
        ask("select concat_ws(' ', kind, table_name, record_id, record_version) from snackbase.audit_verify()").says(expected);
    }

    extension_sql!(
        r#"
-- What audit_verify() finds after `statement`, which is undone.
create function tests.damage(statement text, scope text) returns text language plpgsql as $$
declare
    found text;
begin
    alter event trigger snackbase_guard_ddl disable;
    alter table snackbase.audit_change disable trigger user;
    execute statement;
    execute format('select string_agg(concat_ws('' '', v.kind, v.table_name, v.record_id, v.expected, v.actual), '', '') from snackbase.audit_verify(%s) v', scope)
       into found;
    raise exception 'undo';
exception when raise_exception then
    return found;
end
$$;
create function tests.damage(statement text) returns text language plpgsql as $$
declare
    found text;
begin
    alter event trigger snackbase_guard_ddl disable;
    alter table snackbase.audit_change disable trigger user;
    execute statement;
    found := (select string_agg(concat_ws(' ', v.kind, v.record_id, v.record_version), ', ') from snackbase.audit_verify() v);
    raise exception 'undo';
exception when raise_exception then
    return found;
end
$$;
"#,
        name = "tests_damage",
        requires = [tests]
    );

    /// What a superuser can do who switches the guards off first.
    #[track_caller]
    fn tamper(statement: &str) {
        run(&format!(
            "alter event trigger snackbase_guard_ddl disable;
             alter table snackbase.audit_change disable trigger user;
             alter table snackbase.col_notes disable trigger user;
             {statement};
             alter table snackbase.col_notes enable trigger user;
             alter table snackbase.audit_change enable trigger user;
             alter event trigger snackbase_guard_ddl enable always"
        ))
        .answer();
    }

    #[pg_test]
    fn a_clean_house_has_no_findings() {
        let (_, _) = with_history();
    }

    #[pg_test]
    fn metadata_is_hashed_as_it_is_printed() {
        with_history();
        // Two texts of one value: as it is written here, and as jsonb would print it.
        let (written, as_jsonb) = (r#"{"b":1,"a":1.50}"#, r#"{"a": 1.50, "b": 1}"#);
        ask(&format!("select '{written}'::jsonb")).says(as_jsonb);
        run(&format!(
            "create temp table made (like snackbase.audit_change);
             insert into made select c.* from snackbase.audit_change c where c.table_name = 'col_notes' order by c.id limit 1;
             update made set id = nextval('snackbase.audit_change_id_seq'), table_name = 'elsewhere', previous_hash = null,
                             record_version = 1, extra_metadata = '{written}';
             update made m set checksum = snackbase._audit_chain(snackbase._audit_header(row(m.*)::snackbase.audit_change), m.columns, null);
             insert into snackbase.audit_change overriding system value select * from made"
        ))
        .answer();
        findings("");
        ask("select extra_metadata::text from snackbase.audit_change where table_name = 'elsewhere'")
            .says(written);
        ask("select distinct extra_metadata from snackbase.audit_log where table_name = 'elsewhere'")
            .says(r#"{"a": 1.50, "b": 1, "auth_method": "jwt"}"#);
        // Who has the printed texts and the specification computes the same header (docs/ledger.md §1).
        let header = ask(
            r#"select encode(sha256(convert_to(format(
                   '{"account_id":"%s","auth_method":"%s","es_reason":null,"es_timestamp":null,"es_username":null,"extra_metadata":%s,'
                   '"hash_version":"2","ip_address":%s,"occurred_at":"%s","operation":"%s","record_id":"%s","record_version":"1",'
                   '"request_id":%s,"table_name":"elsewhere","user_agent":%s,"user_email":"%s","user_id":"%s","user_name":"%s"}',
                   c.account_id, c.auth_method, to_json(c.extra_metadata::text), coalesce(to_json(c.ip_address)::text, 'null'),
                   to_char(c.occurred_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), c.operation, c.record_id,
                   coalesce(to_json(c.request_id)::text, 'null'), coalesce(to_json(c.user_agent)::text, 'null'),
                   c.user_email, c.user_id, c.user_name), 'UTF8')), 'hex')
                 from snackbase.audit_change c where c.table_name = 'elsewhere'"#,
        )
        .answer();
        ask("select encode(snackbase._audit_header(c), 'hex') from snackbase.audit_change c where c.table_name = 'elsewhere'")
            .says(&header);
        // The same value in another text is another text.
        tamper(&format!(
            "update snackbase.audit_change set extra_metadata = '{as_jsonb}' where table_name = 'elsewhere'"
        ));
        let found =
            ask("select string_agg(concat_ws(' ', kind, table_name), ', ') from snackbase.audit_verify()");
        found.says("checksum elsewhere");
    }

    #[pg_test]
    fn an_edited_value_is_found_by_its_checksum() {
        let (_, id) = with_history();
        tamper(&format!(
            "update snackbase.audit_change set columns = replace(columns::text, '\"b\"', '\"B\"')::json
              where record_id = '{id}' and record_version = 2"
        ));
        findings(&format!("checksum col_notes {id} 2"));
    }

    #[pg_test]
    fn every_part_of_a_change_is_covered_by_its_checksum() {
        let (_, id) = with_history();
        for change in [
            "user_id = 'somebody'",
            "user_email = 'x@example.com'",
            "user_name = 'x'",
            "auth_method = 'direct_sql'",
            "operation = 'CREATE'",
            "occurred_at = occurred_at + interval '1 microsecond'",
            "ip_address = '192.0.2.99'",
            "user_agent = 'x'",
            "request_id = 'x'",
            "es_reason = 'x'",
            "es_username = 'x'",
            "es_timestamp = now()",
            "extra_metadata = '{\"a\": 1}'",
            "hash_version = 1",
            "column_count = column_count + 1",
            "columns = (columns::jsonb - 1)::json",
            "columns = (columns::jsonb || '[[\"stars\", null, \"9\"]]')::json",
            "columns = (jsonb_build_array(columns -> 1, columns -> 0) || (columns::jsonb - 0 - 0))::json",
        ] {
            // in a subtransaction of its own, taken back afterwards
            let found = ask(&format!(
                "select tests.damage($s$update snackbase.audit_change set {change} where record_id = '{id}' and record_version = 2$s$)"
            ))
            .answer();
            assert!(found.contains(&format!("checksum {id} 2")), "{change}: {found}");
        }
    }

    #[pg_test]
    fn a_recomputed_checksum_is_found_by_the_link_after_it() {
        let (_, id) = with_history();
        tamper(&format!(
            "update snackbase.audit_change set columns = replace(columns::text, '\"b\"', '\"B\"')::json
              where record_id = '{id}' and record_version = 2;
             update snackbase.audit_change c set checksum = snackbase._audit_chain(snackbase._audit_header(c), c.columns, c.previous_hash)
              where record_id = '{id}' and record_version = 2"
        ));
        findings(&format!("link col_notes {id} 3"));
    }

    #[pg_test]
    fn a_removed_change_leaves_a_gap() {
        let (_, id) = with_history();
        tamper(&format!(
            "delete from snackbase.audit_change where record_id = '{id}' and record_version = 2"
        ));
        findings(&format!("gap col_notes {id} 3"));
    }

    #[pg_test]
    fn a_removed_beginning_is_a_gap_too() {
        let (_, id) = with_history();
        tamper(&format!(
            "delete from snackbase.audit_change where record_id = '{id}' and record_version = 1"
        ));
        findings(&format!("gap col_notes {id} 2"));
    }

    #[pg_test]
    fn a_removed_end_shows_in_the_live_row() {
        let (_, id) = with_history();
        tamper(&format!(
            "delete from snackbase.audit_change where record_id = '{id}' and record_version = 3"
        ));
        ask(
            "select string_agg(concat_ws(' ', kind, record_id, expected, actual), E'\\n' order by expected)
               from snackbase.audit_verify() where expected like 'title%'",
        )
        .says(&format!("live {id} title = b title = c"));
    }

    #[pg_test]
    fn a_live_row_changed_behind_the_back_is_found_with_both_values() {
        let (_, id) = with_history();
        tamper(&format!(
            "update snackbase.col_notes set stars = 5 where id = '{id}'"
        ));
        ask("select concat_ws(' ', kind, table_name, record_id, expected, actual) from snackbase.audit_verify()")
            .says(&format!("live col_notes {id} stars = 1 stars = 5"));
    }

    #[pg_test]
    fn a_row_removed_behind_the_back_is_missed() {
        let (_, id) = with_history();
        tamper(&format!("delete from snackbase.col_notes where id = '{id}'"));
        ask("select concat_ws(' ', kind, record_id, expected, coalesce(actual, '-')) from snackbase.audit_verify()")
            .says(&format!("live {id} a row -"));
    }

    #[pg_test]
    fn a_row_that_came_back_after_its_deletion_is_found() {
        let (scene, id) = with_history();
        run("create table public.kept as select * from snackbase.col_notes").answer();
        scene.ada.delete("notes", &id).answer();
        tamper(&format!(
            "insert into snackbase.col_notes select * from public.kept where id = '{id}'"
        ));
        findings(&format!("live col_notes {id} 4"));
    }

    #[pg_test]
    fn a_row_without_history_is_missing_from_the_ledger() {
        let (scene, _) = with_history();
        tamper(&format!(
            "insert into snackbase.col_notes (id, account_id, title, created_at, updated_at, created_by, updated_by)
             values ('11111111-2222-3333-4444-555555555555', '{}', 'ghost', now(), now(), 'x', 'x')",
            scene.ada.account
        ));
        findings("missing col_notes 11111111-2222-3333-4444-555555555555");
    }

    #[pg_test]
    fn a_forged_user_is_found() {
        let (scene, _) = with_history();
        run(&format!(
            "alter event trigger snackbase_guard_ddl disable;
             alter table snackbase.users disable trigger user;
             update snackbase.users set role_id = 1 where id = '{}';
             alter table snackbase.users enable trigger user;
             alter event trigger snackbase_guard_ddl enable always",
            scene.alf.id
        ))
        .answer();
        ask("select concat_ws(' ', kind, table_name, record_id, expected, actual) from snackbase.audit_verify()")
            .says(&format!("live users {} role_id = 2 role_id = 1", scene.alf.id));
    }

    #[pg_test]
    fn a_change_of_replication_role_leaves_traces() {
        let (_, id) = with_history();
        run(&format!(
            "set local session_replication_role = replica;
             update snackbase.col_notes set title = 'quiet' where id = '{id}'; set local session_replication_role = origin"
        ))
        .answer();
        ask("select concat_ws(' ', kind, expected, actual) from snackbase.audit_verify()")
            .says("live title = c title = quiet");
    }

    #[pg_test]
    fn a_table_without_its_recorder_is_found_whatever_became_of_its_rows() {
        let (scene, _) = with_history();
        scene.collection(
            r#"{"name": "Spare", "fields": [{"name": "pin", "type": "text", "options": {"audit": "hash"}}]}"#,
        );
        findings("");
        let off = "alter event trigger snackbase_guard_drop disable;
                   alter table snackbase.col_notes disable trigger user; alter table snackbase.users disable trigger user;";
        for (damage, expected) in [
            (
                "drop trigger audit_insert on snackbase.col_notes; update snackbase.col_notes set title = 'forged'",
                "live col_notes recorder(id)",
            ),
            (
                "drop trigger audit_insert on snackbase.users; update snackbase.users set role_id = 1, password_hash = 'forged'",
                "live users recorder(id, password_hash)",
            ),
            ("drop table snackbase.col_spare cascade", "live col_spare recorder(id, pin=hash)"),
            (
                "alter trigger audit_insert on snackbase.col_spare rename to gone",
                "live col_spare recorder(id, pin=hash)",
            ),
            // Another one in its place: of the wrong function, or one that keeps nothing.
            (
                "drop trigger audit_insert on snackbase.col_spare;
                 create trigger audit_insert before insert on snackbase.col_spare
                    for each row execute function suppress_redundant_updates_trigger()",
                "live col_spare recorder(id, pin=hash)",
            ),
            (
                "drop trigger audit_insert on snackbase.col_notes;
                 create trigger audit_insert after insert on snackbase.col_notes referencing new table as new_rows
                    for each statement execute function snackbase._audit_record('id', 'title=skip');
                 update snackbase.col_notes set title = 'forged'",
                "live col_notes recorder(id) recorder(id, title=skip)",
            ),
        ] {
            let seen = |scope: &str| {
                ask(&format!(
                    "select tests.damage($s${off} {damage}$s$, $s${scope}$s$)"
                ))
                .answer()
            };
            assert_eq!(seen(""), expected, "{damage}");
            assert_eq!(seen("from_block => 1"), expected, "{damage}");
        }
    }

    #[pg_test]
    fn what_the_installation_wrote_is_missed_and_changes_of_it_are_seen() {
        let (scene, _) = with_history();
        let off = ["accounts", "roles", "email_templates", "configurations"]
            .map(|table| format!("alter table snackbase.{table} disable trigger user"))
            .join("; ");
        let text = "00000000-0000-4000-8000-000000000001";
        for (damage, expected) in [
            (
                format!("update snackbase.email_templates set html_body = 'evil' where id = '{text}'"),
                format!("email_templates {text}"),
            ),
            (
                format!("delete from snackbase.email_templates where id = '{text}'"),
                format!("email_templates {text}"),
            ),
            (
                "update snackbase.configurations set config = '{\"app_url\": \"http://evil\"}' where provider_name = 'system'".to_owned(),
                "configurations 00000000-0000-4000-8000-000000000102".to_owned(),
            ),
            ("update snackbase.roles set name = 'king' where id = 1".to_owned(), "roles 1".to_owned()),
            (
                "update snackbase.accounts set slug = 'evil' where slug = 'system'".to_owned(),
                "accounts 00000000-0000-0000-0000-000000000000".to_owned(),
            ),
        ] {
            let found = ask(&format!("select tests.damage($s${off}; {damage}$s$, '')")).answer();
            let (start, rest) = found.split_at(format!("live {expected}").len());
            assert_eq!(start, format!("live {expected}"), "{damage}");
            assert!(!rest.contains("live"), "{found}");
        }
        // with an entry it is a change like any other
        run(&format!(
            "update snackbase.email_templates set subject = 'Hello' where id = '{text}'"
        ))
        .says("1");
        findings("");
        let found = ask(&format!(
            "select tests.damage($s${off}; update snackbase.email_templates set subject = 'evil' where id = '{text}'$s$, '')"
        ));
        found.says(&format!(
            "live email_templates {text} subject = Hello subject = evil"
        ));
        drop(scene);
    }

    #[pg_test]
    fn verification_can_be_limited_to_an_account_and_a_number() {
        let (scene, _) = with_history();
        tamper("update snackbase.col_notes set stars = 99");
        let count = |arguments: &str| {
            ask(&format!(
                "select count(*) from snackbase.audit_verify({arguments})"
            ))
        };
        count("").says("2");
        count(&format!("'{}'", scene.ada.account)).says("1");
        count(&format!("account => '{}'", scene.bob.account)).says("1");
        count("'11111111-2222-3333-4444-555555555555'").says("0");
        count("max_errors => 1").says("1");
        count("max_errors => 0").says("0");
    }

    #[pg_test]
    fn a_superadmin_may_verify_and_no_writer_of_records() {
        let (scene, id) = with_history();
        tamper(&format!(
            "update snackbase.col_notes set stars = 5 where id = '{id}'"
        ));
        scene
            .root
            .ask(
                "superadmin",
                "select kind || ' ' || record_id from snackbase.audit_verify()",
            )
            .says(&format!("live {id}"));
        for operation in ["list", "update"] {
            scene
                .ada
                .ask(operation, "select * from snackbase.audit_verify()")
                .refused("42501");
        }
    }

    #[pg_test]
    fn a_reader_verifies_the_trail_of_its_account_and_is_shown_no_values() {
        let (scene, id) = with_history();
        let found = "select concat_ws(' ', kind, record_id, record_version, expected, actual) from snackbase.audit_verify()";
        for operation in ["audit", "member"] {
            scene.ada.ask(operation, found).says("");
        }
        tamper(&format!(
            "update snackbase.col_notes set title = 'quiet' where id = '{id}'"
        ));
        for operation in ["audit", "member"] {
            scene
                .ada
                .ask(operation, found)
                .says(&format!("live {id} 3 title title"));
            scene.bob.ask(operation, found).says("");
        }
        for query in [
            format!("audit_verify('{}')", scene.ada.account),
            format!(
                r#"audit_verify_report('{{"account_id": "{}"}}')"#,
                scene.ada.account
            ),
            r#"audit_verify_report('{"account_id": "00000000-0000-0000-0000-000000000000"}')"#.to_owned(),
        ] {
            scene
                .bob
                .ask("audit", &format!("select snackbase.{query}"))
                .refused("42501")
                .saying("Superadmin access required");
        }
        for function in ["audit_verify()", "audit_verify_report('{}')"] {
            let statement = format!("select snackbase.{function}");
            scene.alf.ask("audit", &statement).refused("42501");
            scene
                .alf
                .ask("member", &statement)
                .refused("42501")
                .saying("Superadmin access required");
            scene.visitor.ask("audit", &statement).refused("28000");
        }
    }

    #[pg_test]
    fn a_dropped_collections_history_is_still_verified() {
        let (scene, id) = with_history();
        scene
            .root
            .ask("superadmin", "select snackbase.collection_drop('notes')")
            .answer();
        run(&format!(
            "alter event trigger snackbase_guard_ddl disable;
             alter table snackbase.audit_change disable trigger user;
             update snackbase.audit_change set user_id = 'x' where record_id = '{id}' and record_version = 3"
        ))
        .answer();
        ask("select concat_ws(' ', kind, record_id, record_version) from snackbase.audit_verify() where kind = 'checksum'")
            .says(&format!("checksum {id} 3"));
    }

    #[pg_test]
    fn verification_does_not_depend_on_the_settings_of_the_session() {
        let (_, _) = with_history();
        run("set local datestyle = 'German'; set local timezone = 'Asia/Tokyo'; set local extra_float_digits = -15;
             set local intervalstyle = 'sql_standard'; set local bytea_output = 'escape'; set local enable_seqscan = off;
             set local search_path = pg_temp")
        .answer();
        findings("");
    }

    #[pg_test]
    fn a_column_added_later_is_no_damage() {
        let (scene, id) = with_history();
        scene
            .change(
                "notes",
                r#"{"fields": [{"name": "title", "type": "text"}, {"name": "stars", "type": "number"},
                               {"name": "extra", "type": "text", "default": "x"}]}"#,
            )
            .answer();
        findings("");
        scene.ada.patch("notes", &id, r#"{"extra": "y"}"#).answer();
        findings("");
    }
}
