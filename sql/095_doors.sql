-- Direct SQL for people: logins for BI tools, bound to one account. Run by an administrator (they create roles).

-- A login that sees the views of schema snackbase_bi as one account sees them over HTTP, and nothing else. The account is
-- fixed by ALTER ROLE … SET of a parameter that only a superuser may set.
create function snackbase.bi_role_create(role_name text, account text, password text) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    account_id uuid := snackbase._account_find(account);
begin
    if account_id is null then
        raise exception 'Account ''%'' not found', account using errcode = 'P0002';
    end if;
    execute format('create role %I login password %L in role snackbase_bi', role_name, password);
    execute format('alter role %I set snackbase.account_id = %L', role_name, account_id);
    execute format('alter role %I set snackbase.auth_method = %L', role_name, 'direct_sql');
    return format('%s sees %s', role_name, account);
end
$$;

-- Drops a login made by bi_role_create, and no other role.
create function snackbase.bi_role_drop(role_name text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    -- pg_has_role would say yes for every superuser
    if role_name like 'snackbase\_%' or not exists (
            select from pg_catalog.pg_auth_members m
              join pg_catalog.pg_roles r on r.oid = m.member
             where m.roleid = 'snackbase_bi'::regrole and r.rolname = role_name) then
        raise exception '% is not a role made by bi_role_create', role_name using errcode = '22023';
    end if;
    execute format('drop role %I', role_name);
end
$$;

-- Definition and table must not drift apart, and the ledger must not be taken apart: DDL on tables of schema snackbase
-- is for the functions of this extension, for DROP EXTENSION, and for a superuser replaying a dump.
-- SECURITY DEFINER, because it runs at everybody's DDL, also of those who may not use this schema.
create function snackbase._guard_ddl() returns event_trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    touched text;
begin
    if snackbase._own_ddl() or snackbase._restoring() then
        return;
    end if;
    if tg_event = 'sql_drop' then
        if tg_tag in ('DROP EXTENSION', 'ALTER EXTENSION') then
            return;
        end if;
        -- (a dropped trigger, policy or rule is addressed as schema, table, name)
        select d.object_identity into touched
          from pg_catalog.pg_event_trigger_dropped_objects() d
         where coalesce(d.schema_name, d.address_names[1]) = 'snackbase'
           and d.object_type in ('table', 'table column', 'table constraint', 'trigger', 'policy', 'rule', 'index', 'function')
         limit 1;
    else
        -- Triggers, policies and rewrite rules have no schema of their own; they count by their table's. A table that was
        -- just moved to another schema still belongs to our owner.
        select d.object_identity into touched
          from pg_catalog.pg_event_trigger_ddl_commands() d
          left join pg_catalog.pg_trigger t on d.classid = 'pg_catalog.pg_trigger'::regclass and t.oid = d.objid
          left join pg_catalog.pg_policy p on d.classid = 'pg_catalog.pg_policy'::regclass and p.oid = d.objid
          left join pg_catalog.pg_rewrite r on d.classid = 'pg_catalog.pg_rewrite'::regclass and r.oid = d.objid
          left join pg_catalog.pg_class c on c.oid = coalesce(t.tgrelid, p.polrelid, r.ev_class)
          left join pg_catalog.pg_class m on d.command_tag = 'ALTER TABLE' and d.classid = 'pg_catalog.pg_class'::regclass and m.oid = d.objid
         where not d.in_extension
           and (m.relnamespace = 'snackbase'::regnamespace or m.relowner = 'snackbase_owner'::regrole
                or c.relnamespace = 'snackbase'::regnamespace
                -- the function of a macro says what a rule means, and the role it runs as owns it
                or (d.classid = 'pg_catalog.pg_proc'::regclass and d.schema_name = 'snackbase'))
         limit 1;
    end if;
    if touched is not null then
        raise exception '% belongs to snackbase and is changed by its functions only', touched
            using errcode = '42501',
                  hint = 'Use snackbase.collection_change() and its neighbours.';
    end if;
end
$$;
