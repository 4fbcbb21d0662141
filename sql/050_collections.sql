-- Definitions of collections: contract collections.md §1. One definition for all accounts; the data is in snackbase.col_<name>.

create table snackbase.collections (
    id uuid primary key default gen_random_uuid(),
    name text not null constraint collections_name_check check (name ~ '\A[A-Za-z][A-Za-z0-9_]{2,58}\Z'),
    -- the field list as the contract returns it; json and not jsonb, because the order and spelling of options are the client's
    schema json not null,
    -- what writing asks for, whom personal data belong to: docs/sql-api.md §3
    options json not null default '{}',
    -- one more with every change of the definition or its rules
    revision bigint not null default 1,
    created_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp()
);
-- two names that differ by case would share one table
create unique index collections_name_key on snackbase.collections (lower(name));

-- Rules: null = locked, '' = public, text = predicate. Field lists: '*' or a JSON array of names, as text.
create table snackbase.collection_rules (
    id uuid not null unique default gen_random_uuid(),
    collection_id uuid primary key references snackbase.collections (id) on delete cascade,
    list_rule text,
    view_rule text,
    create_rule text,
    update_rule text,
    delete_rule text,
    list_fields text not null default '*',
    view_fields text not null default '*',
    create_fields text not null default '*',
    update_fields text not null default '*',
    created_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp()
);

create trigger z_touch before insert or update on snackbase.collections
    for each row execute function snackbase._touch();
create trigger z_touch before insert or update on snackbase.collection_rules
    for each row execute function snackbase._touch();

-- The key that signs the cursors of lists (src/records/read.rs). Each installation has its own; a dump does not carry it.
create table snackbase.cursor_key (
    only_one boolean primary key default true constraint cursor_key_only_one_check check (only_one),
    secret bytea not null
);
insert into snackbase.cursor_key (secret)
     values (sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())));

-- One collection by exact name or by id, for the compiler in the extension. Operation roles have no grant on the two tables.
create function snackbase._collection_load(
    wanted text, out id uuid, out name text, out schema json, out rules json, out revision bigint, out relation oid, out options json)
returns setof record
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select c.id, c.name, c.schema, row_to_json(r), c.revision,
           pg_catalog.to_regclass('snackbase.' || quote_ident('col_' || lower(c.name)))::oid, c.options
      from snackbase.collections c
      join snackbase.collection_rules r on r.collection_id = c.id
     where c.name = wanted or c.id::text = lower(wanted);
end
$$;

create function snackbase._collection_json(collection snackbase.collections) returns json
language sql stable
set search_path = pg_catalog, pg_temp
return json_build_object('id', (collection).id, 'name', (collection).name, 'table_name', 'col_' || lower((collection).name),
    'schema', (collection).schema, 'options', (collection).options, 'created_at', snackbase.rfc3339((collection).created_at),
    'updated_at', snackbase.rfc3339((collection).updated_at));

create function snackbase._collection_find(wanted text) returns snackbase.collections
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    found_collection snackbase.collections;
begin
    select * into found_collection from snackbase.collections c where c.name = wanted or c.id::text = lower(wanted);
    if not found then
        raise exception 'Collection ''%'' not found', wanted using errcode = 'P0002';
    end if;
    return found_collection;
end
$$;

create function snackbase.collection_view(collection text) returns json
language sql stable
set search_path = pg_catalog, pg_temp
return snackbase._collection_json(snackbase._collection_find(collection));

create function snackbase.collection_names() returns json
language sql stable
set search_path = pg_catalog, pg_temp
return (select json_build_object('names', coalesce(json_agg(c.name order by c.name), '[]'), 'total', count(*)) from snackbase.collections c);

create function snackbase.collection_rules_view(collection text) returns json
language sql stable
set search_path = pg_catalog, pg_temp
return (
    select json_build_object('id', r.id, 'collection_id', r.collection_id,
               'list_rule', r.list_rule, 'view_rule', r.view_rule, 'create_rule', r.create_rule,
               'update_rule', r.update_rule, 'delete_rule', r.delete_rule,
               'list_fields', r.list_fields, 'view_fields', r.view_fields,
               'create_fields', r.create_fields, 'update_fields', r.update_fields,
               'created_at', snackbase.rfc3339(r.created_at), 'updated_at', snackbase.rfc3339(r.updated_at))
      from snackbase.collection_rules r
     where r.collection_id = (snackbase._collection_find(collection)).id
);

-- The list of contract §2. Records are counted over all accounts, for the whole page in one query: exactly up to 100,000,
-- beyond it by the planner's estimate, so that no big table is read (one that was never analyzed has no estimate yet).
create function snackbase.collection_list(page bigint, page_size bigint, sort_by text, sort_order text, search text) returns json
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    part constant record := snackbase._page(page, page_size);
    wanted text := coalesce(snackbase._containing(search), '%');
    key text := case when sort_by in ('name', 'created_at', 'updated_at') then sort_by else 'created_at' end;
    direction text := case when lower(coalesce(sort_order, 'desc')) = 'asc' then 'asc' else 'desc' end;
    total bigint;
    ids uuid[];
    counts text;
    items json;
begin
    -- Again when a collection was dropped between its name and its table.
    loop
        select count(*) into total from snackbase.collections c where c.name ilike wanted or c.id::text ilike wanted;
        execute format('select array(select c.id from snackbase.collections c where c.name ilike $1 or c.id::text ilike $1
                                      order by c.%1$I %2$s, c.id limit $2 offset $3)', key, direction)
           into ids using wanted, part.size, part.skip;
        select string_agg(format(
                   case when t.reltuples > 100000 then 'select %1$L::uuid, %3$s'
                        when t.reltuples < 0 then 'select %1$L::uuid, (select count(*) from snackbase.%2$I)'
                        else 'select %1$L::uuid, (select case when count(*) > 100000 then greatest(100001, %3$s) else count(*) end
                                                    from (select from snackbase.%2$I limit 100001) r)' end,
                   c.id, t.relname, t.reltuples::bigint), ' union all ')
          into counts
          from snackbase.collections c
          join pg_class t on t.relname = 'col_' || lower(c.name) and t.relnamespace = 'snackbase'::regnamespace
         where c.id = any (ids);
        begin
            execute format($q$
                with counted(id, records) as (%s)
                select coalesce(json_agg(json_build_object('id', c.id, 'name', c.name, 'table_name', 'col_' || lower(c.name),
                           'fields_count', json_array_length(c.schema), 'field_count', json_array_length(c.schema),
                           'records_count', coalesce(n.records, 0), 'record_count', coalesce(n.records, 0),
                           'has_public_access', '' in (r.list_rule, r.view_rule, r.create_rule, r.update_rule, r.delete_rule) is true,
                           'created_at', snackbase.rfc3339(c.created_at), 'updated_at', snackbase.rfc3339(c.updated_at))
                           order by array_position($1, c.id)), '[]')
                  from snackbase.collections c
                  join snackbase.collection_rules r on r.collection_id = c.id
                  left join counted n on n.id = c.id
                 where c.id = any ($1)$q$, coalesce(counts, 'select null::uuid, null::bigint'))
               into items using ids;
            exit;
        exception when undefined_table then
            null;
        end;
    end loop;
    return json_build_object('items', items, 'total', total, 'page', part.number, 'page_size', part.size,
        'total_pages', greatest(1, (total + part.size - 1) / part.size));
end
$$;

-- The log of schema changes: contract §3.2, §3.3 and operations.md §11. One entry per collection and change; its id is the
-- revision that the wire shows. It tells people what happened; nothing is computed from it.
create table snackbase.migrations (
    id uuid primary key default gen_random_uuid(),
    position bigint not null generated always as identity,
    -- no reference: entries outlive their collection
    collection_id uuid not null,
    collection text not null,
    operation text not null constraint migrations_operation_check check (operation in ('create', 'change', 'drop')),
    -- [{"change": "add" | "drop" | "retype" | "change", "field", "type"}, …]
    fields json not null,
    created_at timestamptz not null default clock_timestamp(),
    created_by text not null default snackbase.current_actor(),
    constraint migrations_position_key unique (position)
);

-- One sentence for people: `change collection posts: add views, drop status`.
create function snackbase._migration_text(entry snackbase.migrations) returns text
language sql stable
set search_path = pg_catalog, pg_temp
return format('%s collection %s', (entry).operation, (entry).collection)
    || case (entry).operation when 'change' then coalesce(': ' || (
           select string_agg(format('%s %s', f.value ->> 'change', f.value ->> 'field'), ', ' order by f.ordinality)
             from json_array_elements((entry).fields) with ordinality f), '') else '' end;

-- Both spellings of every key: the client library reads camel case and converts nothing (operations.md §11).
create function snackbase.migration_list() returns json
language sql stable
set search_path = pg_catalog, pg_temp
return (
    select json_build_object('revisions', coalesce(json_agg(json_build_object(
               'revision', m.id, 'description', m.text,
               'down_revision', m.before, 'downRevision', m.before, 'branch_labels', null, 'branchLabels', null,
               'is_applied', true, 'isApplied', true, 'is_head', m.after is null, 'isHead', m.after is null,
               'is_dynamic', true, 'isDynamic', true, 'created_at', m.at, 'createdAt', m.at) order by m.position desc), '[]'),
               'total', count(*), 'current_revision', (array_agg(m.id order by m.position desc))[1],
               'currentRevision', (array_agg(m.id order by m.position desc))[1])
      from (select e.id, e.position, snackbase._migration_text(e) as text, snackbase.rfc3339(e.created_at) as at,
                   lag(e.id) over (order by e.position) as before, lead(e.id) over (order by e.position) as after
              from snackbase.migrations e) m
);

create function snackbase.migration_history() returns json
language sql stable
set search_path = pg_catalog, pg_temp
return (
    select json_build_object('history', coalesce(json_agg(json_build_object(
               'revision', e.id, 'description', snackbase._migration_text(e), 'is_dynamic', true, 'isDynamic', true,
               'created_at', snackbase.rfc3339(e.created_at), 'createdAt', snackbase.rfc3339(e.created_at)) order by e.position), '[]'),
               'total', count(*))
      from snackbase.migrations e
);

create function snackbase.migration_current() returns json
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    answer json := (
        select json_build_object('revision', e.id, 'description', snackbase._migration_text(e),
                   'created_at', snackbase.rfc3339(e.created_at), 'createdAt', snackbase.rfc3339(e.created_at),
                   'applied_at', snackbase.rfc3339(e.created_at), 'appliedAt', snackbase.rfc3339(e.created_at),
                   'is_dynamic', true, 'isDynamic', true)
          from snackbase.migrations e
         order by e.position desc
         limit 1);
begin
    if answer is null then
        raise exception 'No schema change has been made yet' using errcode = 'P0002';
    end if;
    return answer;
end
$$;
