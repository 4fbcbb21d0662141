-- The cast of the house. Roles belong to the cluster, not to the extension: they are created when missing and
-- survive DROP EXTENSION. None can log in until an administrator says so (`alter role snackbase_gateway login`).

create function snackbase._role_create(role_name text, attributes text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    existing pg_catalog.pg_roles;
begin
    begin
        execute format('create role %I nologin nosuperuser nocreatedb nocreaterole nobypassrls noreplication %s', role_name, attributes);
        return;
    exception when duplicate_object or unique_violation then
        null;  -- another database of this cluster has the extension, too
    end;
    select * into existing from pg_catalog.pg_roles where rolname = role_name;
    if existing.rolsuper or existing.rolbypassrls then
        raise exception 'role % exists and bypasses row security', role_name
            using errcode = '42501',
                  hint = format('alter role %I nosuperuser nobypassrls', role_name);
    end if;
end
$$;

do $$
begin
    -- owns every table; runs the SECURITY DEFINER functions. Row security is forced on it.
    perform snackbase._role_create('snackbase_owner', 'noinherit');
    -- one per operation on records: the planner sees only that operation's predicate
    perform snackbase._role_create('snackbase_list', '');
    perform snackbase._role_create('snackbase_view', '');
    perform snackbase._role_create('snackbase_create', '');
    perform snackbase._role_create('snackbase_update', '');
    perform snackbase._role_create('snackbase_delete', '');
    -- core tables: people of one account, its administrators, and people of the system account
    perform snackbase._role_create('snackbase_member', '');
    perform snackbase._role_create('snackbase_admin', '');
    perform snackbase._role_create('snackbase_superadmin', '');
    -- somebody else's SQL: inside the account, beyond the rules
    perform snackbase._role_create('snackbase_hook', '');
    -- owns the views of schema snackbase_bi; bound by the account and list policies
    perform snackbase._role_create('snackbase_reader', '');
    -- may read those views; BI logins are members
    perform snackbase._role_create('snackbase_bi', '');
    -- the gateway's login role: sees nothing before it has introduced a caller
    perform snackbase._role_create('snackbase_gateway', 'noinherit');
end
$$;

alter role snackbase_gateway noinherit;
alter role snackbase_owner noinherit;
-- Its statements name the schema of everything that is not Postgres' own. Names are looked up nowhere else, and the path need not be
-- found out anew whenever it takes the role of an operation.
alter role snackbase_gateway set search_path = pg_catalog, pg_temp;

grant snackbase_list, snackbase_view, snackbase_create, snackbase_update, snackbase_delete,
      snackbase_member, snackbase_admin, snackbase_superadmin
   to snackbase_gateway;
create schema if not exists snackbase_bi;
grant usage, create on schema snackbase_bi to snackbase_reader;
grant usage on schema snackbase_bi to snackbase_bi;
-- (with grant option, because it lends `create` to snackbase_hook while the function of a macro is made: src/macros/)
grant usage, create on schema snackbase to snackbase_owner with grant option;
grant usage on schema snackbase
   to snackbase_list, snackbase_view, snackbase_create, snackbase_update, snackbase_delete,
      snackbase_member, snackbase_admin, snackbase_superadmin, snackbase_hook, snackbase_reader, snackbase_gateway;

-- Identity parameters are superuser-set. The gateway alone may set them, and only until it has taken an operation role.
grant set on parameter
    snackbase.account_id, snackbase.user_id, snackbase.user_email,
    snackbase.auth_method, snackbase.request_id, snackbase.ip_address, snackbase.user_agent,
    snackbase.es_username, snackbase.es_reason, snackbase.es_timestamp, snackbase.es_user_id
   to snackbase_gateway;
-- Limits that the gateway's environment may choose (SNACKBASE_LOGIN_…, SNACKBASE_API_KEY_MAX_PER_USER): it sets them when it connects.
grant set on parameter
    snackbase.login_lockout_threshold, snackbase.login_lockout_seconds, snackbase.login_rate_limit_per_minute,
    snackbase.api_key_max_per_user
   to snackbase_gateway;
