-- Who may do what, before there is any collection. A new line here is a decision.
\pset format unaligned
\pset tuples_only on
select rolname, rolsuper as super, rolinherit as inherit, rolcanlogin as login, rolbypassrls as bypass
  from pg_roles where rolname like 'snackbase%' order by 1;

-- membership
select pg_get_userbyid(roleid), pg_get_userbyid(member)
  from pg_auth_members where pg_get_userbyid(roleid) like 'snackbase%' and pg_get_userbyid(member) like 'snackbase%' order by 1, 2;

-- functions that run as their owner
select p.proname, pg_get_userbyid(p.proowner), array_to_string(p.proconfig, ', ')
  from pg_proc as p
 where p.pronamespace = 'snackbase'::regnamespace and p.prosecdef order by 1;

-- functions anybody may call
select p.proname
  from pg_proc as p
 where p.pronamespace = 'snackbase'::regnamespace and has_function_privilege('public', p.oid, 'execute') order by 1;

-- functions the gateway's login may call before enter() gives it a role
select p.proname
  from pg_proc as p
 where p.pronamespace = 'snackbase'::regnamespace
   and has_function_privilege('snackbase_gateway', p.oid, 'execute')
   and not has_function_privilege('public', p.oid, 'execute') order by 1;

-- tables without forced row security, tables nobody dumps
select relname from pg_class
 where relnamespace = 'snackbase'::regnamespace and relkind = 'r' and not (relrowsecurity and relforcerowsecurity) order by 1;
select relname from pg_class
 where relnamespace = 'snackbase'::regnamespace and relkind = 'r'
   and oid <> all ((select extconfig from pg_extension where extname = 'snackbase')::oid[]) order by 1;

-- what may be read or written directly
select grantee, table_name, string_agg(privilege_type, ' ' order by privilege_type)
  from information_schema.table_privileges
 where table_schema = 'snackbase' and grantee <> 'snackbase_owner' and grantee <> 'postgres'
 group by grantee, table_name order by 1, 2;

-- the settings
select name, context from pg_settings where name like 'snackbase.%' order by 1;
