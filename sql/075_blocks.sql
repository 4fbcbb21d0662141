-- The ledger, levels 2 and 3: blocks over all committed changes, checkpoints over blocks. design ledger.md §5.
-- docs/ledger.md says what each hash covers.

-- One row per block: 1, 2, … without gaps.
create table snackbase.audit_block (
    number bigint primary key constraint audit_block_number_check check (number > 0),
    -- of the cluster that wrote the changes: transaction ids start anew after dump and restore
    system_identifier bigint not null,
    -- the block covers the transactions [from_xid, to_xid)
    from_xid xid8 not null,
    to_xid xid8 not null,
    -- a block over imported entries, not over transactions: from_xid = to_xid
    import_id bigint,
    change_count bigint not null constraint audit_block_change_count_check check (change_count > 0),
    tree_root bytea not null constraint audit_block_tree_root_check check (octet_length(tree_root) = 32),
    -- NULL for block 1
    previous_block_hash bytea constraint audit_block_previous_hash_check check (octet_length(previous_block_hash) = 32),
    sealed_at timestamptz not null,
    block_hash bytea not null constraint audit_block_hash_check check (octet_length(block_hash) = 32),
    -- the perfect subtrees of the tree over blocks that this block completes, 32 bytes each, its own leaf first
    nodes bytea not null constraint audit_block_nodes_check check (octet_length(nodes) % 32 = 0),
    -- Where the next search for changes may begin (not hashed; a wrong value is found by verification). Of this system
    -- identifier, transactions from next_xid on have changes with ids from next_id on; so has every other one.
    next_xid xid8 not null,
    next_id bigint not null,
    constraint audit_block_range_check check (from_xid < to_xid or (from_xid = to_xid and import_id is not null))
);

-- Where the last block of a cluster ends, and which block holds a transaction.
create index audit_block_xid_idx on snackbase.audit_block (system_identifier, to_xid);

-- One row per account with changes in a block.
create table snackbase.audit_block_account (
    block_number bigint not null,
    account_id uuid not null,
    change_count bigint not null constraint audit_block_account_change_count_check check (change_count > 0),
    -- the account's block before this one, 0 if there is none
    previous_block bigint not null,
    root bytea not null constraint audit_block_account_root_check check (octet_length(root) = 32),
    -- The smallest and the greatest id of the account's changes in the block.
    first_id bigint not null,
    last_id bigint not null,
    -- for more than 256 changes: per 256 of them the hash of their subtree (32 bytes), smallest and greatest id (8 each)
    tiles bytea constraint audit_block_account_tiles_check check (octet_length(tiles) % 48 = 0),
    primary key (account_id, block_number)
);

-- The accounts of a block, in the order of its tree.
create index audit_block_account_block_idx on snackbase.audit_block_account (block_number, account_id);

-- Public keys that have signed checkpoints. Audited; retired, never deleted.
create table snackbase.audit_key (
    -- C2SP key hash
    key_id bytea primary key constraint audit_key_id_check check (octet_length(key_id) = 4),
    name text not null,
    public_key bytea not null unique constraint audit_key_public_key_check check (octet_length(public_key) = 32),
    activated_at timestamptz not null,
    retired_at timestamptz
);

-- The signed note over the blocks 1 to block_number.
create table snackbase.audit_checkpoint (
    block_number bigint primary key,
    note text not null,
    created_at timestamptz not null
);

-- Where a checkpoint went, or should have gone: bookkeeping, not evidence.
create table snackbase.audit_anchor (
    anchor text not null,
    block_number bigint not null,
    published_at timestamptz,
    attempts int not null default 0,
    last_attempt_at timestamptz,
    last_error text,
    primary key (anchor, block_number)
);

create index audit_anchor_waiting_idx on snackbase.audit_anchor (anchor, block_number) where published_at is null;

-- Holds the sealer back while a dump is replayed: changes may be there before the blocks that cover them. The lock is the
-- sealer's (audit/seal.rs), shared, and ends with the session.
create function snackbase._audit_hold_sealer() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform pg_catalog.pg_advisory_lock_shared(snackbase._seal_lock_key());
    return null;
end
$$;

do $$
declare
    relation text;
begin
    foreach relation in array array['audit_block', 'audit_block_account', 'audit_checkpoint'] loop
        execute format('create trigger prevent_audit_log_update before update on snackbase.%I
                        for each row execute function snackbase._audit_immutable()', relation);
        execute format('create trigger prevent_audit_log_delete before delete on snackbase.%I
                        for each row execute function snackbase._audit_immutable()', relation);
        execute format('create trigger prevent_audit_log_truncate before truncate on snackbase.%I
                        for each statement execute function snackbase._audit_immutable()', relation);
        execute format('alter table snackbase.%I enable always trigger prevent_audit_log_update', relation);
        execute format('alter table snackbase.%I enable always trigger prevent_audit_log_delete', relation);
        execute format('alter table snackbase.%I enable always trigger prevent_audit_log_truncate', relation);
    end loop;
    foreach relation in array array['audit_change', 'audit_block'] loop
        execute format('create trigger audit_restore before insert on snackbase.%I
                        for each statement when (snackbase._restoring()) execute function snackbase._audit_hold_sealer()', relation);
        execute format('alter table snackbase.%I enable always trigger audit_restore', relation);
    end loop;
    perform snackbase._audit_attach('snackbase.audit_key', 'key_id');
    create trigger prevent_audit_log_delete before delete on snackbase.audit_key
        for each row execute function snackbase._audit_immutable();
    alter table snackbase.audit_key enable always trigger prevent_audit_log_delete;
end
$$;
