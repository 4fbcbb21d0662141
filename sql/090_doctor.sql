-- What is wrong with this server, these roles, this database. The gateway refuses to start on severe findings.

-- The first minor release of each major version in which a changed role cannot walk round row security
-- (CVE-2024-10976, CVE-2024-10978), and the first in which planner statistics no longer show values of hidden rows
-- (CVE-2025-8713).
create function snackbase._release_finding(server_version_num int) returns text
language sql immutable strict parallel safe
return (
    select case when server_version_num % 10000 < bypass then 'severe'
                when server_version_num % 10000 < leak then 'warning' end
      from (values (15, 9, 14), (16, 5, 10), (17, 1, 6)) as fixed(major, bypass, leak)
     where major = server_version_num / 10000
);

create function snackbase.doctor(out severity text, out code text, out message text, out hint text)
returns setof record
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    release text := snackbase._release_finding(current_setting('server_version_num')::int);
    gateway pg_catalog.pg_roles;
    -- What mends a table is DDL that the guard refuses (095_doors.sql), so the guard stands aside for it.
    aside constant text := 'alter event trigger snackbase_guard_ddl disable; ';
    back constant text := '; alter event trigger snackbase_guard_ddl enable always';
begin
    if not snackbase._is_preloaded() then
        return query values ('severe', 'not_preloaded', 'snackbase is not in shared_preload_libraries',
            'Set shared_preload_libraries = ''snackbase'' in postgresql.conf and restart the server.');
    end if;
    if release = 'severe' then
        return query values (release, 'old_release', format('PostgreSQL %s has holes in row security', current_setting('server_version')),
            'Install the newest minor release of this major version.');
    elsif release = 'warning' then
        return query values (release, 'old_release',
            format('PostgreSQL %s shows samples of hidden rows through planner statistics', current_setting('server_version')),
            'Install the newest minor release of this major version.');
    end if;
    if current_setting('server_encoding') <> 'UTF8' then
        return query values ('severe', 'encoding', 'the database is not UTF-8', 'Create the database with encoding UTF8.');
    end if;

    select * into gateway from pg_catalog.pg_roles where rolname = 'snackbase_gateway';
    if gateway.rolsuper or gateway.rolbypassrls or gateway.rolcreaterole then
        return query values ('severe', 'gateway_powerful', 'snackbase_gateway is superuser, bypasses row security or creates roles',
            'alter role snackbase_gateway nosuperuser nobypassrls nocreaterole');
    end if;
    if gateway.rolinherit then
        return query values ('severe', 'gateway_inherits', 'snackbase_gateway inherits the rights of the operation roles',
            'alter role snackbase_gateway noinherit');
    end if;
    -- Since PostgreSQL 16 each membership says for itself whether it inherits; 15 has no such column, hence the JSON.
    return query
    select 'severe', 'gateway_inherits', format('snackbase_gateway inherits the rights of %s', m.roleid::regrole),
           format('grant %s to snackbase_gateway with inherit false', m.roleid::regrole)
      from pg_catalog.pg_auth_members m
     where m.member = gateway.oid and (pg_catalog.to_jsonb(m) ->> 'inherit_option')::boolean;

    -- Whoever can become the owner or an administrator, in however many steps, can undo every policy. (A superuser counts as
    -- a member of every role; that is the finding before this one.)
    return query
    select 'severe', 'gateway_member', format('snackbase_gateway is a member of %s', r.rolname),
           (select string_agg(format('revoke %I from snackbase_gateway', d.rolname), '; ' order by d.rolname)
              from pg_catalog.pg_auth_members m
              join pg_catalog.pg_roles d on d.oid = m.roleid
             where m.member = gateway.oid and pg_catalog.pg_has_role(d.oid, r.oid, 'member'))
      from pg_catalog.pg_roles r
     where (r.rolname in ('snackbase_owner', 'snackbase_hook', 'snackbase_reader')
            or (r.rolname not like 'snackbase\_%' and (r.rolsuper or r.rolbypassrls or r.rolcreaterole)))
       and not gateway.rolsuper
       and pg_catalog.pg_has_role(gateway.oid, r.oid, 'member');

    return query
    select 'severe', 'role_powerful', format('%s is superuser, bypasses row security or creates roles', r.rolname),
           format('alter role %I nosuperuser nobypassrls nocreaterole', r.rolname)
      from pg_catalog.pg_roles r
     where r.rolname like 'snackbase\_%' and r.rolname <> 'snackbase_gateway' and (r.rolsuper or r.rolbypassrls or r.rolcreaterole);

    -- Every table of ours has row security, forced on its owner, and triggers that fire.
    return query
    select 'severe', 'row_security_off', format('row security is not enabled and forced on snackbase.%s', c.relname),
           aside || format('alter table snackbase.%1$I enable row level security; alter table snackbase.%1$I force row level security', c.relname) || back
      from pg_catalog.pg_class c
     where c.relnamespace = 'snackbase'::regnamespace and c.relkind in ('r', 'p')
       and not (c.relrowsecurity and c.relforcerowsecurity);
    return query
    select 'severe', 'account_policy_missing', format('snackbase.%s has no restrictive policy named account', c.relname),
           'Restore the table from a backup, or change a rule of the collection, which writes its policies again.'
      from pg_catalog.pg_class c
     where c.relnamespace = 'snackbase'::regnamespace and c.relkind in ('r', 'p')
       and exists (select from pg_catalog.pg_attribute a where a.attrelid = c.oid and a.attname = 'account_id' and not a.attisdropped)
       and not exists (select from pg_catalog.pg_policy p where p.polrelid = c.oid and p.polname = 'account' and not p.polpermissive);
    return query
    select 'severe', 'trigger_disabled', format('trigger %s of snackbase.%s is disabled', t.tgname, c.relname),
           aside || format('alter table snackbase.%I enable%s trigger %I', c.relname, case when p.proname is not null then ' always' end, t.tgname) || back
      from pg_catalog.pg_trigger t
      join pg_catalog.pg_class c on c.oid = t.tgrelid
      left join pg_catalog.pg_proc p on p.oid = t.tgfoid and p.pronamespace = 'snackbase'::regnamespace
                                    and p.proname in ('_audit_immutable', '_audit_hold_sealer')
     where c.relnamespace = 'snackbase'::regnamespace and not t.tgisinternal and t.tgenabled = 'D';
    return query
    select 'severe', 'guard_disabled', format('event trigger %s is disabled', e.evtname), format('alter event trigger %I enable always', e.evtname)
      from pg_catalog.pg_event_trigger e
     where e.evtname like 'snackbase\_%' and e.evtenabled = 'D';
    -- What was there when the extension was installed (end of 900_privileges.sql), and what every table of a collection has.
    return query
    select 'severe', 'guard_dropped', format('%s %s of snackbase.%s was dropped', g.kind, g.name, g.relation), g.definition
      from (select g.kind, g.relation, g.name, case g.kind when 'trigger' then aside || g.definition || back else g.definition end as definition
              from snackbase._guards() g
             union all
            select 'trigger', c.relname, t.name, 'Restore the table from a backup.'
              from pg_catalog.pg_class c
             cross join (values ('audit_insert'), ('audit_update'), ('audit_delete'), ('audit_truncate')) as t(name)
             where c.relnamespace = 'snackbase'::regnamespace and c.relkind in ('r', 'p') and c.relname like 'col\_%') g
     -- (a missing policy "account" has a finding of its own)
     where g.name <> 'account' and to_regclass(format('snackbase.%I', g.relation)) is not null
       and case g.kind
               when 'trigger' then not exists (select from pg_catalog.pg_trigger t
                    where t.tgrelid = to_regclass(format('snackbase.%I', g.relation)) and t.tgname = g.name)
               else not exists (select from pg_catalog.pg_policy p
                    where p.polrelid = to_regclass(format('snackbase.%I', g.relation)) and p.polname = g.name) end
     union all
    select 'severe', 'guard_dropped', format('event trigger %s was dropped', e.name),
           format('create event trigger %1$I on %2$s execute function snackbase._guard_ddl(); alter event trigger %1$I enable always; alter extension snackbase add event trigger %1$I', e.name, e.event)
      from (values ('snackbase_guard_ddl', 'ddl_command_end'), ('snackbase_guard_drop', 'sql_drop')) as e(name, event)
     where not exists (select from pg_catalog.pg_event_trigger t where t.evtname = e.name);
    -- The guards fire in sessions that apply somebody else's changes, too. Whoever disables all triggers for a while and
    -- enables them again, like pg_restore --disable-triggers, takes that away.
    return query
    select 'severe', 'guard_weakened', format('trigger %s of snackbase.%s does not fire whatever session_replication_role is', t.tgname, c.relname),
           aside || format('alter table snackbase.%I enable always trigger %I', c.relname, t.tgname) || back
      from pg_catalog.pg_trigger t
      join pg_catalog.pg_class c on c.oid = t.tgrelid
      join pg_catalog.pg_proc p on p.oid = t.tgfoid
     where c.relnamespace = 'snackbase'::regnamespace and p.pronamespace = 'snackbase'::regnamespace
       and p.proname in ('_audit_immutable', '_audit_hold_sealer') and t.tgenabled not in ('A', 'D')
     union all
    select 'severe', 'guard_weakened', format('event trigger %s does not fire whatever session_replication_role is', e.evtname),
           format('alter event trigger %I enable always', e.evtname)
      from pg_catalog.pg_event_trigger e
     where e.evtname like 'snackbase\_%' and e.evtenabled not in ('A', 'D');

    -- A trail that nobody seals is chained per record only; one that nobody signs can be rewritten as a whole.
    if not current_database() = any (regexp_split_to_array(btrim(coalesce(current_setting('snackbase.audit_databases', true), '')), '\s*,\s*')) then
        return query values ('warning', 'no_sealer', 'no background worker seals the audit trail of this database',
            'Name the database in snackbase.audit_databases and restart the server, or call snackbase.audit_seal() on a schedule.');
    end if;
    return query
    select 'warning', 'no_audit_key', 'checkpoints of the audit trail are not signed: ' || f.fault,
           'Make a key with snackbase-gateway audit keygen FILE, as the user of the server, and name it in snackbase.audit_key_file.'
      from snackbase._audit_key_fault() as f(fault)
     where f.fault is not null;

    -- A grant to PUBLIC, or to a role that is not ours, opens a door past the views; a grant of one column does, too.
    return query
    select distinct 'warning', 'foreign_grant', format('%s holds %s on snackbase.%s', coalesce(r.rolname, 'PUBLIC'), a.privilege_type, c.relname),
           format('revoke all on snackbase.%I from %s', c.relname, coalesce(quote_ident(r.rolname), 'public'))
      from pg_catalog.pg_class c
     cross join lateral (
            select g.grantee, g.privilege_type from pg_catalog.aclexplode(c.relacl) g
             union all
            select g.grantee, g.privilege_type
              from pg_catalog.pg_attribute t
             cross join lateral pg_catalog.aclexplode(t.attacl) g
             where t.attrelid = c.oid and not t.attisdropped) a
      left join pg_catalog.pg_roles r on r.oid = a.grantee
     where c.relnamespace = 'snackbase'::regnamespace and c.relkind in ('r', 'p', 'v')
       and coalesce(r.rolname, 'public') not like 'snackbase\_%'
       and a.grantee <> c.relowner;
    return query
    select 'warning', 'version_differs', format('the library is %s, the installed objects are %s', snackbase.version(), e.extversion),
           'alter extension snackbase update'
      from pg_catalog.pg_extension e
     where e.extname = 'snackbase' and e.extversion <> snackbase.version();
end
$$;
