//! What the catalogs must say, whatever tables and functions there are: row security, owners, grants, dumps.

#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;

    use crate::tests::scene::{Scene, ask};

    /// Asserts that a query which lists offenders finds none.
    #[track_caller]
    fn none(offenders: &str) {
        ask(offenders).says("");
    }

    #[pg_test]
    fn every_table_has_row_security_enabled_and_forced() {
        Scene::with_notes();
        none(
            "select relname from pg_class
              where relnamespace = 'snackbase'::regnamespace and relkind in ('r', 'p')
                and not (relrowsecurity and relforcerowsecurity)",
        );
    }

    #[pg_test]
    fn every_table_with_an_account_has_the_restrictive_policy() {
        Scene::with_notes();
        // all roles but the superadmin's and the owner's are bound, in every command, by the row's account
        none(
            "select c.relname
               from pg_class c
               join pg_attribute a on a.attrelid = c.oid and a.attname = 'account_id' and not a.attisdropped
               left join pg_policy p on p.polrelid = c.oid and p.polname = 'account' and not p.polpermissive and p.polcmd = '*'
              where c.relnamespace = 'snackbase'::regnamespace and c.relkind in ('r', 'p')
                and (pg_get_expr(p.polqual, c.oid) <> '(account_id = ( SELECT snackbase.current_account_id() AS current_account_id))'
                     or p.polwithcheck is not null
                     or (select array_agg(r::regrole::text order by r::regrole::text) from unnest(p.polroles) r)
                        is distinct from array['snackbase_admin', 'snackbase_create', 'snackbase_delete', 'snackbase_hook', 'snackbase_list',
                                               'snackbase_member', 'snackbase_reader', 'snackbase_update', 'snackbase_view'])",
        );
    }

    #[pg_test]
    fn every_table_belongs_to_the_owner_role() {
        Scene::with_notes();
        none(
            "select relname from pg_class
              where relnamespace = 'snackbase'::regnamespace and relkind in ('r', 'p', 'v') and relowner <> 'snackbase_owner'::regrole",
        );
    }

    #[pg_test]
    fn keys_of_account_data_contain_the_account() {
        let scene = Scene::with_notes();
        scene.collection(
            r#"{"name": "keyed", "fields": [
                {"name": "code", "type": "text", "unique": true},
                {"name": "note", "type": "reference", "collection": "notes", "on_delete": "set_null"},
                {"name": "person", "type": "user"}]}"#,
        );
        // token_hash and api_keys.key_hash are hashes of 32 random bytes: equal values do not happen, and the look-up has no account
        none(
            "select x.indexrelid::regclass
               from pg_index x
               join pg_class c on c.oid = x.indrelid
               join pg_attribute a on a.attrelid = c.oid and a.attname = 'account_id' and not a.attisdropped
              where c.relnamespace = 'snackbase'::regnamespace and x.indisunique
                and not a.attnum = any (x.indkey::int2[])
                and x.indexrelid::regclass::text not in ('snackbase.refresh_tokens_token_hash_key', 'snackbase.api_keys_key_hash_key', 'snackbase.one_time_tokens_token_hash_key',
                                                       'snackbase.invitations_token_hash_key')",
        );
        none(
            "select k.conname
               from pg_constraint k
               join pg_attribute a on a.attrelid = k.conrelid and a.attname = 'account_id' and not a.attisdropped
               join pg_attribute b on b.attrelid = k.confrelid and b.attname = 'account_id' and not b.attisdropped
              where k.contype = 'f' and k.connamespace = 'snackbase'::regnamespace
                and not (a.attnum = any (k.conkey) and b.attnum = any (k.confkey))",
        );
    }

    #[pg_test]
    fn functions_that_run_as_their_owner_fix_the_search_path() {
        // The three that read bodies of macros let authors name tables of ours without a schema; what they run is no owner's
        // but that of snackbase_hook, who cannot create anything there.
        none(
            "select p.oid::regprocedure
               from pg_proc p
              where p.pronamespace = 'snackbase'::regnamespace and p.prosecdef
                and not coalesce('search_path=pg_catalog, pg_temp' = any (p.proconfig), false)
                and not (p.proname in ('_macro_function_make', '_macro_probe', '_macro_run')
                         and p.proowner = 'snackbase_hook'::regrole
                         and 'search_path=pg_catalog, snackbase, pg_temp' = any (p.proconfig))",
        );
    }

    #[pg_test]
    fn functions_that_run_as_their_owner_are_the_listed_ones() {
        ask("select p.proname || ' ' || p.proowner::regrole
               from pg_proc p
              where p.pronamespace = 'snackbase'::regnamespace and p.prosecdef
              order by 1")
        .says(
            "_api_key_uses_begin snackbase_owner\n\
             _audit_import_complete snackbase_owner\n\
             _bi_view_drop snackbase_reader\n\
             _bi_view_lock snackbase_reader\n\
             _bi_view_replace snackbase_reader\n\
             _collection_load snackbase_owner\n\
             _group_guard snackbase_owner\n\
             _guard_ddl snackbase_owner\n\
             _invitation_send snackbase_owner\n\
             _macro_function_drop snackbase_hook\n\
             _macro_function_make snackbase_hook\n\
             _macro_probe snackbase_hook\n\
             _macro_run snackbase_hook\n\
             _mail_enqueue snackbase_owner\n\
             _password_set snackbase_owner\n\
             _permission_set snackbase_owner\n\
             _reset_send snackbase_owner\n\
             _sessions_end snackbase_owner\n\
             _subject_hold snackbase_owner\n\
             _subject_key_destroy snackbase_owner\n\
             _user_guard snackbase_owner\n\
             _verification_send snackbase_owner\n\
             audit_anchor_claim snackbase_owner\n\
             audit_anchor_done snackbase_owner\n\
             audit_import_add snackbase_owner\n\
             audit_import_begin snackbase_owner\n\
             audit_import_finish snackbase_owner\n\
             audit_seal snackbase_owner\n\
             audit_status snackbase_owner\n\
             auth_accounts snackbase_owner\n\
             auth_forgot_password snackbase_owner\n\
             auth_invitation_accept snackbase_owner\n\
             auth_invitation_find snackbase_owner\n\
             auth_invitation_view snackbase_owner\n\
             auth_join snackbase_owner\n\
             auth_login_failed snackbase_owner\n\
             auth_login_find snackbase_owner\n\
             auth_login_finish snackbase_owner\n\
             auth_logout snackbase_owner\n\
             auth_me snackbase_owner\n\
             auth_refresh snackbase_owner\n\
             auth_register snackbase_owner\n\
             auth_reset_check snackbase_owner\n\
             auth_reset_password snackbase_owner\n\
             auth_verification_request snackbase_owner\n\
             auth_verify_email snackbase_owner\n\
             configuration_candidates snackbase_owner\n\
             configuration_secrets snackbase_owner\n\
             configuration_secrets_change snackbase_owner\n\
             doctor snackbase_owner\n\
             get_config snackbase_owner\n\
             macro_change snackbase_owner\n\
             macro_create snackbase_owner\n\
             macro_drop snackbase_owner\n\
             mail_claim snackbase_owner\n\
             mail_finish snackbase_owner\n\
             mail_log_add snackbase_owner\n\
             mail_log_list snackbase_owner\n\
             mail_log_view snackbase_owner\n\
             permission_drop snackbase_owner\n\
             signature_failed snackbase_owner\n\
             signature_find snackbase_owner\n\
             single_tenant_ensure snackbase_owner\n\
             superadmin_create snackbase_owner\n\
             superadmin_exists snackbase_owner",
        );
    }

    #[pg_test]
    fn functions_that_run_as_their_owner_are_closed_to_public() {
        none(
            // an event trigger's function cannot be called
            "select p.oid::regprocedure
               from pg_proc p
              cross join lateral aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
              where p.pronamespace = 'snackbase'::regnamespace and p.prosecdef and a.grantee = 0
                and p.prorettype <> 'event_trigger'::regtype",
        );
    }

    #[pg_test]
    fn plpgsql_and_sql_functions_do_not_depend_on_the_callers_search_path() {
        // SQL functions with a body of expressions are bound when they are created; plpgsql ones are not.
        none(
            "select p.oid::regprocedure
               from pg_proc p join pg_language l on l.oid = p.prolang
              where p.pronamespace = 'snackbase'::regnamespace
                and (l.lanname = 'plpgsql' and not coalesce('search_path=pg_catalog, pg_temp' = any (p.proconfig), false)
                     or l.lanname = 'sql' and p.prosqlbody is null)",
        );
    }

    #[pg_test]
    fn public_may_execute_what_policies_and_views_call_and_nothing_else() {
        ask("select p.proname
               from pg_proc p
              cross join lateral aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
              where p.pronamespace = 'snackbase'::regnamespace and a.grantee = 0
              order by 1")
        .says(
            "_guard_ddl\n_is_preloaded\n_own_ddl\n_restoring\n_signature_suffices\nabort\ncurrent_account_id\ncurrent_actor\n\
             current_auth_method\ncurrent_role_id\ncurrent_user_email\ncurrent_user_groups\ncurrent_user_id\ncurrent_user_role\n\
             current_user_uuid\ndate_add\ndate_start\nhas_permission\nin_group\nis_audit_reader\nis_authenticated\nis_superadmin\nmask\nnum_add\nnum_divide\nnum_modulo\n\
             num_multiply\nnum_round\nnum_subtract\nrfc3339\nsees_pii\ntext_substring\ntext_substring\nversion",
        );
    }

    #[pg_test]
    fn no_table_is_granted_to_public_or_to_the_gateway() {
        Scene::with_notes();
        none(
            "select c.relname || ' ' || a.privilege_type
               from pg_class c cross join lateral aclexplode(c.relacl) a
              where c.relnamespace in ('snackbase'::regnamespace, 'snackbase_bi'::regnamespace)
                and (a.grantee = 0 or a.grantee = 'snackbase_gateway'::regrole)",
        );
        none(
            "select t.attrelid::regclass || '.' || t.attname
               from pg_attribute t cross join lateral aclexplode(t.attacl) a
              where t.attrelid in (select oid from pg_class where relnamespace = 'snackbase'::regnamespace)
                and (a.grantee = 0 or a.grantee = 'snackbase_gateway'::regrole)",
        );
    }

    #[pg_test]
    fn public_may_not_create_in_our_schemas() {
        none(
            "select n.nspname || ' ' || a.privilege_type
               from pg_namespace n cross join lateral aclexplode(n.nspacl) a
              where n.nspname in ('snackbase', 'snackbase_bi') and (a.grantee = 0 or a.privilege_type = 'CREATE')
                and a.grantee <> n.nspowner
                and a.grantee not in ('snackbase_owner'::regrole, 'snackbase_reader'::regrole)",
        );
    }

    #[pg_test]
    fn our_roles_cannot_log_in_and_have_no_power() {
        none(
            "select rolname from pg_roles
              where rolname like 'snackbase\\_%'
                and (rolsuper or rolbypassrls or rolcreaterole or rolcreatedb or rolreplication or rolcanlogin)",
        );
        ask("select string_agg(rolname, ' ' order by rolname) from pg_roles where rolname like 'snackbase\\_%' and not rolinherit")
            .says("snackbase_gateway snackbase_owner");
        ask("select string_agg(r.rolname, ' ' order by r.rolname)
               from pg_auth_members m join pg_roles r on r.oid = m.roleid
              where m.member = 'snackbase_gateway'::regrole")
        .says(
            "snackbase_admin snackbase_create snackbase_delete snackbase_list snackbase_member snackbase_superadmin snackbase_update snackbase_view",
        );
    }

    #[pg_test]
    fn only_the_gateway_is_granted_settings() {
        ask(
            "select p.parname || ' ' || a.grantee::regrole || ' ' || a.privilege_type
               from pg_parameter_acl p cross join lateral aclexplode(p.paracl) a
              where p.parname like 'snackbase.%' and a.grantee <> 10
              order by 1",
        )
        .says(
            "snackbase.account_id snackbase_gateway SET\n\
             snackbase.api_key_max_per_user snackbase_gateway SET\n\
             snackbase.auth_method snackbase_gateway SET\n\
             snackbase.es_reason snackbase_gateway SET\n\
             snackbase.es_timestamp snackbase_gateway SET\n\
             snackbase.es_user_id snackbase_gateway SET\n\
             snackbase.es_username snackbase_gateway SET\n\
             snackbase.ip_address snackbase_gateway SET\n\
             snackbase.login_lockout_seconds snackbase_gateway SET\n\
             snackbase.login_lockout_threshold snackbase_gateway SET\n\
             snackbase.login_rate_limit_per_minute snackbase_gateway SET\n\
             snackbase.request_id snackbase_gateway SET\n\
             snackbase.user_agent snackbase_gateway SET\n\
             snackbase.user_email snackbase_gateway SET\n\
             snackbase.user_id snackbase_gateway SET",
        );
    }

    #[pg_test]
    fn every_setting_is_superuser_set_and_defined_by_the_library() {
        ask("select name || ' ' || context from pg_settings where name like 'snackbase.%' order by 1").says(
            "snackbase.account_admin_manages_users superuser\n\
             snackbase.account_id superuser\n\
             snackbase.api_key_max_per_user superuser\n\
             snackbase.audit_checkpoint_interval_ms superuser\n\
             snackbase.audit_databases postmaster\n\
             snackbase.audit_key_file superuser\n\
             snackbase.audit_seal_interval_ms superuser\n\
             snackbase.auth_method superuser\n\
             snackbase.batch_max_items superuser\n\
             snackbase.es_reason superuser\n\
             snackbase.es_timestamp superuser\n\
             snackbase.es_user_id superuser\n\
             snackbase.es_username superuser\n\
             snackbase.expand_max_depth superuser\n\
             snackbase.group_writes_admin_only superuser\n\
             snackbase.ip_address superuser\n\
             snackbase.is_demo superuser\n\
             snackbase.login_lockout_seconds superuser\n\
             snackbase.login_lockout_threshold superuser\n\
             snackbase.login_rate_limit_per_minute superuser\n\
             snackbase.refresh_grace_seconds superuser\n\
             snackbase.request_id superuser\n\
             snackbase.session_lifetime_days superuser\n\
             snackbase.sort_bare_desc superuser\n\
             snackbase.subject_master_key_file superuser\n\
             snackbase.subject_master_key_file_previous superuser\n\
             snackbase.user_agent superuser\n\
             snackbase.user_email superuser\n\
             snackbase.user_id superuser",
        );
    }

    #[pg_test]
    fn every_table_and_sequence_of_the_extension_is_dumped_but_the_key_of_cursors() {
        none(
            "select c.relname
               from pg_class c
               join pg_depend d on d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
               join pg_extension e on e.oid = d.refobjid and e.extname = 'snackbase'
              where c.relkind in ('r', 'p', 'S') and not c.oid = any (e.extconfig) and c.relname <> 'cursor_key'",
        );
    }

    #[pg_test]
    fn tables_of_collections_are_no_part_of_the_extension() {
        Scene::with_notes();
        // otherwise pg_dump would leave them out, and DROP EXTENSION would take them along
        none(
            "select c.relname
               from pg_class c
               join pg_depend d on d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
              where c.relname = 'col_notes'",
        );
    }

    #[pg_test]
    fn every_audited_table_has_all_four_triggers() {
        Scene::with_notes();
        ask("select c.relname
               from pg_class c
               join pg_trigger t on t.tgrelid = c.oid and t.tgname in ('audit_insert', 'audit_update', 'audit_delete', 'audit_truncate')
              where c.relnamespace = 'snackbase'::regnamespace and t.tgenabled <> 'D'
              group by c.relname
             having count(*) = 4
              order by 1")
        .says("accounts\napi_keys\naudit_key\ncol_notes\ncollection_rules\ncollections\nconfigurations\nemail_templates\ngroups\ninvitation_groups\ninvitations\nmacros\npermissions\nroles\nsignature_failures\nsubject_erasures\nusers\nusers_groups");
    }

    #[pg_test]
    fn the_ledger_is_guarded_by_triggers_that_always_fire() {
        ask(
            "select string_agg(tgname || ' ' || tgenabled::text, ', ' order by tgname) || ' ' || tgrelid::regclass from pg_trigger
              where tgname like 'prevent\\_%' or tgname = 'audit_restore' group by tgrelid order by tgrelid::regclass::text",
        )
        .says(
            "audit_restore A, prevent_audit_log_delete A, prevent_audit_log_truncate A, prevent_audit_log_update A snackbase.audit_block\n\
             prevent_audit_log_delete A, prevent_audit_log_truncate A, prevent_audit_log_update A snackbase.audit_block_account\n\
             audit_restore A, prevent_audit_log_delete A, prevent_audit_log_truncate A, prevent_audit_log_update A snackbase.audit_change\n\
             prevent_audit_log_delete A, prevent_audit_log_truncate A, prevent_audit_log_update A snackbase.audit_checkpoint\n\
             prevent_audit_log_delete A, prevent_audit_log_truncate A, prevent_audit_log_update A snackbase.audit_import\n\
             prevent_audit_log_delete A, prevent_audit_log_truncate A, prevent_audit_log_update A snackbase.audit_import_break\n\
             prevent_audit_log_delete A, prevent_audit_log_truncate A, prevent_audit_log_update A snackbase.audit_import_entry\n\
             prevent_audit_log_delete A, prevent_audit_log_truncate A, prevent_audit_log_update A snackbase.audit_import_result\n\
             prevent_audit_log_delete A snackbase.audit_key\n\
             prevent_delete A, prevent_update A snackbase.signature_failures\n\
             prevent_delete A, prevent_update A snackbase.subject_erasures",
        );
    }
}
