-- Export and import of definitions: contract collections.md §3.4.

-- `wanted`: ids (or names) joined by commas; NULL and '' mean all, what is unknown is skipped.
create function snackbase.collection_export(wanted text) returns json
language sql stable
set search_path = pg_catalog, pg_temp
return (
    select json_build_object('version', '1.0', 'exported_at', snackbase.rfc3339(now()),
               'exported_by', snackbase.current_user_email(),
               'collections', coalesce(json_agg(json_build_object('name', c.name, 'schema', c.schema, 'options', c.options, 'rules', json_build_object(
                       'list_rule', r.list_rule, 'view_rule', r.view_rule, 'create_rule', r.create_rule,
                       'update_rule', r.update_rule, 'delete_rule', r.delete_rule,
                       'list_fields', r.list_fields, 'view_fields', r.view_fields,
                       'create_fields', r.create_fields, 'update_fields', r.update_fields))
                   order by c.created_at, c.name), '[]'))
      from snackbase.collections c
      join snackbase.collection_rules r on r.collection_id = c.id
      left join lateral (select array_agg(trim(w)) as list from unnest(string_to_array(nullif(trim(wanted), ''), ',')) w) w on true
     where w.list is null or c.name = any (w.list) or c.id::text = any (select lower(x) from unnest(w.list) x)
);

-- One savepoint per group of collections that need each other, mostly of one. Failures of definitions are reported; a busy
-- table, a lack of resources or a defect of ours ends the import.
create function snackbase.collection_import(body json) returns json
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    plan json := snackbase._import_groups(body);
    atomic constant boolean := (plan ->> 'atomic')::boolean;
    member json;
    answers json[] := '{}';
    failures int := 0;
    state text;
    reason text;
begin
    begin
        for member in select g.value from json_array_elements(plan -> 'groups') with ordinality g order by g.ordinality loop
            begin
                answers := answers || array(select a.value from json_array_elements(snackbase._import_group(member)) a);
            exception when others then
                get stacked diagnostics state = returned_sqlstate, reason = message_text;
                if state !~ '^(22|23|2B|44|54|P0)' then
                    raise;
                end if;
                answers := answers || array(
                    select json_build_object('index', i.value -> 'index', 'name', i.value ->> 'name', 'status', 'error', 'message', reason)
                      from json_array_elements(member -> 'items') i);
            end;
        end loop;
        failures := (select count(*) from unnest(answers) a where a ->> 'status' = 'error');
        if atomic and failures > 0 then
            raise exception 'nothing is imported' using errcode = 'SB400';
        end if;
    exception when sqlstate 'SB400' then
        answers := array(
            select case when a ->> 'status' in ('error', 'skipped') then a
                        else json_build_object('index', a -> 'index', 'name', a ->> 'name', 'status', 'error',
                                 'message', 'Not imported, because another collection of this atomic import failed') end
              from unnest(answers) a);
    end;
    return (
        select json_build_object('success', failures = 0,
                   'imported_count', count(*) filter (where a ->> 'status' = 'imported'),
                   'skipped_count', count(*) filter (where a ->> 'status' = 'skipped'),
                   'updated_count', count(*) filter (where a ->> 'status' = 'updated'),
                   'failed_count', count(*) filter (where a ->> 'status' = 'error'),
                   'collections', coalesce(json_agg(json_build_object('name', a ->> 'name', 'status', a ->> 'status', 'message', a ->> 'message')
                                              order by (a ->> 'index')::int), '[]'),
                   'migrations_created', coalesce(json_agg(a ->> 'revision' order by (a ->> 'index')::int)
                                              filter (where a ->> 'revision' is not null), '[]'))
          from unnest(answers) a
    );
end
$$;
