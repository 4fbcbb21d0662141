-- What leaves the ledger for outsiders, besides the proofs of extension/src/audit/proof.rs: checkpoints.

-- The signed note over the blocks 1 to `block`, or the newest one.
create function snackbase.audit_checkpoint_view(block bigint default null) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    found text := (select c.note from snackbase.audit_checkpoint c
                    where c.block_number = block or block is null
                    order by c.block_number desc limit 1);
begin
    if found is null then
        raise exception '%', case when block is null then 'There is no checkpoint yet' else 'There is no checkpoint of block ' || block end
            using errcode = 'P0002';
    end if;
    return found;
end
$$;
