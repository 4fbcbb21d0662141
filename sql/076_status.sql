-- Where checkpoints go, what the sealer does, and what keeps it from its work.

-- The next checkpoint for an anchor, {"block_number", "note"}: one at a time, oldest first, for lease_seconds. NULL when there is
-- none, when another process has one and its lease has not ended, or, unless `now`, when the last attempt failed a short while
-- ago: 2, 4, 8, … 300 seconds. A new anchor begins with the newest checkpoint, which speaks for all before it.
create function snackbase.audit_anchor_claim(anchor text, lease_seconds int, now boolean default false) returns json
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    newest bigint := (select c.block_number from snackbase.audit_checkpoint c order by c.block_number desc limit 1);
    known bigint := (select a.block_number from snackbase.audit_anchor a
                      where a.anchor = audit_anchor_claim.anchor order by a.block_number desc limit 1);
    waiting snackbase.audit_anchor;
begin
    -- Most calls end here, and write nothing.
    if newest is null or (known = newest and not exists (
            select from snackbase.audit_anchor a where a.anchor = audit_anchor_claim.anchor and a.published_at is null)) then
        return null;
    end if;
    perform pg_advisory_xact_lock(snackbase._seal_lock_key() + 1);
    insert into snackbase.audit_anchor (anchor, block_number)
    select audit_anchor_claim.anchor, c.block_number
      from snackbase.audit_checkpoint c
     where c.block_number > coalesce(known, newest - 1)
    on conflict do nothing;
    select * into waiting
      from snackbase.audit_anchor a
     where a.anchor = audit_anchor_claim.anchor and a.published_at is null
     order by a.block_number
     limit 1;
    if waiting.block_number is null
       or (waiting.last_attempt_at is not null and waiting.last_error is null
           and waiting.last_attempt_at > clock_timestamp() - make_interval(secs => lease_seconds))
       or (waiting.last_error is not null and not now
           and waiting.last_attempt_at > clock_timestamp() - make_interval(secs => least(2 ^ least(waiting.attempts, 10), 300))) then
        return null;
    end if;
    update snackbase.audit_anchor a
       set attempts = a.attempts + 1, last_attempt_at = clock_timestamp(), last_error = null
     where a.anchor = waiting.anchor and a.block_number = waiting.block_number;
    return (select json_build_object('block_number', c.block_number, 'note', c.note)
              from snackbase.audit_checkpoint c
             where c.block_number = waiting.block_number);
end
$$;

-- What came of a claim: `error` is null when the checkpoint is there. True if it was a claim.
create function snackbase.audit_anchor_done(anchor text, block_number bigint, error text) returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    update snackbase.audit_anchor a
       set published_at = case when error is null then clock_timestamp() end, last_error = left(error, 500)
     where a.anchor = audit_anchor_done.anchor and a.block_number = audit_anchor_done.block_number and a.published_at is null;
    return found;
end
$$;

-- block and checkpoint: the newest, or null. unsealed: committed changes that no block covers, counted up to 10,000, and the
-- age of the oldest. horizon: the oldest transaction with an id that is still running, in any database of the server, or
-- prepared: what commits after it began waits for its end. (Replication slots and readers hold vacuum back, not this.)
create function snackbase.audit_status() returns json
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    own bigint := snackbase._system_identifier();
    most constant int := 10000;
    newest snackbase.audit_block;
    low bigint;
    unsealed json;
    horizon json;
    anchors json;
begin
    select * into newest from snackbase.audit_block order by number desc limit 1;
    select b.next_id into low
      from snackbase.audit_block b
     where b.system_identifier <> newest.system_identifier or b.next_xid <= newest.to_xid
     order by b.number desc
     limit 1;
    select json_build_object('count', least(count(*), most), 'more', count(*) > most,
               'oldest_age_ms', (extract(epoch from clock_timestamp() - min(u.occurred_at)) * 1000)::bigint)
      into unsealed
      from (select c.occurred_at
              from snackbase.audit_change c
             where c.id >= coalesce(low, 0)
               and c.xid >= coalesce((select b.to_xid
                                        from snackbase.audit_block b
                                       where b.system_identifier = c.system_identifier
                                       order by b.to_xid desc
                                       limit 1), '0')
             order by c.id
             limit most + 1) u;
    select json_build_object('kind', h.kind, 'pid', h.pid, 'gid', h.gid, 'since', snackbase.rfc3339(h.since), 'database', h.database)
      into horizon
      from (select 'session' as kind, w.pid, null as gid, w.xid, w.since, d.datname as database
              from snackbase._audit_writers() w
              left join pg_catalog.pg_database d on d.oid = w.database
             union all
            select 'prepared', null, p.gid, p.transaction, p.prepared, p.database
              from pg_catalog.pg_prepared_xacts p) h
     order by age(h.xid) desc
     limit 1;
    with recursive named as (
        -- each name once, without reading every row
        (select a.anchor from snackbase.audit_anchor a order by a.anchor limit 1)
        union all
        select (select a.anchor from snackbase.audit_anchor a where a.anchor > n.anchor order by a.anchor limit 1)
          from named n
         where n.anchor is not null)
    select coalesce(json_agg(json_build_object(
               'anchor', n.anchor, 'block_number', p.block_number, 'published_at', snackbase.rfc3339(p.published_at),
               -- those that failed or are on their way, and those that nobody has begun with
               'waiting', (select count(*) from snackbase.audit_anchor a where a.anchor = n.anchor and a.published_at is null)
                        + (select count(*) from snackbase.audit_checkpoint c
                            where c.block_number > (select a.block_number from snackbase.audit_anchor a
                                                     where a.anchor = n.anchor order by a.block_number desc limit 1)),
               'attempts', w.attempts, 'last_attempt_at', snackbase.rfc3339(w.last_attempt_at), 'last_error', w.last_error)
               order by n.anchor), '[]')
      into anchors
      from named n
      left join lateral (select a.block_number, a.published_at
                           from snackbase.audit_anchor a
                          where a.anchor = n.anchor and a.published_at is not null
                          order by a.block_number desc
                          limit 1) p on true
      left join lateral (select a.attempts, a.last_attempt_at, a.last_error
                           from snackbase.audit_anchor a
                          where a.anchor = n.anchor and a.published_at is null
                          order by a.block_number
                          limit 1) w on true
     where n.anchor is not null;
    return json_build_object(
        'block', (select json_build_object('number', newest.number, 'sealed_at', snackbase.rfc3339(newest.sealed_at),
                             'change_count', newest.change_count, 'block_hash', encode(newest.block_hash, 'hex'))
                   where newest.number is not null),
        'checkpoint', (select json_build_object('block_number', c.block_number, 'created_at', snackbase.rfc3339(c.created_at))
                         from snackbase.audit_checkpoint c
                        order by c.block_number desc
                        limit 1),
        'unsealed', unsealed,
        'horizon', horizon,
        'sealer', (select json_build_object('pid', s.pid) from snackbase._audit_sealer_pid() as s(pid) where s.pid is not null),
        'key', (select json_build_object('name', k.name, 'key_id', encode(k.key_id, 'hex'), 'activated_at', snackbase.rfc3339(k.activated_at))
                  from snackbase.audit_key k
                 where k.retired_at is null),
        'key_fault', snackbase._audit_key_fault(),
        'anchors', anchors);
end
$$;
