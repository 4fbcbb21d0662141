-- Logs of an original instance (hash version 1): kept as they came, verified by their own rules. audit/import.rs fills the tables.

create table snackbase.audit_import (
    id bigint generated always as identity primary key,
    -- where it came from: the name of a file
    source text not null,
    imported_by text not null,
    imported_at timestamptz not null default clock_timestamp()
);

-- What an import amounted to: there once it is complete.
create table snackbase.audit_import_result (
    import_id bigint primary key references snackbase.audit_import (id),
    entry_count bigint not null,
    break_count bigint not null,
    first_id bigint,
    last_id bigint
);

create table snackbase.audit_import_entry (
    import_id bigint not null,
    -- the original's
    id bigint not null,
    account_id uuid not null,
    operation text not null constraint ck_audit_import_operation check (operation in ('CREATE', 'UPDATE', 'DELETE')),
    table_name text not null,
    record_id text not null,
    column_name text not null,
    old_value text,
    new_value text,
    user_id text not null,
    user_email text not null,
    user_name text not null,
    es_username text,
    es_reason text,
    es_timestamp timestamptz,
    ip_address text,
    user_agent text,
    request_id text,
    occurred_at timestamptz not null,
    -- json and not jsonb: numbers are hashed as they were spelt
    extra_metadata json,
    -- both as the log had them, whether they are right or not
    checksum text,
    previous_hash text,
    -- the version-1 checksum of what is stored here: what a notarised block is built on
    computed bytea not null constraint audit_import_entry_computed_check check (octet_length(computed) = 32),
    primary key (import_id, id, account_id)
);

-- For an account's readers.
create index audit_import_entry_account_idx on snackbase.audit_import_entry (account_id, import_id, id);

-- What is wrong with a log, as the original would find it.
create table snackbase.audit_import_break (
    import_id bigint not null,
    entry_id bigint not null,
    account_id uuid not null,
    kind text not null constraint audit_import_break_kind_check check (kind in ('checksum', 'link')),
    expected text,
    actual text,
    primary key (import_id, entry_id, kind, account_id)
);

do $$
declare
    relation text;
begin
    foreach relation in array array['audit_import', 'audit_import_result', 'audit_import_entry', 'audit_import_break'] loop
        execute format('create trigger prevent_audit_log_update before update on snackbase.%I
                        for each row execute function snackbase._audit_immutable()', relation);
        execute format('create trigger prevent_audit_log_delete before delete on snackbase.%I
                        for each row execute function snackbase._audit_immutable()', relation);
        execute format('create trigger prevent_audit_log_truncate before truncate on snackbase.%I
                        for each statement execute function snackbase._audit_immutable()', relation);
        execute format('alter table snackbase.%I enable always trigger prevent_audit_log_update', relation);
        execute format('alter table snackbase.%I enable always trigger prevent_audit_log_delete', relation);
        execute format('alter table snackbase.%I enable always trigger prevent_audit_log_truncate', relation);
    end loop;
end
$$;

-- An import is complete or was never there: looked at when its transaction commits.
create function snackbase._audit_import_complete() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if not snackbase._restoring() and not exists (select from snackbase.audit_import_result r where r.import_id = new.id) then
        raise exception 'import % was begun and not finished', new.id using errcode = '23514';
    end if;
    return null;
end
$$;

create constraint trigger audit_import_complete after insert on snackbase.audit_import
    deferrable initially deferred for each row execute function snackbase._audit_import_complete();

create function snackbase.audit_import_begin(source text) returns bigint
language sql
set search_path = pg_catalog, pg_temp
begin atomic
    insert into snackbase.audit_import (source, imported_by) values (source, snackbase.current_actor()) returning id;
end;

-- Ends an import, and closes a block over it. {"import_id", "block", "entries", "accounts", "first_id", "last_id", "breaks", "first_breaks": [{"id", "kind", "expected", "actual"}]},
-- the last of at most 100.
create function snackbase.audit_import_finish(import_id bigint) returns json
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    result snackbase.audit_import_result;
    accounts bigint;
    block bigint;
begin
    select audit_import_finish.import_id, count(*), null, min(e.id), max(e.id), count(distinct e.account_id)
      into result.import_id, result.entry_count, result.break_count, result.first_id, result.last_id, accounts
      from snackbase.audit_import_entry e
     where e.import_id = audit_import_finish.import_id;
    if result.entry_count = 0 then
        raise exception 'the log has no entry' using errcode = '22023';
    end if;
    result.break_count := (select count(*) from snackbase.audit_import_break b where b.import_id = result.import_id);
    insert into snackbase.audit_import_result select result.*;
    block := snackbase._audit_import_notarise(result.import_id);
    return json_build_object('import_id', result.import_id, 'block', block, 'entries', result.entry_count, 'accounts', accounts,
        'first_id', result.first_id, 'last_id', result.last_id, 'breaks', result.break_count,
        'first_breaks', (select coalesce(json_agg(json_build_object('id', b.entry_id, 'kind', b.kind, 'expected', b.expected, 'actual', b.actual)
                                                  order by b.entry_id, b.kind), '[]')
                           from (select * from snackbase.audit_import_break k
                                  where k.import_id = result.import_id order by k.entry_id, k.kind limit 100) b));
end
$$;

-- Imported entries as lists show ours, hash_version 1. Their ids are the original's: another numbering than that of audit_log.
create view snackbase.audit_imported with (security_invoker = true, security_barrier = true) as
select e.import_id, e.id, e.account_id, e.operation, e.table_name, e.record_id, e.column_name,
       case when r.sees_everything then e.old_value else snackbase._audit_shown(e.table_name, e.column_name, e.old_value) end as old_value,
       case when r.sees_everything then e.new_value else snackbase._audit_shown(e.table_name, e.column_name, e.new_value) end as new_value,
       e.user_id, e.user_email, e.user_name, e.es_username, e.es_reason, e.es_timestamp, e.ip_address, e.user_agent, e.request_id,
       e.occurred_at, e.checksum, e.previous_hash, e.extra_metadata, 1::smallint as hash_version
  from (select snackbase._audit_sees_everything() as sees_everything) r
 cross join snackbase.audit_import_entry e;
