-- The superadmin's overview: contract identity.md §4.12. Runs as the caller (role snackbase_superadmin). Parts that need the whole
-- of a large table get two seconds each; a part that does not finish shows zeros, and the rest is there.

-- {records_by_collection, total}: exact for tables below 8 MB, the planner's estimate for others.
create function snackbase._dashboard_records() returns json
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    item record;
    n bigint;
    total bigint := 0;
    counted jsonb := '[]';
begin
    for item in
        select c.name, t.oid::regclass as relation, t.reltuples, pg_catalog.pg_relation_size(t.oid) as size
          from snackbase.collections c
          join pg_catalog.pg_class t on t.oid = to_regclass('snackbase.' || quote_ident('col_' || lower(c.name)))
         order by c.name
    loop
        if item.size < 8 * 1024 * 1024 or item.reltuples < 0 then
            execute format('select count(*) from %s', item.relation) into n;
        else
            n := item.reltuples::bigint;
        end if;
        total := total + n;
        counted := counted || jsonb_build_array(jsonb_build_object('name', item.name, 'count', n));
    end loop;
    return json_build_object('total', total, 'records_by_collection', (
        select coalesce(json_agg(json_build_object('name', x.name, 'count', x.n) order by x.last, x.n desc, x.name), '[]')
          from (select false as last, r.name, r.n
                  from (select e ->> 'name' as name, (e ->> 'count')::bigint as n, row_number() over (order by (e ->> 'count')::bigint desc, e ->> 'name') as place
                          from jsonb_array_elements(counted) e) r
                 where r.place <= 10
                union all
                select true, 'Other', sum(r.n)
                  from (select (e ->> 'count')::bigint as n, row_number() over (order by (e ->> 'count')::bigint desc, e ->> 'name') as place
                          from jsonb_array_elements(counted) e) r
                 where r.place > 10
                having count(*) > 0) x));
end
$$;

-- [{date, create, update, delete}] of the changes in the trail.
create function snackbase._dashboard_audit(first date, last date) returns json
language sql stable
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
begin atomic
    select json_agg(json_build_object('date', d.day, 'create', coalesce(c.created, 0), 'update', coalesce(c.updated, 0), 'delete', coalesce(c.deleted, 0)) order by d.day)
      from (select generate_series(first::timestamp, last::timestamp, interval '1 day')::date as day) d
      left join (select (a.occurred_at at time zone 'UTC')::date as day,
                        count(*) filter (where a.operation = 'CREATE') as created,
                        count(*) filter (where a.operation = 'UPDATE') as updated,
                        count(*) filter (where a.operation = 'DELETE') as deleted
                   from snackbase.audit_change a
                  where a.occurred_at >= first::timestamp at time zone 'UTC'
                  group by 1) c on c.day = d.day;
end;

-- [{date, count}] per day.
create function snackbase._dashboard_series(first date, last date, instants timestamptz[]) returns json
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
    select json_agg(json_build_object('date', d.day, 'count', (select count(*) from unnest(instants) i where (i at time zone 'UTC')::date = d.day)) order by d.day)
      from (select generate_series(first::timestamp, last::timestamp, interval '1 day')::date as day) d;
end;

create function snackbase.dashboard_stats(days int) returns json
language plpgsql
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
declare
    last date := (clock_timestamp() at time zone 'UTC')::date;
    first date := last - (days - 1);
    start timestamptz := first::timestamp at time zone 'UTC';
    before timestamptz := (first - days)::timestamp at time zone 'UTC';
    records json := '{"total": 0, "records_by_collection": []}';
    by_operation json;
    recent json := '[]';
begin
    if days not in (7, 30, 90) then
        raise exception 'range is 7d, 30d or 90d' using errcode = '22023';
    end if;
    begin
        perform snackbase._time_limit(2000);
        records := snackbase._dashboard_records();
        perform snackbase._time_limit_end();
    exception when query_canceled or lock_not_available then
        perform snackbase._time_limit_end();
    end;
    begin
        perform snackbase._time_limit(2000);
        by_operation := snackbase._dashboard_audit(first, last);
        perform snackbase._time_limit_end();
    exception when query_canceled then
        perform snackbase._time_limit_end();
        by_operation := (select json_agg(json_build_object('date', d::date, 'create', 0, 'update', 0, 'delete', 0) order by d)
                           from generate_series(first::timestamp, last::timestamp, interval '1 day') d);
    end;
    begin
        perform snackbase._time_limit(2000);
        recent := snackbase.audit_list('{"limit": 20}') -> 'items';
        perform snackbase._time_limit_end();
    exception when query_canceled then
        perform snackbase._time_limit_end();
    end;
    return json_build_object(
        'range', days || 'd',
        'total_accounts', (select count(*) from snackbase.accounts),
        'total_users', (select count(*) from snackbase.users),
        'total_collections', (select count(*) from snackbase.collections),
        'total_records', records -> 'total',
        'new_accounts_7d', (select count(*) from snackbase.accounts a where a.created_at >= start),
        'new_users_7d', (select count(*) from snackbase.users u where u.created_at >= start),
        'previous_period', json_build_object(
            'new_accounts', (select count(*) from snackbase.accounts a where a.created_at >= before and a.created_at < start),
            'new_users', (select count(*) from snackbase.users u where u.created_at >= before and u.created_at < start)),
        'time_series', json_build_object(
            'accounts_created', snackbase._dashboard_series(first, last, array(select a.created_at from snackbase.accounts a where a.created_at >= start)),
            'users_created', snackbase._dashboard_series(first, last, array(select u.created_at from snackbase.users u where u.created_at >= start)),
            'audit_by_operation', by_operation),
        'recent_registrations', (
            select coalesce(json_agg(json_build_object('id', r.id, 'email', r.email, 'account_id', r.account_id, 'account_code', r.account_code,
                       'account_name', r.name, 'created_at', snackbase.rfc3339(r.created_at)) order by r.created_at desc, r.id), '[]')
              from (select u.id, u.email, u.account_id, a.account_code, a.name, u.created_at
                      from snackbase.users u join snackbase.accounts a on a.id = u.account_id
                     order by u.created_at desc, u.id limit 10) r),
        'system_health', json_build_object('database_status', 'connected',
            'storage_usage_mb', round(pg_catalog.pg_database_size(current_database()) / 1048576.0, 2)),
        'active_sessions', (
            select count(distinct s.id)
              from snackbase.sessions s
              join snackbase.refresh_tokens t on t.session_id = s.id and t.account_id = s.account_id
             where s.revoked_at is null and t.spent_at is null and t.expires_at > clock_timestamp()),
        'public_collections_count', (select count(*) from snackbase.collection_rules r where r.list_rule = '' or r.view_rule = ''),
        'records_by_collection', records -> 'records_by_collection',
        -- zero: what this version does not have
        'feature_counts', json_build_object('hooks', 0, 'hooks_enabled', 0, 'webhooks', 0, 'webhooks_enabled', 0, 'workflows', 0, 'endpoints', 0,
            'macros', (select count(*) from snackbase.macros), 'api_keys_active', (select count(*) from snackbase.api_keys k where k.is_active and (k.expires_at is null or k.expires_at > clock_timestamp())),
            'invitations_pending', (select count(*) from snackbase.invitations i where i.ended_at is null and i.expires_at > clock_timestamp())),
        -- the jobs there are: mail
        'jobs_by_status', (
            select json_build_object('pending', count(*) filter (where m.status = 'pending' and m.attempts = 0), 'running', 0,
                       'completed', count(*) filter (where m.status = 'sent'), 'failed', 0,
                       'retrying', count(*) filter (where m.status = 'pending' and m.attempts > 0),
                       'dead', count(*) filter (where m.status = 'failed'))
              from snackbase.mail_outbox m),
        'hook_executions_summary', '{"success": 0, "failed": 0, "partial": 0}'::json,
        'webhook_deliveries_summary', '{"delivered": 0, "failed": 0, "pending": 0, "retrying": 0}'::json,
        'recent_audit_logs', recent);
end
$$;
