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
    extra_metadata jsonb,
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

-- One row per changed column, as the contract shows an entry; hashes are computed from the stored change.
create view snackbase.audit_log with (security_invoker = true, security_barrier = true) as
select c.id * 2048 + e.ordinal as id, c.account_id, c.operation, c.table_name, c.record_id,
       e.column_name, e.old_value, e.new_value,
       c.user_id, c.user_email, c.user_name, c.es_username, c.es_reason, c.es_timestamp,
       c.ip_address, c.user_agent, c.request_id, c.occurred_at,
       e.checksum, e.previous_hash,
       coalesce(c.extra_metadata, '{}') || pg_catalog.jsonb_build_object('auth_method', c.auth_method) as extra_metadata,
       c.record_version, c.hash_version
  from snackbase.audit_change c
 cross join lateral snackbase._audit_entries(snackbase._audit_header(c), c.columns, c.previous_hash) e;

-- `size` entries of the given changes after the first `skip`, as JSON, in the order of `changes`.
create function snackbase._audit_entries_json(changes snackbase.audit_change[], skip bigint, size bigint, ascending boolean) returns json
language sql stable
set search_path = pg_catalog, pg_temp
return (
    select coalesce(json_agg(json_build_object('id', c.id * 2048 + e.ordinal, 'account_id', c.account_id, 'operation', c.operation,
               'table_name', c.table_name, 'record_id', c.record_id, 'column_name', e.column_name,
               'old_value', e.old_value, 'new_value', e.new_value,
               'user_id', c.user_id, 'user_email', c.user_email, 'user_name', c.user_name,
               'es_username', c.es_username, 'es_reason', c.es_reason, 'es_timestamp', snackbase.rfc3339(c.es_timestamp),
               'ip_address', c.ip_address, 'user_agent', c.user_agent, 'request_id', c.request_id,
               'occurred_at', snackbase.rfc3339(c.occurred_at), 'checksum', e.checksum, 'previous_hash', e.previous_hash,
               'extra_metadata', coalesce(c.extra_metadata, '{}') || jsonb_build_object('auth_method', c.auth_method))
               order by e.place, e.ordinal * case when ascending then 1 else -1 end), '[]')
      from (select u.place, u.id as change_id, x.*
              from unnest(changes) with ordinality
                   as u(id, xid, account_id, operation, table_name, record_id, record_version, columns, column_count, user_id,
                        user_email, user_name, auth_method, es_username, es_reason, es_timestamp, ip_address, user_agent,
                        request_id, extra_metadata, occurred_at, hash_version, previous_hash, checksum, system_identifier, place)
             cross join lateral snackbase._audit_entries(
                   snackbase._audit_header(changes[u.place]), u.columns, u.previous_hash) x
             order by u.place, x.ordinal * case when ascending then 1 else -1 end
             limit size offset skip) e
      join unnest(changes) c on c.id = e.change_id
);

-- contract audit.md §3.1. Sorting and paging happen on changes (every change has at least one entry, so the first n
-- entries are in the first n changes); only these are expanded and hashed.
create function snackbase.audit_list(query json) returns json
language plpgsql stable
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'  -- a date without offset is UTC
as $$
declare
    first bigint := coalesce((query ->> 'skip')::bigint, 0);
    size bigint := coalesce((query ->> 'limit')::bigint, 50);
    key text := coalesce(query ->> 'sort_by', 'occurred_at');
    direction text := lower(coalesce(query ->> 'sort_order', 'desc'));
    condition text := $c$
        ($1 ->> 'account_id' is null or c.account_id::text = lower($1 ->> 'account_id'))
        and ($1 ->> 'table_name' is null or c.table_name = $1 ->> 'table_name')
        and ($1 ->> 'record_id' is null or c.record_id = $1 ->> 'record_id')
        and ($1 ->> 'user_id' is null or c.user_id = $1 ->> 'user_id')
        and ($1 ->> 'operation' is null or c.operation = upper($1 ->> 'operation'))
        and ($1 ->> 'auth_method' is null or c.auth_method = $1 ->> 'auth_method')
        and ($1 ->> 'from_date' is null or c.occurred_at >= ($1 ->> 'from_date')::timestamptz)
        and ($1 ->> 'to_date' is null or c.occurred_at <= ($1 ->> 'to_date')::timestamptz)$c$;
    iso constant text := '^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}(:?\d{2})?)?)?$';
    total bigint;
    changes snackbase.audit_change[];
begin
    if first < 0 or size not between 1 and 500 or direction not in ('asc', 'desc') then
        raise exception 'skip is at least 0, limit is 1 to 500, sort_order is asc or desc' using errcode = '22023';
    end if;
    if coalesce(query ->> 'from_date', query ->> 'to_date', '2000-01-01') !~ iso or coalesce(query ->> 'to_date', '2000-01-01') !~ iso then
        raise exception 'from_date and to_date are ISO 8601 dates or instants' using errcode = '22P02',
            detail = '[{"field": "from_date", "message": "from_date and to_date are ISO 8601 dates or instants", "code": "datetime_invalid"}]';
    end if;
    if key not in ('occurred_at', 'id', 'account_id', 'operation', 'table_name', 'record_id', 'user_id', 'user_email') then
        key := 'occurred_at';
    end if;
    execute 'select coalesce(sum(c.column_count), 0) from snackbase.audit_change c where ' || condition into total using query;
    execute format($q$
        select array(select c
                       from snackbase.audit_change c
                      where %2$s
                      order by c.%1$I %3$s, c.id %4$s
                      limit $2 + $3)$q$,
        key, condition, direction, case when key = 'id' then direction else 'desc' end)
       into changes using query, first, size;
    return json_build_object('items', snackbase._audit_entries_json(changes, first, size, key = 'id' and direction = 'asc'),
        'total', total, 'skip', first, 'limit', size, 'audit_logging_enabled', true);
end
$$;

create function snackbase.audit_view(id bigint) returns json
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    changes snackbase.audit_change[] := array(select c from snackbase.audit_change c where c.id = audit_view.id / 2048);
    entry json := snackbase._audit_entries_json(changes, audit_view.id % 2048 - 1, 1, true) -> 0;
begin
    if entry is null then
        raise exception 'Audit log entry % not found', id using errcode = 'P0002';
    end if;
    return entry;
end
$$;

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
    perform snackbase._audit_attach('snackbase.collections', 'id');
    perform snackbase._audit_attach('snackbase.collection_rules', 'id');
    perform snackbase._audit_attach('snackbase.macros', 'id');
    perform snackbase._audit_attach('snackbase.permissions', 'id');
    -- (mail_outbox is not: it is the log of mail itself, and a ledger never forgets an address)
    perform snackbase._audit_attach('snackbase.email_templates', 'id');
    perform snackbase._audit_attach('snackbase.configurations', 'id', 'secrets');
end
$$;
