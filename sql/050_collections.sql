-- Definitions of collections: contract collections.md §1. One definition for all accounts; the data is in snackbase.col_<name>.

create table snackbase.collections (
    id uuid primary key default gen_random_uuid(),
    name text not null constraint collections_name_check check (name ~ '\A[A-Za-z][A-Za-z0-9_]{2,58}\Z'),
    -- the field list as the contract returns it; json and not jsonb, because the order and spelling of options are the client's
    schema json not null,
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
    wanted text, out id uuid, out name text, out schema json, out rules json, out revision bigint, out relation oid)
returns setof record
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select c.id, c.name, c.schema, row_to_json(r), c.revision,
           pg_catalog.to_regclass('snackbase.' || quote_ident('col_' || lower(c.name)))::oid
      from snackbase.collections c
      join snackbase.collection_rules r on r.collection_id = c.id
     where c.name = wanted or c.id::text = wanted;
end
$$;

create function snackbase._collection_json(collection snackbase.collections) returns json
language sql stable
set search_path = pg_catalog, pg_temp
return json_build_object('id', (collection).id, 'name', (collection).name, 'table_name', 'col_' || lower((collection).name),
    'schema', (collection).schema, 'created_at', snackbase.rfc3339((collection).created_at),
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

-- Rows of a collection over all accounts the caller may see: the planner's estimate for big tables, exact below
-- 100,000 rows.
create function snackbase._records_count(relation regclass) returns bigint
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    estimate real := (select c.reltuples from pg_catalog.pg_class c where c.oid = relation);
    exact bigint;
begin
    if estimate >= 100000 then
        return estimate::bigint;
    end if;
    execute format('select count(*) from %s', relation) into exact;
    return exact;
end
$$;

create function snackbase.collection_list(page bigint, page_size bigint, sort_by text, sort_order text, search text) returns json
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    size bigint := coalesce(page_size, 25);
    number bigint := coalesce(page, 1);
    wanted text := '%' || replace(replace(replace(coalesce(search, ''), '\', '\\'), '%', '\%'), '_', '\_') || '%';
    key text := case when sort_by in ('name', 'created_at', 'updated_at') then sort_by else 'created_at' end;
    direction text := case when lower(sort_order) = 'asc' then 'asc' else 'desc' end;
    total bigint;
    items json;
begin
    if size not between 1 and 100 or number < 1 then
        raise exception 'page is at least 1 and page_size is 1 to 100' using errcode = '22023';
    end if;
    select count(*) into total from snackbase.collections c where c.name ilike wanted or c.id::text ilike wanted;
    execute format($q$
        select coalesce(json_agg(json_build_object('id', c.id, 'name', c.name, 'table_name', 'col_' || lower(c.name),
                   'fields_count', fields, 'field_count', fields, 'records_count', records, 'record_count', records,
                   'has_public_access', '' in (r.list_rule, r.view_rule, r.create_rule, r.update_rule, r.delete_rule) is true,
                   'created_at', snackbase.rfc3339(c.created_at), 'updated_at', snackbase.rfc3339(c.updated_at))
                   order by c.%1$I %2$s, c.id), '[]')
          from (select *, json_array_length(c.schema) as fields,
                       snackbase._records_count(pg_catalog.to_regclass('snackbase.' || quote_ident('col_' || lower(c.name)))) as records
                  from snackbase.collections c
                 where c.name ilike $1 or c.id::text ilike $1
                 order by %1$I %2$s, id limit $2 offset $3) c
          join snackbase.collection_rules r on r.collection_id = c.id$q$, key, direction)
       into items using wanted, size, (number - 1) * size;
    return json_build_object('items', items, 'total', total, 'page', number, 'page_size', size,
        'total_pages', greatest(1, (total + size - 1) / size));
end
$$;
