-- Last: owners, row security of the core tables, what each role may call, what a dump contains.

-- Refuse what could not be trusted anyway.
do $$
declare
    finding record;
begin
    if not snackbase._is_preloaded() then
        raise exception 'snackbase is not in shared_preload_libraries'
            using errcode = '55000',
                  hint = 'Set shared_preload_libraries = ''snackbase'' in postgresql.conf, restart the server, and create the extension again.';
    end if;
    if snackbase._release_finding(current_setting('server_version_num')::int) = 'severe' then
        raise exception 'PostgreSQL % has holes in row security (CVE-2024-10976, CVE-2024-10978)', current_setting('server_version')
            using errcode = '0A000', hint = 'Install the newest minor release of this major version.';
    end if;
    if current_setting('server_encoding') <> 'UTF8' then
        raise exception 'snackbase needs a database with encoding UTF8' using errcode = '0A000';
    end if;
end
$$;

-- Tables and SECURITY DEFINER functions belong to snackbase_owner. Row security is enabled and forced everywhere.
-- Policy `definer` lets those functions work on core tables; on collection tables there is none, so they see nothing.
do $$
declare
    item record;
begin
    for item in
        select c.oid::regclass as relation, c.relkind,
               exists (select from pg_catalog.pg_attribute a where a.attrelid = c.oid and a.attname = 'account_id' and not a.attisdropped) as has_account
          from pg_catalog.pg_class c
         where c.relnamespace = 'snackbase'::regnamespace and c.relkind in ('r', 'v')
         order by c.relname
    loop
        execute format('alter %s %s owner to snackbase_owner', case item.relkind when 'v' then 'view' else 'table' end, item.relation);
        continue when item.relkind = 'v';
        execute format('alter table %s enable row level security', item.relation);
        execute format('alter table %s force row level security', item.relation);
        execute format('create policy definer on %s for all to snackbase_owner using (true) with check (true)', item.relation);
        execute format('create policy superadmin on %s for all to snackbase_superadmin using (true) with check (true)', item.relation);
        if item.has_account then
            execute format('create policy account on %s as restrictive for all
                to snackbase_list, snackbase_view, snackbase_create, snackbase_update, snackbase_delete, snackbase_member, snackbase_admin, snackbase_hook, snackbase_reader
                using (account_id = (select snackbase.current_account_id()))', item.relation);
        end if;
    end loop;

    for item in
        select p.oid::regprocedure as signature
          from pg_catalog.pg_proc p
         where p.pronamespace = 'snackbase'::regnamespace and p.prosecdef
    loop
        execute format('alter function %s owner to snackbase_owner', item.signature);
    end loop;
    -- The views of snackbase_bi belong to the role they read as.
    alter function snackbase._bi_view_replace(text) owner to snackbase_reader;
    alter function snackbase._bi_view_drop(text) owner to snackbase_reader;
    alter function snackbase._bi_view_lock(text) owner to snackbase_reader;
    -- The functions of macros belong to the role they run as; so does what makes and tries them.
    alter function snackbase._macro_function_make(text, int, text) owner to snackbase_hook;
    alter function snackbase._macro_function_drop(text, int) owner to snackbase_hook;
    alter function snackbase._macro_probe(text, int) owner to snackbase_hook;
    alter function snackbase._macro_run(bigint, json) owner to snackbase_hook;
end
$$;

-- What members of an account may read of the core tables.
create policy member on snackbase.accounts for select
    to snackbase_list, snackbase_member
    using (id = (select snackbase.current_account_id()));
create policy member on snackbase.users for select to snackbase_member using (true);
create policy member on snackbase.groups for select to snackbase_member using (true);
create policy member on snackbase.users_groups for select to snackbase_member using (true);
create policy member on snackbase.roles for select to snackbase_member using (true);
create policy member on snackbase.audit_change for select to snackbase_member using ((select snackbase.is_audit_reader()));
create policy member on snackbase.audit_block for select to snackbase_member using (true);
create policy member on snackbase.audit_block_account for select to snackbase_member using ((select snackbase.is_audit_reader()));
create policy member on snackbase.audit_checkpoint for select to snackbase_member using (true);
create policy member on snackbase.audit_key for select to snackbase_member using (true);
create policy member on snackbase.audit_import_entry for select to snackbase_member using ((select snackbase.is_audit_reader()));
create policy member on snackbase.audit_import_break for select to snackbase_member using ((select snackbase.is_audit_reader()));
create policy member on snackbase.macros for select to snackbase_member using (true);

-- Administrators of an account: they read what is said of its people and groups, and write it unless the setting takes that away.
-- The system account is managed by superadmins, whoever is taken for its administrator.
create policy admin on snackbase.accounts for select to snackbase_admin using (id = (select snackbase.current_account_id()));
create policy admin on snackbase.roles for select to snackbase_admin using (true);
create policy admin on snackbase.users for select to snackbase_admin using (true);
create policy admin_insert on snackbase.users for insert to snackbase_admin
    with check ((select current_setting('snackbase.account_admin_manages_users')::boolean) and account_id <> '00000000-0000-0000-0000-000000000000');
create policy admin_update on snackbase.users for update to snackbase_admin
    using ((select current_setting('snackbase.account_admin_manages_users')::boolean) and account_id <> '00000000-0000-0000-0000-000000000000')
    with check (true);
create policy admin on snackbase.groups for select to snackbase_admin using (true);
create policy admin on snackbase.users_groups for select to snackbase_admin using (true);
-- Groups are written by administrators; when snackbase.group_writes_admin_only is off, by every member, but for pii_access.
do $$
declare
    own constant text := 'account_id <> ''00000000-0000-0000-0000-000000000000'' and ';
    managed constant text := '(select current_setting(''snackbase.account_admin_manages_users'')::boolean)';
    opened constant text := '(select not current_setting(''snackbase.group_writes_admin_only'')::boolean) and ';
    other constant text := opened || 'name <> ''pii_access''';
    of_other constant text := opened || 'not exists (select from snackbase.groups g
        where g.id = users_groups.group_id and g.account_id = users_groups.account_id and g.name = ''pii_access'')';
begin
    execute format('create policy admin_insert on snackbase.groups for insert to snackbase_admin with check (%s (%s or %s))', own, managed, other);
    execute format('create policy admin_update on snackbase.groups for update to snackbase_admin using (%1$s (%2$s or %3$s)) with check (%1$s (%2$s or %3$s))',
                   own, managed, other);
    execute format('create policy admin_delete on snackbase.groups for delete to snackbase_admin using (%s (%s or %s))', own, managed, other);
    execute format('create policy member_insert on snackbase.groups for insert to snackbase_member with check (%s %s)', own, other);
    execute format('create policy member_update on snackbase.groups for update to snackbase_member using (%1$s %2$s) with check (%1$s %2$s)', own, other);
    execute format('create policy member_delete on snackbase.groups for delete to snackbase_member using (%s %s)', own, other);
    execute format('create policy admin_insert on snackbase.users_groups for insert to snackbase_admin with check (%s (%s or %s))', own, managed, of_other);
    execute format('create policy admin_delete on snackbase.users_groups for delete to snackbase_admin using (%s (%s or %s))', own, managed, of_other);
    execute format('create policy member_insert on snackbase.users_groups for insert to snackbase_member with check (%s %s)', own, of_other);
    execute format('create policy member_delete on snackbase.users_groups for delete to snackbase_member using (%s %s)', own, of_other);
end
$$;
-- Invitations: every member reads those of its account, without the tokens; administrators make and cancel them.
create policy member on snackbase.invitations for select to snackbase_member using (true);
create policy member on snackbase.invitation_groups for select to snackbase_member using (true);
create policy admin on snackbase.invitations for select to snackbase_admin using (true);
create policy admin_insert on snackbase.invitations for insert to snackbase_admin
    with check ((select current_setting('snackbase.account_admin_manages_users')::boolean) and account_id <> '00000000-0000-0000-0000-000000000000'
                and invited_by = (select snackbase.current_user_uuid()));
create policy admin_update on snackbase.invitations for update to snackbase_admin
    using ((select current_setting('snackbase.account_admin_manages_users')::boolean)) with check (true);
create policy admin on snackbase.invitation_groups for select to snackbase_admin using (true);
create policy admin_insert on snackbase.invitation_groups for insert to snackbase_admin
    with check ((select current_setting('snackbase.account_admin_manages_users')::boolean));

-- What somebody else's SQL (macros) may read of the core tables: the people, groups and roles of its account, and no
-- password hash. Policy `account` binds it as it binds members.
create policy hook on snackbase.accounts for select to snackbase_hook using (id = (select snackbase.current_account_id()));
create policy hook on snackbase.users for select to snackbase_hook using (true);
create policy hook on snackbase.groups for select to snackbase_hook using (true);
create policy hook on snackbase.users_groups for select to snackbase_hook using (true);
create policy hook on snackbase.roles for select to snackbase_hook using (true);

grant select (id, name) on snackbase.accounts to snackbase_list;
grant select on snackbase.accounts, snackbase.groups, snackbase.users_groups, snackbase.roles,
                snackbase.audit_change, snackbase.audit_log,
                snackbase.audit_block, snackbase.audit_block_account, snackbase.audit_checkpoint, snackbase.audit_key
   to snackbase_member;
grant select (id, account_id, email, role_id, is_active, email_verified, created_at, updated_at) on snackbase.users to snackbase_member;
grant select on snackbase.macros to snackbase_member, snackbase_superadmin;
grant select on snackbase.permissions to snackbase_superadmin;
grant select on snackbase.accounts, snackbase.groups, snackbase.users_groups, snackbase.roles to snackbase_hook;
grant select (id, account_id, email, role_id, is_active, email_verified, created_at, updated_at) on snackbase.users to snackbase_hook;

grant select on snackbase.accounts, snackbase.roles, snackbase.groups, snackbase.users_groups to snackbase_admin;
grant insert (account_id, name, description), update (name, description), delete on snackbase.groups to snackbase_admin, snackbase_member;
grant insert (account_id, group_id, user_id), delete on snackbase.users_groups to snackbase_admin, snackbase_member;
-- Everything but the hash, which is written and never read; and nobody of an account is removed.
grant select (id, account_id, email, role_id, is_active, email_verified, email_verified_at, last_login, failed_login_attempts, locked_until,
              auth_provider, auth_provider_name, external_id, external_email, profile_data, created_at, updated_at),
      insert (account_id, email, password_hash, role_id, is_active, email_verified, email_verified_at,
              auth_provider, auth_provider_name, external_id, external_email, profile_data),
      update (email, role_id, is_active, email_verified, email_verified_at,
              auth_provider, auth_provider_name, external_id, external_email, profile_data)
   on snackbase.users to snackbase_admin;

grant select, insert, update, delete on snackbase.accounts, snackbase.account_code_counter, snackbase.roles, snackbase.users,
                snackbase.groups, snackbase.users_groups
   to snackbase_superadmin;
grant select on snackbase.collections, snackbase.collection_rules, snackbase.migrations, snackbase.sessions,
                snackbase.audit_change, snackbase.audit_log, snackbase.signature_failures, snackbase.subject_erasures, snackbase.audit_masks,
                snackbase.audit_block, snackbase.audit_block_account, snackbase.audit_checkpoint, snackbase.audit_key, snackbase.audit_anchor
   to snackbase_superadmin;

do $$
declare
    item regprocedure;
begin
    for item in
        select p.oid from pg_catalog.pg_proc p
         where p.pronamespace = 'snackbase'::regnamespace and p.proname in ('audit_verify', 'audit_verify_report')
    loop
        execute format('alter function %s set search_path = pg_catalog, pg_temp', item);
        execute format('alter function %s set extra_float_digits = 1', item);
        execute format('alter function %s set datestyle = ''ISO, YMD''', item);
        execute format('alter function %s set intervalstyle = ''postgres''', item);
        execute format('alter function %s set bytea_output = ''hex''', item);
        -- Two or three sorts at a time, whatever the server allows: memory stays flat.
        execute format('alter function %s set work_mem = ''16MB''', item);
    end loop;
end
$$;

grant select on snackbase.audit_import, snackbase.audit_import_result, snackbase.audit_import_entry, snackbase.audit_import_break,
                snackbase.audit_imported
   to snackbase_superadmin;
grant select on snackbase.audit_import_entry, snackbase.audit_import_break, snackbase.audit_imported to snackbase_member;

-- Only these insert into imported logs. (What looks at an import when it commits runs as whoever commits.)
alter function snackbase._audit_import_complete() security definer;
alter function snackbase._audit_import_complete() owner to snackbase_owner;
alter function snackbase.audit_import_begin(text) security definer;
alter function snackbase.audit_import_begin(text) owner to snackbase_owner;
alter function snackbase.audit_import_add(bigint, bigint, text[]) security definer;
alter function snackbase.audit_import_add(bigint, bigint, text[]) owner to snackbase_owner;
alter function snackbase.audit_import_add(bigint, bigint, text[]) set search_path = pg_catalog, pg_temp;
alter function snackbase.audit_import_finish(bigint) security definer;
alter function snackbase.audit_import_finish(bigint) owner to snackbase_owner;

-- Operators in what these ask mean PostgreSQL's own, whatever search_path the session has.
alter function snackbase.audit_list(json) set search_path = pg_catalog, pg_temp;
alter function snackbase.audit_view(bigint) set search_path = pg_catalog, pg_temp;
alter function snackbase.audit_imported_list(json) set search_path = pg_catalog, pg_temp;
alter function snackbase.audit_export(json) set search_path = pg_catalog, pg_temp;
alter function snackbase.record_at(text, text, timestamptz, uuid) set search_path = pg_catalog, pg_temp;
alter function snackbase.account_at(uuid, timestamptz) set search_path = pg_catalog, pg_temp;
alter function snackbase.audit_proof(bigint, bigint) set search_path = pg_catalog, pg_temp;
alter function snackbase.audit_consistency(bigint, bigint) set search_path = pg_catalog, pg_temp;
alter function snackbase.audit_checkpoint_view(bigint) set search_path = pg_catalog, pg_temp;
alter function snackbase.audit_account_export(uuid, bigint, bigint[]) set search_path = pg_catalog, pg_temp;

-- The sealer finds changes by their ids, whatever the statistics say; sorting a large block may take some memory, no more.
alter function snackbase.audit_seal(boolean) set search_path = pg_catalog, pg_temp;
alter function snackbase.audit_seal(boolean) set enable_seqscan = off;
alter function snackbase.audit_seal(boolean) set enable_bitmapscan = off;
alter function snackbase.audit_seal(boolean) set jit = off;
alter function snackbase.audit_seal(boolean) set work_mem = '64MB';
alter function snackbase.audit_status() set enable_seqscan = off;
alter function snackbase.audit_status() set jit = off;

-- What changes a schema waits for a busy table no longer than this; "does not exist, skipping" is not news to whoever does
-- it; and values become the texts of the trail, as in the recorder.
do $$
declare
    item regprocedure;
begin
    for item in
        select p.oid from pg_catalog.pg_proc p
         where p.pronamespace = 'snackbase'::regnamespace
           and p.proname in ('collection_define', 'collection_change', 'collection_rules_change', 'collection_drop',
                             'collection_import', 'migration_generate')
    loop
        execute format('alter function %s set lock_timeout = ''2s''', item);
        execute format('alter function %s set client_min_messages = warning', item);
        execute format('alter function %s set extra_float_digits = 1', item);
        execute format('alter function %s set datestyle = ''ISO, YMD''', item);
        execute format('alter function %s set intervalstyle = ''postgres''', item);
        execute format('alter function %s set bytea_output = ''hex''', item);
    end loop;
end
$$;

alter function snackbase.macro_change(bigint, json) set lock_timeout = '2s';
alter function snackbase.macro_create(json) set lock_timeout = '2s';
alter function snackbase.macro_drop(bigint) set lock_timeout = '2s';
alter function snackbase.macro_change(bigint, json) set client_min_messages = warning;
alter function snackbase._permission_set(int, text, text, text, json) set lock_timeout = '2s';
alter function snackbase._permission_set(int, text, text, text, json) set client_min_messages = warning;
alter function snackbase.permission_drop(bigint) set lock_timeout = '2s';
alter function snackbase.permission_drop(bigint) set client_min_messages = warning;
-- Bodies of macros are read as an author writes them: names of collections' tables (col_posts) and of core tables (users)
-- without a schema, never hiding what PostgreSQL has, and a backslash in a plain string is itself.
alter function snackbase._macro_function_make(text, int, text) set search_path = pg_catalog, snackbase, pg_temp;
alter function snackbase._macro_function_make(text, int, text) set standard_conforming_strings = on;
alter function snackbase._macro_probe(text, int) set search_path = pg_catalog, snackbase, pg_temp;
alter function snackbase._macro_probe(text, int) set standard_conforming_strings = on;
alter function snackbase._macro_run(bigint, json) set search_path = pg_catalog, snackbase, pg_temp;
alter function snackbase._macro_run(bigint, json) set standard_conforming_strings = on;

-- Functions: nothing for PUBLIC except what policies and views call in the name of whoever asks.
revoke all on all functions in schema snackbase from public;
grant execute on function
    snackbase.current_account_id(), snackbase.current_user_id(), snackbase.current_user_uuid(), snackbase.current_user_email(),
    snackbase.current_user_role(), snackbase.current_role_id(), snackbase.has_permission(text, text), snackbase.current_user_groups(), snackbase.current_auth_method(), snackbase.current_actor(),
    snackbase.is_authenticated(), snackbase.is_superadmin(), snackbase.is_audit_reader(), snackbase.in_group(text), snackbase.sees_pii(),
    snackbase.mask(text, text), snackbase.rfc3339(timestamptz),
    snackbase.num_add(float8, float8), snackbase.num_subtract(float8, float8), snackbase.num_multiply(float8, float8),
    snackbase.num_divide(float8, float8), snackbase.num_modulo(float8, float8), snackbase.num_round(float8, float8),
    snackbase.text_substring(text, float8), snackbase.text_substring(text, float8, float8),
    snackbase.date_start(date), snackbase.date_add(timestamptz, float8, text),
    snackbase.version(), snackbase._restoring(), snackbase._is_preloaded(), snackbase._signature_suffices(text, boolean), snackbase._own_ddl(), snackbase._guard_ddl(),
    snackbase.abort(int, text)
   to public;
-- Functions of macros have no other door. The roles whose policies call them; BI logins, in whose name the policies of a view's
-- tables call functions; and the owner, because the actions of foreign keys run as the owner of the table: the update trigger does
-- not bind it, but Postgres asks for the right before it evaluates the trigger's condition. `snackbase_hook`: a macro may call another.
grant execute on function snackbase._macro_call(regprocedure, variadic "any"), snackbase._macro_call(regprocedure)
   to snackbase_list, snackbase_view, snackbase_create, snackbase_update, snackbase_delete, snackbase_reader, snackbase_bi, snackbase_superadmin,
      snackbase_hook;
grant execute on all functions in schema snackbase to snackbase_owner;
grant execute on function snackbase._macro_probe(text, int), snackbase._truth(boolean), snackbase._truth(float8), snackbase._truth(text)
   to snackbase_hook;
grant execute on function snackbase.macro_list(bigint, bigint), snackbase.macro_view(bigint), snackbase._macro_json(snackbase.macros)
   to snackbase_gateway, snackbase_member, snackbase_superadmin;
grant execute on function
    snackbase.macro_create(json), snackbase.macro_change(bigint, json), snackbase.macro_drop(bigint), snackbase.macro_test(bigint, json)
   to snackbase_gateway, snackbase_superadmin;
grant execute on function
    snackbase.rules_validate(text, text, json, text), snackbase.rules_test(text, json), snackbase.role_rule_test(text, json), snackbase.role_rule_validate(text)
   to snackbase_gateway, snackbase_superadmin;
grant execute on function snackbase.subject_erase(uuid, text) to snackbase_gateway, snackbase_superadmin;
grant execute on function snackbase.subject_keys_rewrap(uuid, int) to snackbase_gateway;
grant execute on function
    snackbase._subject_hold(uuid, text), snackbase._subject_key_destroy(uuid, text, bigint), snackbase._audit_treatment(text, text[])
   to snackbase_superadmin;
grant execute on function snackbase._audit_reveal(uuid, text, text, text, text) to snackbase_gateway, snackbase_member, snackbase_superadmin;
grant execute on function snackbase.explain_rule(text, text, text, json) to snackbase_superadmin;
grant execute on function
    snackbase.role_list(), snackbase.role_view(bigint), snackbase.role_create(json), snackbase.role_change(bigint, json), snackbase.role_drop(bigint),
    snackbase.role_permissions(bigint), snackbase.role_permissions_matrix(bigint), snackbase.role_permissions_change(bigint, json),
    snackbase.permission_drop(bigint)
   to snackbase_gateway, snackbase_superadmin;
grant execute on function
    snackbase._role_json(snackbase.roles), snackbase._role_find(bigint), snackbase._role_store(bigint, json),
    snackbase._permission_json(text, snackbase.permissions), snackbase._permission_set(int, text, text, text, json)
   to snackbase_superadmin;
grant execute on function snackbase._macro_run(bigint, json), snackbase._time_limit(int), snackbase._time_limit_end() to snackbase_superadmin;
grant execute on function snackbase._collection_load(text) to snackbase_reader;
grant execute on function
    snackbase._collection_load(text),
    snackbase.records_list(text, text, text, bigint, bigint, text, text, text, text, boolean), snackbase.records_view(text, text, text, text),
    snackbase.records_aggregate(text, text, text, text, text),
    snackbase.records_create(text, json), snackbase.records_update(text, text, json, boolean, text), snackbase.records_delete(text, text, text),
    snackbase.records_create_many(text, json), snackbase.records_update_many(text, json), snackbase.records_delete_many(text, json)
   to snackbase_gateway, snackbase_list, snackbase_view, snackbase_create, snackbase_update, snackbase_delete, snackbase_superadmin;
grant execute on function
    snackbase.audit_list(json), snackbase.audit_view(bigint), snackbase.audit_export(json), snackbase.audit_imported_list(json),
    snackbase.record_at(text, text, timestamptz, uuid), snackbase.account_at(uuid, timestamptz),
    snackbase._audit_header(snackbase.audit_change), snackbase._audit_sees_everything(), snackbase._audit_shown(text, text, text),
    snackbase._audit_header_hash(uuid, text, text, timestamptz, text, text, text, timestamptz, text, text, bigint, text, text, text, text, text, text),
    snackbase._audit_chain(bytea, json, bytea), snackbase._audit_entries(bytea, json, bytea), snackbase.auth_me(), snackbase.auth_accounts(),
    snackbase.audit_proof(bigint, bigint), snackbase.audit_consistency(bigint, bigint), snackbase.audit_checkpoint_view(bigint),
    snackbase.audit_account_export(uuid, bigint, bigint[])
   to snackbase_gateway, snackbase_member, snackbase_superadmin;
-- The gateway evaluates these calls before it has a role, so it needs the right to name them; each looks at the caller itself,
-- or touches only what the role taken by enter() may touch.
grant execute on function
    snackbase.enter(json, text),
    snackbase.auth_register(text, text, text, text), snackbase.auth_login_find(text, text, text, text),
    snackbase.auth_login_finish(uuid, uuid, text, text, uuid, uuid, text, timestamptz), snackbase.auth_login_failed(uuid, uuid),
    snackbase.signature_find(text, text), snackbase.signature_failed(text, uuid, text, text, text, text, text, text),
    snackbase.auth_refresh(uuid, text, uuid, text, timestamptz), snackbase.auth_logout(uuid, boolean),
    snackbase.auth_invitation_view(text), snackbase.auth_invitation_find(text),
    snackbase.auth_invitation_accept(text, uuid, text, uuid, uuid, text, timestamptz),
    snackbase.auth_join(text, text, text), snackbase.single_tenant_ensure(text, text, text),
    snackbase.auth_forgot_password(text, text, text, text), snackbase.auth_reset_check(text), snackbase.auth_reset_password(text, text),
    snackbase.auth_verify_email(text), snackbase.auth_verification_request(text, text, text, text),
    snackbase.superadmin_exists(), snackbase.superadmin_create(text, text, boolean), snackbase.doctor()
   to snackbase_gateway;
grant execute on function
    snackbase.collection_list(bigint, bigint, text, text, text), snackbase.collection_names(), snackbase.collection_view(text),
    snackbase.collection_define(json), snackbase.collection_change(text, json), snackbase.collection_drop(text),
    snackbase.collection_rules_view(text), snackbase.collection_rules_change(text, json),
    snackbase._collection_find(text), snackbase._collection_json(snackbase.collections),
    snackbase._retype(text, text, text), snackbase._instant_text(timestamptz),
    snackbase.collection_export(text), snackbase.collection_import(json),
    snackbase._import_groups(json), snackbase._import_group(json),
    snackbase.migration_plan(json), snackbase.migration_generate(json),
    snackbase.migration_list(), snackbase.migration_history(), snackbase.migration_current(),
    snackbase._migration_text(snackbase.migrations),
    snackbase.account_create(text, text), snackbase.account_list(bigint, bigint, text, text, text), snackbase.account_view(text),
    snackbase.account_change(text, text), snackbase.account_drop(text), snackbase.account_users(text, bigint, bigint),
    snackbase._page(bigint, bigint),
    snackbase._account_create(text, text, text, boolean), snackbase._account_detail(snackbase.accounts), snackbase._account_row(text), snackbase._collections_used(uuid),
    snackbase._account_code_take(), snackbase._account_code_after(int), snackbase._account_code_text(int), snackbase._account_code_value(text),
    snackbase._slug_from(text), snackbase._slug_problem(text), snackbase._slug_check(text, text)
   to snackbase_superadmin;
-- Groups, for everybody of an account; what is written is for whom the policies name.
grant execute on function
    snackbase.group_check(text), snackbase.group_list(json), snackbase.group_view(uuid), snackbase.group_create(json), snackbase.group_change(uuid, json),
    snackbase.group_drop(uuid), snackbase.group_member_add(uuid, uuid), snackbase.group_member_remove(uuid, uuid)
   to snackbase_gateway, snackbase_member, snackbase_admin, snackbase_superadmin;
grant execute on function
    snackbase._group_json(uuid, uuid), snackbase._group_detail(uuid, uuid), snackbase._group_row(uuid), snackbase._group_fits(json),
    snackbase._user_brief_json(uuid, uuid), snackbase._account_find(text),
    snackbase._containing(text), snackbase._part(json, bigint, bigint), snackbase._misfit(text, text, text), snackbase._taken(text, text)
   to snackbase_member, snackbase_admin, snackbase_superadmin;
grant select (id, account_id, email, role_id, invited_by, expires_at, mail_id, email_sent_at, accepted_at, cancelled_at, ended_at, created_at, updated_at)
   on snackbase.invitations to snackbase_member, snackbase_admin;
-- (who verifies the trail compares it with the rows)
grant select on snackbase.invitations to snackbase_superadmin;
grant insert (account_id, email, role_id, invited_by), update (cancelled_at, ended_at, token_hash)
   on snackbase.invitations to snackbase_admin, snackbase_superadmin;
grant select on snackbase.invitation_groups to snackbase_member, snackbase_admin, snackbase_superadmin;
grant insert on snackbase.invitation_groups to snackbase_admin, snackbase_superadmin;
grant execute on function snackbase.invitation_list(json) to snackbase_gateway, snackbase_member, snackbase_superadmin;
grant execute on function snackbase.invitation_create(json), snackbase.invitation_resend(uuid), snackbase.invitation_cancel(uuid)
   to snackbase_gateway, snackbase_admin, snackbase_superadmin;
grant execute on function snackbase._invitation_json(uuid, text), snackbase._invitation_status(timestamptz, timestamptz, timestamptz)
   to snackbase_member, snackbase_admin, snackbase_superadmin;
-- Of people of one account; each refuses a caller of another one.
grant execute on function
    snackbase._sessions_end(uuid, uuid), snackbase._password_set(uuid, uuid, text),
    snackbase._verification_send(uuid, uuid), snackbase._reset_send(uuid, uuid), snackbase._invitation_send(uuid, uuid)
   to snackbase_admin, snackbase_superadmin;
-- People, for administrators of an account and superadmins.
grant execute on function
    snackbase.people_check(), snackbase.user_list(json), snackbase.user_view(uuid), snackbase.user_create(json),
    snackbase.user_change(uuid, json), snackbase.user_drop(uuid), snackbase.user_verify(uuid),
    snackbase.user_password_change(uuid, text, boolean), snackbase.user_verification_send(uuid)
   to snackbase_gateway, snackbase_admin, snackbase_superadmin;
grant execute on function
    snackbase._user_account(uuid), snackbase._role_wanted(json),
    snackbase._user_insert(uuid, text, text, int, boolean, boolean, json), snackbase._user_refuse(text), snackbase._user_json(uuid, uuid)
   to snackbase_admin, snackbase_superadmin;
grant execute on function
    snackbase.audit_verify(uuid, bigint, boolean, int, text), snackbase.audit_verify_report(json)
   to snackbase_gateway, snackbase_superadmin, snackbase_member;
grant execute on function
    snackbase.collection_list(bigint, bigint, text, text, text), snackbase.collection_names(), snackbase.collection_view(text),
    snackbase.collection_define(json), snackbase.collection_change(text, json), snackbase.collection_drop(text),
    snackbase.collection_rules_view(text), snackbase.collection_rules_change(text, json),
    snackbase.collection_export(text), snackbase.collection_import(json),
    snackbase.migration_plan(json), snackbase.migration_generate(json),
    snackbase.migration_list(), snackbase.migration_history(), snackbase.migration_current(),
    snackbase.account_create(text, text), snackbase.account_list(bigint, bigint, text, text, text), snackbase.account_view(text),
    snackbase.account_change(text, text), snackbase.account_drop(text), snackbase.account_users(text, bigint, bigint)
   to snackbase_gateway;
grant execute on function snackbase.doctor() to snackbase_superadmin;
grant execute on function
    snackbase.audit_import_begin(text), snackbase.audit_import_add(bigint, bigint, text[]), snackbase.audit_import_finish(bigint)
   to snackbase_gateway, snackbase_superadmin;

-- Configuration. Superadmins see secrets as they are stored: encrypted with a key that is not here.
grant select, insert, update, delete on snackbase.configurations to snackbase_superadmin;
grant execute on function
    snackbase.configuration_candidates(uuid, text), snackbase.configuration_secrets(), snackbase.configuration_secrets_change(uuid, int, json)
   to snackbase_gateway;
grant execute on function
    snackbase.configuration_stats(), snackbase.configuration_recent(bigint), snackbase.configuration_list(text, text),
    snackbase.configuration_providers(text), snackbase.configuration_schema(text, text),
    snackbase.configuration_draft(uuid, text, text, text, json), snackbase.configuration_create(json),
    snackbase.configuration_enable(uuid, boolean), snackbase.configuration_values(uuid),
    snackbase.configuration_values_change(uuid, int, json, json), snackbase.configuration_default_set(uuid),
    snackbase.configuration_default_unset(uuid), snackbase.configuration_drop(uuid)
   to snackbase_gateway, snackbase_superadmin;
grant execute on function
    snackbase.get_config(uuid, text, text), snackbase._configuration_row(uuid), snackbase._configuration_definitions(), snackbase._configuration_schema(text, text, jsonb),
    snackbase._configuration_defaults(jsonb), snackbase._configuration_logo(text), snackbase._configuration_is_destination(text),
    snackbase._oauth_properties(jsonb), snackbase._saml_properties()
   to snackbase_superadmin;

-- API keys. Administrators have their own, and nobody reads a hash but superadmins, who may bring keys of an original instance.
create policy own on snackbase.api_keys for all to snackbase_admin
    using (user_id = (select snackbase.current_user_uuid())) with check (user_id = (select snackbase.current_user_uuid()));
create policy own on snackbase.api_key_uses for select to snackbase_admin
    using (exists (select from snackbase.api_keys k where k.id = key_id and k.account_id = api_key_uses.account_id));
grant select (id, account_id, user_id, name, prefix, first_four, last_four, scopes, expires_at, is_active, place, created_at, updated_at),
      insert (id, account_id, user_id, name, key_hash, first_four, last_four, scopes, expires_at), update (is_active)
   on snackbase.api_keys to snackbase_admin;
grant select on snackbase.api_key_uses to snackbase_admin, snackbase_superadmin;
grant select, insert, update, delete on snackbase.api_keys to snackbase_superadmin;
grant execute on function
    snackbase.api_key_list(bigint, bigint), snackbase.api_key_view(uuid), snackbase.api_key_create(uuid, text, text, text, int, json),
    snackbase.api_key_revoke(uuid)
   to snackbase_gateway, snackbase_admin, snackbase_superadmin;
grant execute on function snackbase._api_keys_shown() to snackbase_admin, snackbase_superadmin;

-- The dashboard counts mail and sessions, and sees nothing of them.
grant select (id, account_id, status, attempts) on snackbase.mail_outbox to snackbase_superadmin;
grant select (id, account_id, session_id, expires_at, spent_at) on snackbase.refresh_tokens to snackbase_superadmin;
grant execute on function snackbase.dashboard_stats(int) to snackbase_gateway, snackbase_superadmin;
grant execute on function snackbase._dashboard_records(), snackbase._dashboard_audit(date, date), snackbase._dashboard_series(date, date, timestamptz[])
   to snackbase_superadmin;

-- Mail. The queue is read by nobody: its functions show what may be shown.
grant select, insert, update, delete on snackbase.email_templates to snackbase_superadmin;
grant execute on function snackbase.mail_claim(int, int, int), snackbase.mail_finish(bigint, int, text, text, text, int) to snackbase_gateway;
grant execute on function
    snackbase.email_template_list(json), snackbase.email_template_view(uuid), snackbase.email_template_find(text, text, text),
    snackbase.email_template_change(uuid, json), snackbase.email_template_create(json), snackbase.email_template_drop(uuid),
    snackbase.mail_log_list(json), snackbase.mail_log_view(bigint), snackbase.mail_log_add(text, text, text, json, text, text)
   to snackbase_gateway, snackbase_superadmin;
grant execute on function
    snackbase._mail_enqueue(uuid, text, text, jsonb, text), snackbase._email_template_json(snackbase.email_templates),
    snackbase._email_template_type(text), snackbase._email_template_find(uuid, text, text), snackbase._email_template_refuse(text)
   to snackbase_superadmin;
grant execute on function
    snackbase.audit_seal(boolean), snackbase.audit_status(),
    snackbase.audit_anchor_claim(text, int, boolean), snackbase.audit_anchor_done(text, bigint, text)
   to snackbase_gateway, snackbase_superadmin;

-- pg_dump: the rows of our tables, less what CREATE EXTENSION inserts itself (and guards against change).
select pg_catalog.pg_extension_config_dump('snackbase.accounts', $$where id <> '00000000-0000-0000-0000-000000000000'$$);
select pg_catalog.pg_extension_config_dump('snackbase.account_code_counter', '');
select pg_catalog.pg_extension_config_dump('snackbase.roles', 'where id > 2');
select pg_catalog.pg_extension_config_dump('snackbase.roles_id_seq', '');
select pg_catalog.pg_extension_config_dump('snackbase.users', '');
select pg_catalog.pg_extension_config_dump('snackbase.groups', '');
select pg_catalog.pg_extension_config_dump('snackbase.users_groups', '');
select pg_catalog.pg_extension_config_dump('snackbase.sessions', '');
select pg_catalog.pg_extension_config_dump('snackbase.refresh_tokens', '');
select pg_catalog.pg_extension_config_dump('snackbase.one_time_tokens', '');
select pg_catalog.pg_extension_config_dump('snackbase.invitations', '');
select pg_catalog.pg_extension_config_dump('snackbase.invitation_groups', '');
select pg_catalog.pg_extension_config_dump('snackbase.login_failures', '');
select pg_catalog.pg_extension_config_dump('snackbase.login_failures_id_seq', '');
select pg_catalog.pg_extension_config_dump('snackbase.api_keys', '');
select pg_catalog.pg_extension_config_dump('snackbase.api_key_uses', '');
select pg_catalog.pg_extension_config_dump('snackbase.collections', '');
select pg_catalog.pg_extension_config_dump('snackbase.collection_rules', '');
select pg_catalog.pg_extension_config_dump('snackbase.macros', '');
select pg_catalog.pg_extension_config_dump('snackbase.macros_id_seq', '');
select pg_catalog.pg_extension_config_dump('snackbase.migrations', '');
select pg_catalog.pg_extension_config_dump('snackbase.migrations_position_seq', '');
select pg_catalog.pg_extension_config_dump('snackbase.permissions', '');
select pg_catalog.pg_extension_config_dump('snackbase.permissions_id_seq', '');
select pg_catalog.pg_extension_config_dump('snackbase.subject_keys', '');
select pg_catalog.pg_extension_config_dump('snackbase.subject_erasures', '');
select pg_catalog.pg_extension_config_dump('snackbase.subject_erasures_id_seq', '');
select pg_catalog.pg_extension_config_dump('snackbase.signature_failures', '');
select pg_catalog.pg_extension_config_dump('snackbase.signature_failures_id_seq', '');
select pg_catalog.pg_extension_config_dump('snackbase.configurations', 'where not is_builtin or updated_at > created_at');
select pg_catalog.pg_extension_config_dump('snackbase.email_templates', 'where not is_builtin or updated_at > created_at');
-- (a restored database must not send again what waits here; and tokens have no place in a dump)
select pg_catalog.pg_extension_config_dump('snackbase.mail_outbox', $$where status <> 'pending'$$);
select pg_catalog.pg_extension_config_dump('snackbase.mail_outbox_id_seq', '');
select pg_catalog.pg_extension_config_dump('snackbase.audit_change', '');
select pg_catalog.pg_extension_config_dump('snackbase.audit_change_id_seq', '');
select pg_catalog.pg_extension_config_dump('snackbase.audit_import', '');
select pg_catalog.pg_extension_config_dump('snackbase.audit_import_id_seq', '');
select pg_catalog.pg_extension_config_dump('snackbase.audit_import_result', '');
select pg_catalog.pg_extension_config_dump('snackbase.audit_import_entry', '');
select pg_catalog.pg_extension_config_dump('snackbase.audit_import_break', '');
select pg_catalog.pg_extension_config_dump('snackbase.audit_block', '');
select pg_catalog.pg_extension_config_dump('snackbase.audit_block_account', '');
select pg_catalog.pg_extension_config_dump('snackbase.audit_key', '');
select pg_catalog.pg_extension_config_dump('snackbase.audit_checkpoint', '');
select pg_catalog.pg_extension_config_dump('snackbase.audit_anchor', '');

-- Now that everything stands: note what guards it, for doctor() to miss what is dropped later. (A trigger's definition names
-- everything in full when nothing is in search_path.)
do $$
declare
    path constant text := current_setting('search_path');
    guards text;
begin
    perform set_config('search_path', 'pg_catalog, pg_temp', true);
    select string_agg(format('(%L, %L, %L, %L)', g.kind, g.relation, g.name, g.definition), E',\n        ' order by g.relation, g.kind, g.name)
      into guards
      from (select 'trigger' as kind, c.relname as relation, t.tgname as name,
                   pg_get_triggerdef(t.oid) || case when t.tgenabled = 'A'
                       then format('; alter table snackbase.%I enable always trigger %I', c.relname, t.tgname) else '' end as definition
              from pg_trigger t
              join pg_class c on c.oid = t.tgrelid
             where c.relnamespace = 'snackbase'::regnamespace and not t.tgisinternal
             union all
            select 'policy', c.relname, p.polname, 'Restore the database from a backup.'
              from pg_policy p
              join pg_class c on c.oid = p.polrelid
             where c.relnamespace = 'snackbase'::regnamespace) g;
    execute format('create function snackbase._guards() returns table (kind text, relation text, name text, definition text)
language sql immutable parallel safe
begin atomic
    select g.kind, g.relation, g.name, g.definition
      from (values
        %s) as g(kind, relation, name, definition);
end', guards);
    perform set_config('search_path', path, true);
end
$$;
revoke all on function snackbase._guards() from public;
grant execute on function snackbase._guards() to snackbase_owner;

-- What the installation itself put into audited tables is older than the trail. So note what it was, for verification to miss what
-- becomes of it without an entry (src/audit/verify/seeds.rs). Times differ from installation to installation.
create function snackbase._seed_rows() returns table (relation text, record text, digest text)
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
    select r.relation, r.record, encode(sha256(convert_to((r.content - array['created_at', 'updated_at'])::text, 'UTF8')), 'hex')
      from (select 'accounts' as relation, t.id::text as record, to_jsonb(t) as content from snackbase.accounts t
             where t.id = '00000000-0000-0000-0000-000000000000'
             union all
            select 'roles', t.id::text, to_jsonb(t) from snackbase.roles t where t.id <= 2
             union all
            select 'email_templates', t.id::text, to_jsonb(t) from snackbase.email_templates t where t.id::text like '00000000-0000-4000-8000-%'
             union all
            select 'configurations', t.id::text, to_jsonb(t) from snackbase.configurations t where t.id::text like '00000000-0000-4000-8000-%') r;
end;
do $$
begin
    execute format('create function snackbase._seeds() returns table (relation text, record text, digest text)
language sql immutable parallel safe
begin atomic
    select s.relation, s.record, s.digest
      from (values
        %s) as s(relation, record, digest);
end', (select string_agg(format('(%L, %L, %L)', r.relation, r.record, r.digest), E',\n        ' order by r.relation, r.record)
         from snackbase._seed_rows() r));
end
$$;
revoke all on function snackbase._seed_rows(), snackbase._seeds() from public;
grant execute on function snackbase._seed_rows(), snackbase._seeds() to snackbase_owner;

-- And guard it (095_doors.sql).
create event trigger snackbase_guard_ddl on ddl_command_end execute function snackbase._guard_ddl();
create event trigger snackbase_guard_drop on sql_drop execute function snackbase._guard_ddl();
alter event trigger snackbase_guard_ddl enable always;
alter event trigger snackbase_guard_drop enable always;
