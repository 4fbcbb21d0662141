//! The recorder: a statement trigger that turns the rows a statement wrote into changes of the ledger.
//!
//! Transition tables give all rows of a statement at once, whatever wrote them: INSERT, COPY, MERGE, ON CONFLICT, a
//! cascade. They are read in batches, so memory stays flat, and each batch is one INSERT. The predecessor of a change
//! is looked up by the unique key of the chain; the lock on the record's own row already orders its writers, so the
//! ledger needs no lock of its own, and a fork fails on that key.
//!
//! The function is `SECURITY DEFINER` (the owner alone may insert into the ledger) and pins the settings that output
//! functions read; both are said in `900_privileges.sql`.

use std::collections::HashSet;

use pgrx::heap_tuple::PgHeapTuple;
use pgrx::pg_sys;
use pgrx::prelude::*;
use pgrx::{AllocatedByRust, PgMemoryContexts};

use super::image::{self, Column};
use crate::context::{Context, SYSTEM_ACCOUNT};
use crate::error::{Error, raise};
use crate::{guc, json, spi};

/// Rows per INSERT into the ledger.
const BATCH: usize = 1000;

const INSERT: &str = "
insert into snackbase.audit_change
       (account_id, operation, table_name, record_id, record_version, columns, column_count,
        user_id, user_email, user_name, auth_method, ip_address, user_agent, request_id,
        occurred_at, previous_hash, checksum)
select r.account_id, $4, $5, r.record_id, r.version, r.columns, json_array_length(r.columns),
       a.user_id, a.user_email, a.user_email, a.auth_method, a.ip_address, a.user_agent, $9,
       a.now, r.previous_hash,
       snackbase._audit_chain(
           snackbase._audit_header_hash(r.account_id, a.auth_method, null, null, null, null, a.ip_address, a.now,
               $4, r.record_id, r.version, $9, $5, a.user_agent, a.user_email, a.user_id, a.user_email),
           r.columns, r.previous_hash)
  from (select clock_timestamp() as now, $6 as user_id, $7 as user_email, $8 as auth_method,
               case when $8 = 'direct_sql' then host(inet_client_addr()) else $10 end as ip_address,
               case when $8 = 'direct_sql' then left(current_setting('application_name'), 500) else $11 end as user_agent
       ) a
 cross join (select u.account_id::uuid as account_id, u.record_id, u.columns::json as columns, u.place,
                    p.checksum as previous_hash, coalesce(p.record_version, 0) + 1 as version
               from unnest($1, $2, $3) with ordinality as u(account_id, record_id, columns, place)
               left join lateral (
                    select c.checksum, c.record_version
                      from snackbase.audit_change c
                     where c.account_id = u.account_id::uuid and c.table_name = $5 and c.record_id = u.record_id
                     order by c.record_version desc
                     limit 1) p on true
            ) r
 order by r.place";

/// Records the rows of one statement. Trigger arguments: the key column (several joined by a comma), then the columns
/// stored as `***`.
#[pg_trigger]
fn _audit_record<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<PgHeapTuple<'a, AllocatedByRust>>, pgrx::pg_sys::panic::ErrorReport> {
    if !guc::is_restoring()
        && let Err(error) = record(trigger)
    {
        raise(error);
    }
    Ok(None)
}

/// What the rows of one table need to become changes.
struct Recorder {
    table: String,
    operation: &'static str,
    columns: Vec<Column>,
    keys: Vec<usize>,
    account: Account,
    masked: Vec<bool>,
}

/// Where the account of a row is.
enum Account {
    Column(usize),
    /// Tables that belong to all accounts.
    System,
}

/// One row as the ledger will hold it.
struct Change {
    account: String,
    record: String,
    columns: String,
}

#[derive(Default)]
struct Batch {
    accounts: Vec<Option<String>>,
    records: Vec<Option<String>>,
    columns: Vec<Option<String>>,
    /// Account and record of every change here.
    seen: HashSet<(String, String)>,
}

impl Batch {
    /// Adds a change, or gives it back when its record has one here already.
    fn try_push(&mut self, change: Change) -> Option<Change> {
        if self
            .seen
            .contains(&(change.account.clone(), change.record.clone()))
        {
            return Some(change);
        }
        self.push(change);
        None
    }

    fn push(&mut self, change: Change) {
        self.seen.insert((change.account.clone(), change.record.clone()));
        self.accounts.push(Some(change.account));
        self.records.push(Some(change.record));
        self.columns.push(Some(change.columns));
    }
}

/// What follows a batch.
enum Next {
    End,
    Batch,
    /// A second change of a record in the batch before. It must see that one as its predecessor, so it begins the next.
    Again(Change),
}

fn record(trigger: &PgTrigger<'_>) -> Result<(), Error> {
    let data = trigger.trigger_data();
    let recorder = Recorder::new(trigger)?;
    let mut old = Rows::open(data, data.tg_oldtable);
    let mut new = Rows::open(data, data.tg_newtable);
    let mut memory = PgMemoryContexts::new("snackbase audit batch");
    let mut batch = Batch::default();
    loop {
        // SAFETY: nothing allocated inside outlives the batch: its texts are Rust strings.
        let next = unsafe {
            let next = memory.switch_to(|_| recorder.fill(&mut batch, &mut old, &mut new))?;
            memory.reset();
            next
        };
        recorder.write(std::mem::take(&mut batch))?;
        match next {
            Next::End => return Ok(()),
            Next::Batch => {}
            Next::Again(change) => batch.push(change),
        }
    }
}

impl Recorder {
    fn new(trigger: &PgTrigger<'_>) -> Result<Recorder, Error> {
        let internal = |e: PgTriggerError| Error::Internal(e.to_string());
        let relation = trigger.relation().map_err(internal)?;
        let table = relation.name().to_owned();
        let columns = image::columns(&relation.tuple_desc());
        let arguments = trigger.extra_args().map_err(internal)?;
        let position = |name: &str| columns.iter().position(|c| c.name == name);
        let key_names = arguments.first().map(String::as_str).unwrap_or("id");
        let keys = key_names
            .split(',')
            .map(|name| {
                position(name).ok_or_else(|| Error::Internal(format!("{table} has no column {name}")))
            })
            .collect::<Result<_, _>>()?;
        let account = match position("account_id") {
            Some(index) => Account::Column(index),
            None if table == "accounts" => {
                Account::Column(position("id").ok_or_else(|| Error::Internal("accounts has no id".into()))?)
            }
            None => Account::System,
        };
        let masked = columns
            .iter()
            .map(|c| arguments.iter().skip(1).any(|argument| *argument == c.name))
            .collect();
        let operation = match trigger.op().map_err(internal)? {
            PgTriggerOperation::Insert => "CREATE",
            PgTriggerOperation::Update => "UPDATE",
            PgTriggerOperation::Delete => "DELETE",
            PgTriggerOperation::Truncate => return Err(Error::Internal("TRUNCATE has no rows".into())),
        };
        Ok(Recorder {
            table,
            operation,
            columns,
            keys,
            account,
            masked,
        })
    }

    /// Reads up to [`BATCH`] rows. Old and new rows of an UPDATE come in the same order. One statement may write a row
    /// twice: a record that is deleted clears each of the references of another record by an UPDATE of its own.
    fn fill(&self, batch: &mut Batch, old: &mut Rows, new: &mut Rows) -> Result<Next, Error> {
        for _ in 0..BATCH {
            let before = old.next(&self.columns);
            let after = new.next(&self.columns);
            let Some(row) = after.as_ref().or(before.as_ref()) else {
                return Ok(Next::End);
            };
            let account = match self.account {
                Account::Column(index) => row[index].clone().unwrap_or_else(|| SYSTEM_ACCOUNT.to_owned()),
                Account::System => SYSTEM_ACCOUNT.to_owned(),
            };
            let key: Vec<&str> = self
                .keys
                .iter()
                .filter_map(|&index| row[index].as_deref())
                .collect();
            if let Some(columns) = self.changed_columns(before.as_deref(), after.as_deref()) {
                let change = Change {
                    account,
                    record: key.join(":"),
                    columns,
                };
                if let Some(change) = batch.try_push(change) {
                    return Ok(Next::Again(change));
                }
            }
        }
        Ok(Next::Batch)
    }

    /// `[[name, old, new], …]`: every column on CREATE and DELETE, the changed ones on UPDATE; `None` when none did.
    fn changed_columns(
        &self,
        before: Option<&[Option<String>]>,
        after: Option<&[Option<String>]>,
    ) -> Option<String> {
        let mut out = String::from("[");
        for (index, column) in self.columns.iter().enumerate() {
            let old = before.and_then(|row| row[index].as_deref());
            let new = after.and_then(|row| row[index].as_deref());
            if before.is_some() && after.is_some() && old == new {
                continue;
            }
            if out.len() > 1 {
                out.push(',');
            }
            out.push('[');
            json::write_text(&mut out, &column.name);
            for value in [old, new] {
                out.push(',');
                match value {
                    Some(_) if self.masked[index] => json::write_text(&mut out, super::MASK),
                    Some(text) => json::write_text(&mut out, text),
                    None => out.push_str("null"),
                }
            }
            out.push(']');
        }
        out.push(']');
        (out.len() > 2).then_some(out)
    }

    fn write(&self, batch: Batch) -> Result<(), Error> {
        if batch.records.is_empty() {
            return Ok(());
        }
        let actor = Actor::current();
        spi::update(
            INSERT,
            &[
                spi::text_array(batch.accounts),
                spi::text_array(batch.records),
                spi::text_array(batch.columns),
                self.operation.into(),
                self.table.as_str().into(),
                actor.id.into(),
                actor.email.into(),
                actor.method.into(),
                guc::REQUEST_ID.get().into(),
                guc::IP_ADDRESS.get().into(),
                guc::USER_AGENT.get().into(),
            ],
            |_| Ok(()),
        )
    }
}

/// Who the ledger says did it (contract `audit.md` §5.3).
struct Actor {
    id: String,
    email: String,
    method: String,
}

impl Actor {
    fn current() -> Actor {
        let context = Context::current();
        if context.is_anonymous() {
            return Actor {
                id: "anonymous".into(),
                email: "anonymous".into(),
                method: "anonymous".into(),
            };
        }
        match (context.auth_method, guc::USER_ID.get()) {
            (Some(method), Some(id)) => Actor {
                id,
                email: guc::USER_EMAIL.get().unwrap_or_default(),
                method,
            },
            _ => {
                let role = spi::session_user();
                Actor {
                    email: format!("{role}@direct.local"),
                    id: role,
                    method: "direct_sql".into(),
                }
            }
        }
    }
}

/// The rows of one transition table, as texts.
struct Rows {
    store: *mut pg_sys::Tuplestorestate,
    slot: *mut pg_sys::TupleTableSlot,
}

impl Rows {
    /// A reader of `store`, which is null when the trigger has no such transition table.
    fn open(data: &pg_sys::TriggerData, store: *mut pg_sys::Tuplestorestate) -> Rows {
        if store.is_null() {
            return Rows {
                store,
                slot: std::ptr::null_mut(),
            };
        }
        // SAFETY: the trigger manager keeps the relation and the store open while the trigger runs; the tuplestore
        // holds minimal tuples of the relation's row type.
        unsafe {
            pg_sys::tuplestore_rescan(store);
            let slot = pg_sys::MakeSingleTupleTableSlot(
                (*data.tg_relation).rd_att,
                &raw const pg_sys::TTSOpsMinimalTuple,
            );
            Rows { store, slot }
        }
    }

    /// The next row: one text per column of `columns`.
    fn next(&mut self, columns: &[Column]) -> Option<Vec<Option<String>>> {
        if self.store.is_null() {
            return None;
        }
        // SAFETY: store and slot are live (see `open`); after slot_getsomeattrs the value arrays have one element per
        // attribute of the relation, and a column's number is within them.
        unsafe {
            // A row of a store that was spilled to disk is allocated here, and freed by the slot when the next one comes:
            // it must not lie in the context of the batch, which is reset in between.
            let batch = pg_sys::MemoryContextSwitchTo((*self.slot).tts_mcxt);
            let found = pg_sys::tuplestore_gettupleslot(self.store, true, false, self.slot);
            pg_sys::MemoryContextSwitchTo(batch);
            if !found {
                return None;
            }
            let count = (*(*self.slot).tts_tupleDescriptor).natts;
            pg_sys::slot_getsomeattrs_int(self.slot, count);
            let slot = &*self.slot;
            Some(
                columns
                    .iter()
                    .map(|column| {
                        let index = column.number - 1;
                        column.text(*slot.tts_values.add(index), *slot.tts_isnull.add(index))
                    })
                    .collect(),
            )
        }
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        if !self.slot.is_null() && !std::thread::panicking() {
            // SAFETY: made in `open`, dropped once. After a Postgres error the memory context frees it instead.
            unsafe { pg_sys::ExecDropSingleTupleTableSlot(self.slot) };
        }
    }
}
