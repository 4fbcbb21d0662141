//! What the drills of the ledger share: two collections that refer to each other, a witness of every row written, random
//! transactions over them, and a book of what became of each transaction.
//!
//! Two independent accounts of the truth are compared with the ledger. The **witness** is a row trigger of plain SQL that
//! notes every changed row, cascades included, in the same transaction. The **book** is kept by the clients: which
//! transactions were acknowledged, which failed, and how many rows each wrote as far as the client can know.

mod book;
mod writer;

use std::sync::Arc;

use tokio_postgres::SimpleQueryMessage;

pub use book::{Book, Fate};
pub use writer::{Step, Writer};

use crate::Session;

/// Makes the collections, the accounts and the witness.
const GROUND: &str = r#"
insert into snackbase.accounts (id, account_code, slug, name)
select format('%s-0000-4000-8000-000000000000', lpad(to_hex(n), 8, '0'))::uuid, 'AA' || lpad(n::text, 4, '0'), 'drill' || n, 'Drill ' || n
  from generate_series(1, $accounts) n;
begin;
select snackbase.enter(format('{"kind":"user","user_id":"%s","account_id":"00000000-0000-0000-0000-000000000000"}',
       snackbase.superadmin_create('root@example.com', 'no hash', false) ->> 'id')::json, 'superadmin');
select snackbase.collection_define('{"name": "parents", "fields": [
    {"name": "name", "type": "text"}, {"name": "n", "type": "number"}]}');
select snackbase.collection_define('{"name": "children", "fields": [
    {"name": "title", "type": "text"}, {"name": "n", "type": "number"},
    {"name": "parent", "type": "reference", "collection": "parents", "on_delete": "cascade"},
    {"name": "friend", "type": "reference", "collection": "parents", "on_delete": "set_null"}]}');
commit;

create schema witness;
create table witness.change (
    xid xid8 not null default pg_current_xact_id(), account_id uuid not null, table_name text not null, record_id text not null,
    operation text not null);
create index on witness.change (xid);
-- (from PostgreSQL 18 on a trigger runs as who caused the change: for a cascade, the owner of the table)
create function witness.note() returns trigger language plpgsql security definer as $$
begin
    if tg_op <> 'UPDATE' or old::text is distinct from new::text then
        insert into witness.change (account_id, table_name, record_id, operation)
        values (coalesce(new.account_id, old.account_id), tg_table_name, coalesce(new.id, old.id)::text,
                case tg_op when 'INSERT' then 'CREATE' else tg_op end);
    end if;
    return null;
end
$$;
-- Only the functions of the extension may do this to its tables; a test that wants to look closer takes the guard away.
alter event trigger snackbase_guard_ddl disable;
create trigger witness after insert or update or delete on snackbase.col_parents for each row execute function witness.note();
create trigger witness after insert or update or delete on snackbase.col_children for each row execute function witness.note();
alter event trigger snackbase_guard_ddl enable always;
"#;

/// Where ledger and witness differ, from transaction `$1` on.
const DIFFERENCES: &str = "
with ledger as (
    select xid, account_id, table_name, record_id, operation, count(*) as n from snackbase.audit_change
     where table_name in ('col_parents', 'col_children') and xid >= '$1' group by 1, 2, 3, 4, 5),
witness as (
    select xid, account_id, table_name, record_id, operation, count(*) as n from witness.change where xid >= '$1' group by 1, 2, 3, 4, 5)
select format('transaction %s: %s %s %s: %s written, %s in the ledger', xid, operation, table_name, record_id,
              coalesce(w.n, 0), coalesce(l.n, 0))
  from ledger l full join witness w using (xid, account_id, table_name, record_id, operation)
 where l.n is distinct from w.n
 order by xid limit 20";

/// Make collections, witness and `accounts` accounts in a database with nothing but the extension.
///
/// # Panics
/// When it cannot be made.
pub async fn ground(session: &Session, accounts: usize) {
    let script = GROUND.replace("$accounts", &accounts.to_string());
    session
        .batch_execute(&script)
        .await
        .unwrap_or_else(|error| panic!("the ground of the drill: {error:?}"));
}

/// The seed of a drill's random choices: a new one, or that of `SNACKBASE_DRILL_SEED`. The server's own timing differs all
/// the same.
pub fn seed() -> u64 {
    let seed = match std::env::var("SNACKBASE_DRILL_SEED") {
        Ok(seed) => seed.parse().expect("a number"),
        Err(_) => fastrand::u64(..),
    };
    println!("SNACKBASE_DRILL_SEED={seed}");
    seed
}

/// The id of account `number` (from 1) of [`ground`].
pub fn account(number: usize) -> String {
    format!("{number:08x}-0000-4000-8000-000000000000")
}

/// The id of record `number` of an account's small set that everybody works on.
pub fn record(account: usize, number: usize) -> String {
    format!("{account:08x}-0000-4000-8000-{number:012x}")
}

/// So many random transactions of writer `number`, one after the other, in the first three accounts; none stays prepared.
///
/// # Panics
/// When the connection is lost.
pub async fn write(session: Session, seed: u64, number: usize, book: &Arc<Book>, transactions: usize) {
    let mut writer = Writer::new(session, seed, number, book);
    for transaction in 0..transactions {
        writer.account = 1 + transaction % 3;
        if let Some(prepared) = writer.transaction().await.expect("nobody breaks the connection") {
            Writer::finish_prepared(&writer.session, book, &prepared, true)
                .await
                .expect("nobody breaks the connection");
        }
    }
}

/// Where ledger and witness differ in transactions from `xid` on; empty when each row written has its entry and no entry is
/// without a row.
pub async fn differences(session: &Session, xid: u64) -> Vec<String> {
    lines(session, &DIFFERENCES.replace("$1", &xid.to_string())).await
}

/// The first column of every row of a query.
///
/// # Panics
/// When the query fails.
pub async fn lines(session: &Session, sql: &str) -> Vec<String> {
    session
        .simple_query(sql)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error:?}"))
        .into_iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or("∅").to_owned()),
            _ => None,
        })
        .collect()
}

/// What `snackbase.audit_verify` finds, one line per finding, with further `arguments` like `, from_block => 7`.
pub async fn findings(session: &Session, arguments: &str) -> Vec<String> {
    let sql = format!("select f::text from snackbase.audit_verify(max_errors => 20{arguments}) f");
    lines(session, &sql).await
}

/// The newest checkpoint, as an anchor would keep it, and the number of its block; none when nothing is signed yet.
pub async fn checkpoint(session: &Session) -> Option<(u64, String)> {
    let newest = "select block_number || ' ' || note from snackbase.audit_checkpoint order by block_number desc limit 1";
    let line = lines(session, newest).await.pop()?;
    let (number, note) = line.split_once(' ').expect("a number and a note");
    Some((number.parse().expect("a number"), note.to_owned()))
}

/// The argument of [`findings`] that demands the blocks of a checkpoint kept outside.
pub fn holding(checkpoint: Option<&(u64, String)>) -> String {
    checkpoint.map_or_else(String::new, |(_, note)| {
        format!(", checkpoint => $checkpoint${note}$checkpoint$")
    })
}

/// One step of the sealer; a snapshot or transaction of nobody is in its way for long.
///
/// # Panics
/// When it fails.
pub async fn seal(session: &Session) {
    session
        .batch_execute("select snackbase.audit_seal()")
        .await
        .unwrap_or_else(|error| panic!("the sealer: {error:?}"));
}

/// How many changes no block covers.
pub async fn unsealed(session: &Session) -> u64 {
    let count = session
        .value(
            "select count(*) from snackbase.audit_change c
              where not exists (select from snackbase.audit_block b
                                 where b.system_identifier = c.system_identifier and b.from_xid <= c.xid and c.xid < b.to_xid)",
        )
        .await;
    count.parse().expect("a number")
}

/// What is wrong with the numbers of blocks, their ranges and their counts; the hashes are for `audit_verify`.
pub async fn broken_blocks(session: &Session) -> Vec<String> {
    const BROKEN: &str = "
    with block as (
        select b.*, lag(b.number, 1, 0::bigint) over (order by b.number) as before,
               coalesce(max(b.to_xid::text::numeric) over (partition by b.system_identifier order by b.number
                            rows between unbounded preceding and 1 preceding), 0) as ended,
               (select count(*) from snackbase.audit_change c
                 where c.system_identifier = b.system_identifier and b.from_xid <= c.xid and c.xid < b.to_xid) as changes,
               (select sum(a.change_count) from snackbase.audit_block_account a where a.block_number = b.number) as of_accounts
          from snackbase.audit_block b)
    select format('block %s after %s: [%s, %s) after %s, %s changes, %s of accounts, %s counted',
                  number, before, from_xid, to_xid, ended, changes, of_accounts, change_count)
      from block
     where number <> before + 1 or from_xid::text::numeric <> ended or changes <> change_count or of_accounts <> change_count";
    lines(session, BROKEN).await
}

/// Where the changes of each block were written: `here`, in this cluster, or `there`, in one that was dumped or upgraded.
pub async fn systems(session: &Session) -> String {
    session
        .value(
            "select string_agg(case when system_identifier = snackbase._system_identifier() then 'here' else 'there' end,
                               ' ' order by number) from snackbase.audit_block",
        )
        .await
}
