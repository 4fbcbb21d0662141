-- Guessing passwords: contract identity.md §5.3. Whoever checks a password (login, electronic signatures) reports here how
-- it went. Two counters: of the user, on the user's row, which locks; and of the client's network, for a budget.

-- Failed checks of the last day. What is a client: an IPv4 address, or a /64 of IPv6, of which everybody has plenty of addresses.
create table snackbase.login_failures (
    id bigint not null generated always as identity primary key,
    network inet,
    -- no references: a guess may be at nobody
    user_id uuid,
    failed_at timestamptz not null default clock_timestamp()
);
create index login_failures_network_idx on snackbase.login_failures (network, failed_at);
create index login_failures_user_idx on snackbase.login_failures (user_id, failed_at);
create index login_failures_time_idx on snackbase.login_failures (failed_at);

-- The network of an address; NULL for what is no address.
create function snackbase._login_network(ip text) returns inet
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    return network(set_masklen(ip::inet, case family(ip::inet) when 4 then 32 else 64 end));
exception when invalid_text_representation then
    return null;
end
$$;

-- Until when the user's password counts as wrong whatever it is; NULL: it does not.
create function snackbase._login_locked_until(user_id uuid) returns timestamptz
language sql stable
set search_path = pg_catalog, pg_temp
return (select u.locked_until from snackbase.users u where u.id = _login_locked_until.user_id and u.locked_until > clock_timestamp());

-- In how many seconds this client's network may try another password; NULL: now. It may fail login_rate_limit_per_minute times
-- a minute, so the failure that stands at that place, counted from the newest, has to be a minute old.
create function snackbase._login_wait(ip text) returns int
language sql stable
set search_path = pg_catalog, pg_temp
return (
    select greatest(1, ceil(extract(epoch from f.failed_at + interval '1 minute' - clock_timestamp())))::int
      from snackbase.login_failures f
     where f.network = snackbase._login_network(ip) and f.failed_at > clock_timestamp() - interval '1 minute'
       and current_setting('snackbase.login_rate_limit_per_minute')::int > 0
     order by f.failed_at desc
    offset greatest(1, current_setting('snackbase.login_rate_limit_per_minute')::int) - 1
     limit 1
);

-- A password was wrong. Every login_lockout_threshold failures in a row lock the user for login_lockout_seconds, doubled each
-- time, for a day at most; a day without failure begins a new row. A locked user's failures do not count: they prove nothing,
-- and would let anybody keep somebody locked. NULL stands for an account or user that does not exist. Returns until when
-- the user is locked.
create function snackbase._login_failed(account_id uuid, user_id uuid, ip text) returns timestamptz
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    threshold constant int := current_setting('snackbase.login_lockout_threshold')::int;
    seconds constant float8 := current_setting('snackbase.login_lockout_seconds')::int;
    fresh boolean;
    locked timestamptz;
begin
    delete from snackbase.login_failures f
     where f.id = any (array(select o.id from snackbase.login_failures o
                              where o.failed_at < clock_timestamp() - interval '1 day'
                              order by o.failed_at
                              limit 100
                                for update skip locked));
    -- Of failures at a time each waits for the one before, so that it sees that one and none is lost.
    perform from snackbase.users u
      where u.id = _login_failed.user_id and u.account_id = _login_failed.account_id
        for no key update;
    fresh := not exists (select from snackbase.login_failures f
                          where f.user_id = _login_failed.user_id and f.failed_at > clock_timestamp() - interval '1 day');
    insert into snackbase.login_failures (network, user_id) values (snackbase._login_network(ip), user_id);
    update snackbase.users u
       set failed_login_attempts = n.attempts,
           locked_until = case when n.attempts % threshold = 0
               then clock_timestamp() + least(interval '1 day', make_interval(secs => seconds * 2 ^ least(20, n.attempts / threshold - 1)))
               else u.locked_until end
      from (select case when fresh then 1 else o.failed_login_attempts + 1 end as attempts
              from snackbase.users o
             where o.id = _login_failed.user_id and o.account_id = _login_failed.account_id) n
     where u.id = _login_failed.user_id and u.account_id = _login_failed.account_id
       and (u.locked_until is null or u.locked_until <= clock_timestamp())
    returning u.locked_until into locked;
    return case when locked > clock_timestamp() then locked end;
end
$$;

-- A password was right: the user's row of failures ends, and so does the budget's use by this client. The user first, as whoever
-- sets a password does: two that lock in different orders would wait for each other.
create function snackbase._login_succeeded(account_id uuid, user_id uuid, ip text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
begin
    update snackbase.users u
       set failed_login_attempts = 0, locked_until = null
     where u.id = _login_succeeded.user_id and u.account_id = _login_succeeded.account_id
       and (u.failed_login_attempts > 0 or u.locked_until is not null);
    delete from snackbase.login_failures f
     where f.user_id = _login_succeeded.user_id or f.network = snackbase._login_network(ip);
end
$$;

-- What the gateway reports of a login that failed, after enter(…, 'auth'). Takes the same flight as one that succeeded.
create function snackbase.auth_login_failed(in_account uuid, who uuid) returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform snackbase._login_failed(in_account, who, snackbase.current_ip_address());
    return true;
end
$$;
