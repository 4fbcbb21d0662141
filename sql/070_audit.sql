-- The ledger, level 1: record chains. design ledger.md §3 and §6. Blocks and checkpoints read audit_change; they never change it.

create table snackbase.audit_change (
    id bigint not null generated always as identity,
    xid xid8 not null default pg_catalog.pg_current_xact_id(),
    account_id uuid not null,
    operation text not null constraint ck_audit_log_operation check (operation in ('CREATE', 'UPDATE', 'DELETE')),
    -- collation C: verification merges the trail with live rows in this order
    table_name text collate "C" not null,
    record_id text collate "C" not null,
    -- 1, 2, … per record
    record_version bigint not null,
    -- [[name, old, new], …] in the order of the table's columns; texts as docs/ledger.md defines them. Type json: the text as
    -- the recorder wrote it, which is smaller than jsonb and is not parsed to be stored
    columns json not null,
    column_count smallint not null,
    user_id text not null,
    user_email text not null,
    user_name text not null,
    auth_method text not null,
    es_username text,
    es_reason text,
    es_timestamp timestamptz,
    ip_address text,
    user_agent text,
    request_id text,
    -- of an object. Type json and not jsonb: the text is hashed as it was written, and is to be printed as it is hashed
    extra_metadata json,
    occurred_at timestamptz not null,
    hash_version smallint not null default 2,
    -- checksum of the record's change before this one; NULL at genesis
    previous_hash bytea constraint audit_change_previous_hash_check check (octet_length(previous_hash) = 32),
    -- hash of the last column entry
    checksum bytea not null constraint audit_change_checksum_check check (octet_length(checksum) = 32),
    -- of the cluster that xid belongs to
    system_identifier bigint not null default snackbase._system_identifier(),
    primary key (id, account_id),
    -- look-up of the predecessor, and the guard that makes a fork impossible
    constraint audit_change_record_key unique (account_id, table_name, record_id, record_version)
);

create function snackbase._audit_immutable() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'Audit log entries are immutable and cannot be %',
        case tg_op when 'UPDATE' then 'updated' when 'DELETE' then 'deleted' else 'truncated' end
        using errcode = '42501';
end
$$;

create trigger prevent_audit_log_update before update on snackbase.audit_change
    for each row execute function snackbase._audit_immutable();
create trigger prevent_audit_log_delete before delete on snackbase.audit_change
    for each row execute function snackbase._audit_immutable();
create trigger prevent_audit_log_truncate before truncate on snackbase.audit_change
    for each statement execute function snackbase._audit_immutable();
alter table snackbase.audit_change enable always trigger prevent_audit_log_update;
alter table snackbase.audit_change enable always trigger prevent_audit_log_delete;
alter table snackbase.audit_change enable always trigger prevent_audit_log_truncate;

create function snackbase._audit_header(change snackbase.audit_change) returns bytea
language sql immutable
set search_path = pg_catalog, pg_temp
return snackbase._audit_header_hash(
    (change).account_id, (change).auth_method, (change).es_reason, (change).es_timestamp, (change).es_username,
    (change).extra_metadata::text, (change).ip_address, (change).occurred_at, (change).operation,
    (change).record_id, (change).record_version, (change).request_id, (change).table_name, (change).user_agent,
    (change).user_email, (change).user_id, (change).user_name);

-- In this order the trail is listed and exported. The only index that is there for reading: every change pays for it.
create index audit_change_time on snackbase.audit_change (occurred_at, id);

-- One row per changed column, as the contract shows an entry; hashes are computed from the stored change, values are masked as
-- the caller sees them.
create view snackbase.audit_log with (security_invoker = true, security_barrier = true) as
select c.id * 2048 + e.ordinal as id, c.account_id, c.operation, c.table_name, c.record_id,
       e.column_name,
       case when r.sees_everything then e.old_value else snackbase._audit_shown(c.table_name collate "default", e.column_name, e.old_value) end as old_value,
       case when r.sees_everything then e.new_value else snackbase._audit_shown(c.table_name collate "default", e.column_name, e.new_value) end as new_value,
       c.user_id, c.user_email, c.user_name, c.es_username, c.es_reason, c.es_timestamp,
       c.ip_address, c.user_agent, c.request_id, c.occurred_at,
       e.checksum, e.previous_hash,
       coalesce(c.extra_metadata::jsonb, '{}') || pg_catalog.jsonb_build_object('auth_method', c.auth_method) as extra_metadata,
       c.record_version, c.hash_version
  from (select snackbase._audit_sees_everything() as sees_everything) r
 cross join snackbase.audit_change c
 cross join lateral snackbase._audit_entries(snackbase._audit_header(c), c.columns, c.previous_hash) e;

-- Puts the recorder on a table. Statement triggers with transition tables: one batch of entries per statement, however
-- many rows. Arguments of the trigger: the key column (or several, joined by
-- a comma), then the columns whose values are stored as ***.
create function snackbase._audit_attach(relation regclass, variadic arguments text[]) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    list text := (select string_agg(quote_literal(a), ', ') from unnest(arguments) a);
begin
    execute format('create trigger audit_insert after insert on %s referencing new table as new_rows
                    for each statement execute function snackbase._audit_record(%s)', relation, list);
    execute format('create trigger audit_update after update on %s referencing old table as old_rows new table as new_rows
                    for each statement execute function snackbase._audit_record(%s)', relation, list);
    execute format('create trigger audit_delete after delete on %s referencing old table as old_rows
                    for each statement execute function snackbase._audit_record(%s)', relation, list);
    execute format('create trigger audit_truncate before truncate on %s
                    for each statement execute function snackbase._refuse_truncate()', relation);
end
$$;

do $$
begin
    perform snackbase._audit_attach('snackbase.accounts', 'id');
    perform snackbase._audit_attach('snackbase.roles', 'id');
    perform snackbase._audit_attach('snackbase.users', 'id', 'password_hash');
    perform snackbase._audit_attach('snackbase.groups', 'id');
    perform snackbase._audit_attach('snackbase.users_groups', 'group_id,user_id');
    perform snackbase._audit_attach('snackbase.invitations', 'id', 'token_hash');
    perform snackbase._audit_attach('snackbase.invitation_groups', 'invitation_id,group_id');
    perform snackbase._audit_attach('snackbase.api_keys', 'id', 'key_hash');
    perform snackbase._audit_attach('snackbase.collections', 'id');
    perform snackbase._audit_attach('snackbase.collection_rules', 'id');
    perform snackbase._audit_attach('snackbase.macros', 'id');
    perform snackbase._audit_attach('snackbase.permissions', 'id');
    -- (mail_outbox is not: it is the log of mail itself, and a ledger never forgets an address)
    perform snackbase._audit_attach('snackbase.email_templates', 'id');
    perform snackbase._audit_attach('snackbase.configurations', 'id', 'secrets');
end
$$;
