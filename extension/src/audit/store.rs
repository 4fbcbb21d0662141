//! Where changes are written: `audit_change`, below SQL.
//!
//! A statement that inserts into the ledger would go through the executor once more for every statement that is audited, which
//! costs several times what the row itself does. So rows go to the table as COPY puts them there: many at once, then into the
//! indexes. What the executor would do besides is done by construction: there is a value of the right type for every column, the
//! checks hold (debug builds have Postgres check them), and nobody but the recorder's trigger function can come here, so
//! neither grants nor row security are asked. The unique keys are kept by the indexes as always.
//!
//! Predecessors are read with `SnapshotSelf`: what is committed now, and what this transaction wrote. The lock on the record's
//! own row, which the statement that is being audited holds, has made every other writer of the record end before; an older
//! snapshot (REPEATABLE READ) would miss what they wrote, and in SERIALIZABLE a look-up by one would count as a read of the
//! caller's.

use std::ffi::{CStr, c_int};
use std::ptr;
use std::rc::Rc;

use pgrx::{IntoDatum, PgRelation, pg_sys};
use snackbase_core::ledger::{HASH_VERSION, Hash};

use super::origin::Origin;
use crate::cache;
use crate::error::Error;

/// Rows that are written together, at most.
const BATCH_ROWS: usize = 256;

/// Bytes of entries that are written together, at most (the last row may go beyond).
const BATCH_BYTES: usize = 256 * 1024;

/// The number of a collation and two functions, as `pg_collation.h` and `fmgroids.h` have them.
const COLLATION_C: pg_sys::Oid = pg_sys::Oid::from_u32(950);
const UUID_EQ: pg_sys::Oid = pg_sys::Oid::from_u32(2956);
const TEXT_EQ: pg_sys::Oid = pg_sys::Oid::from_u32(67);

unsafe extern "C-unwind" {
    // `commands/sequence.h`, the same in PostgreSQL 15 to 18; not in pgrx's bindings.
    fn nextval_internal(relation: pg_sys::Oid, check_permissions: bool) -> i64;
}

/// What is the same for all changes of a statement.
pub struct Shared<'a> {
    /// `CREATE`, `UPDATE` or `DELETE`.
    pub operation: &'a str,
    /// The table that the rows are in.
    pub table: &'a str,
    /// Who did it.
    pub origin: &'a Origin,
}

/// One change, hashed.
pub struct Change<'a> {
    /// The account of the row.
    pub account: [u8; 16],
    /// The key of the row.
    pub record: &'a str,
    /// 1, 2, …
    pub version: i64,
    /// JSON: `[[name, old, new], …]`.
    pub columns: &'a [u8],
    /// How many there are.
    pub count: i16,
    /// Microseconds since 2000-01-01.
    pub occurred_at: i64,
    /// Checksum of the version before.
    pub previous: Option<Hash>,
    /// Hash of the last column.
    pub checksum: Hash,
}

/// A column of `audit_change`, and where its value comes from.
#[derive(Clone, Copy, PartialEq)]
enum Member {
    Id,
    Xid,
    SystemIdentifier,
    AccountId,
    Operation,
    TableName,
    RecordId,
    RecordVersion,
    Columns,
    ColumnCount,
    UserId,
    UserEmail,
    UserName,
    AuthMethod,
    EsUsername,
    EsReason,
    EsTimestamp,
    IpAddress,
    UserAgent,
    RequestId,
    OccurredAt,
    HashVersion,
    PreviousHash,
    Checksum,
    /// NULL: a dropped column, or one that only imports fill.
    Nothing,
}

impl Member {
    fn named(name: &str) -> Option<Member> {
        Some(match name {
            "id" => Member::Id,
            "xid" => Member::Xid,
            "system_identifier" => Member::SystemIdentifier,
            "account_id" => Member::AccountId,
            "operation" => Member::Operation,
            "table_name" => Member::TableName,
            "record_id" => Member::RecordId,
            "record_version" => Member::RecordVersion,
            "columns" => Member::Columns,
            "column_count" => Member::ColumnCount,
            "user_id" => Member::UserId,
            "user_email" => Member::UserEmail,
            "user_name" => Member::UserName,
            "auth_method" => Member::AuthMethod,
            "es_username" => Member::EsUsername,
            "es_reason" => Member::EsReason,
            "es_timestamp" => Member::EsTimestamp,
            "ip_address" => Member::IpAddress,
            "user_agent" => Member::UserAgent,
            "request_id" => Member::RequestId,
            "occurred_at" => Member::OccurredAt,
            "hash_version" => Member::HashVersion,
            "previous_hash" => Member::PreviousHash,
            "checksum" => Member::Checksum,
            _ => return None,
        })
    }
}

/// Where the ledger is and what its rows look like.
struct Place {
    table: pg_sys::Oid,
    /// The index of the unique key of the record chains.
    chains: pg_sys::Oid,
    ids: pg_sys::Oid,
    /// One per attribute.
    members: Vec<Member>,
    /// Attribute numbers.
    version: c_int,
    checksum: c_int,
}

impl Place {
    fn find() -> Result<Rc<Place>, Error> {
        cache::get(pg_sys::InvalidOid, || {
            // SAFETY: look-ups in the system caches, inside a transaction; the names are NUL-terminated.
            let (table, chains, ids) = unsafe {
                let schema = pg_sys::get_namespace_oid(c"snackbase".as_ptr(), false);
                let named = |name: &CStr| pg_sys::get_relname_relid(name.as_ptr(), schema);
                (
                    named(c"audit_change"),
                    named(c"audit_change_record_key"),
                    named(c"audit_change_id_seq"),
                )
            };
            if [table, chains, ids].contains(&pg_sys::InvalidOid) {
                return Err(Error::Internal("the ledger is not there".into()));
            }
            // SAFETY: the table exists; the lock is kept until the end of the transaction, as for every table written to.
            let relation = unsafe { PgRelation::with_lock(table, pg_sys::RowExclusiveLock as _) };
            let members = relation
                .tuple_desc()
                .iter()
                .map(|attribute| match Member::named(attribute.name()) {
                    _ if attribute.is_dropped() => Ok(Member::Nothing),
                    Some(member) => Ok(member),
                    None if !attribute.attnotnull && !attribute.atthasdef => Ok(Member::Nothing),
                    None => Err(Error::Internal(format!(
                        "the recorder has no value for audit_change.{}",
                        attribute.name()
                    ))),
                })
                .collect::<Result<Vec<_>, _>>()?;
            let number = |member| {
                let found = members.iter().position(|&m| m == member);
                found
                    .map(|index| index as c_int + 1)
                    .ok_or_else(|| Error::Internal("audit_change lacks a column".into()))
            };
            let place = Place {
                table,
                chains,
                ids,
                version: number(Member::RecordVersion)?,
                checksum: number(Member::Checksum)?,
                members,
            };
            Ok((table, place))
        })
    }
}

/// `audit_change`, open for the changes of one statement. Must be closed; after an error the abort of the transaction does it.
pub struct Ledger {
    place: Rc<Place>,
    table: pg_sys::Relation,
    chains: pg_sys::Relation,
    scan: pg_sys::IndexScanDesc,
    found: *mut pg_sys::TupleTableSlot,
    keys: [pg_sys::ScanKeyData; 3],
    executor: *mut pg_sys::EState,
    result: *mut pg_sys::ResultRelInfo,
    /// Values of the members that all changes share.
    shared: Vec<Option<pg_sys::Datum>>,
    slots: Vec<*mut pg_sys::TupleTableSlot>,
    /// How many of them hold a change.
    pending: usize,
    bytes: usize,
    statement: pg_sys::MemoryContext,
    batch: pg_sys::MemoryContext,
}

impl Ledger {
    /// Opens the ledger. What is the same for all changes of the statement is made into values once.
    ///
    /// # Errors
    /// [`Error::Internal`] when the table is not ours.
    pub fn open(shared: &Shared<'_>) -> Result<Ledger, Error> {
        let place = Place::find()?;
        let shared_values = place.members.iter().map(|member| shared.value(*member)).collect();
        // SAFETY: opens of relations that exist, in the order of the executor, balanced by `close`; memory comes from the
        // context of the trigger's call, which outlives the ledger, and from one below it.
        unsafe {
            let statement = pg_sys::CurrentMemoryContext;
            let table = pg_sys::table_open(place.table, pg_sys::RowExclusiveLock as _);
            let chains = pg_sys::index_open(place.chains, pg_sys::RowExclusiveLock as _);
            let snapshot = &raw mut pg_sys::SnapshotSelfData;
            #[cfg(not(feature = "pg18"))]
            let scan = pg_sys::index_beginscan(table, chains, snapshot, 3, 0);
            #[cfg(feature = "pg18")]
            let scan = pg_sys::index_beginscan(table, chains, snapshot, ptr::null_mut(), 3, 0);
            let executor = pg_sys::CreateExecutorState();
            let result = pg_sys::palloc0(size_of::<pg_sys::ResultRelInfo>()).cast::<pg_sys::ResultRelInfo>();
            pg_sys::InitResultRelInfo(result, table, 0, ptr::null_mut(), 0);
            pg_sys::ExecOpenIndices(result, false);
            let mut ledger = Ledger {
                found: pg_sys::table_slot_create(table, ptr::null_mut()),
                place,
                table,
                chains,
                scan,
                keys: Default::default(),
                executor,
                result,
                shared: shared_values,
                slots: Vec::new(),
                pending: 0,
                bytes: 0,
                statement,
                batch: pg_sys::AllocSetContextCreateExtended(
                    statement,
                    c"snackbase changes".as_ptr(),
                    pg_sys::ALLOCSET_DEFAULT_MINSIZE as usize,
                    pg_sys::ALLOCSET_DEFAULT_INITSIZE as usize,
                    pg_sys::ALLOCSET_DEFAULT_MAXSIZE as usize,
                ),
            };
            let text = pg_sys::BTEqualStrategyNumber as _;
            let keys = [
                (pg_sys::InvalidOid, UUID_EQ, pg_sys::Datum::from(0usize)),
                (COLLATION_C, TEXT_EQ, varlena(shared.table.as_bytes())),
                (COLLATION_C, TEXT_EQ, pg_sys::Datum::from(0usize)),
            ];
            for (index, (collation, function, argument)) in keys.into_iter().enumerate() {
                pg_sys::ScanKeyEntryInitialize(
                    &mut ledger.keys[index],
                    0,
                    index as i16 + 1,
                    text,
                    pg_sys::InvalidOid,
                    collation,
                    function,
                    argument,
                );
            }
            Ok(ledger)
        }
    }

    /// Version and checksum of the newest change of a record that is in the table: not of those that are [pushed](Self::push)
    /// and not yet written.
    ///
    /// # Errors
    /// [`Error::Internal`] when the stored checksum is none.
    pub fn newest(&mut self, account: &[u8; 16], record: &str) -> Result<Option<(i64, Hash)>, Error> {
        // SAFETY: scan, slot and keys are live; the key's values outlive the scan of this record, and so does the slot's row
        // the reading of its two attributes, which have the types they are read as.
        unsafe {
            let caller = pg_sys::MemoryContextSwitchTo(self.batch);
            self.keys[0].sk_argument = pg_sys::Datum::from(account.as_ptr());
            self.keys[2].sk_argument = varlena(record.as_bytes());
            // What the index keeps between calls (a list of dead rows that it met) must live as long as the scan.
            pg_sys::MemoryContextSwitchTo(self.statement);
            pg_sys::index_rescan(self.scan, self.keys.as_mut_ptr(), 3, ptr::null_mut(), 0);
            let direction = pg_sys::ScanDirection::BackwardScanDirection;
            let found = pg_sys::index_getnext_slot(self.scan, direction, self.found);
            pg_sys::MemoryContextSwitchTo(self.batch);
            let mut newest = None;
            if found {
                let last = self.place.version.max(self.place.checksum);
                pg_sys::slot_getsomeattrs_int(self.found, last);
                let value = |number: c_int| *(*self.found).tts_values.add(number as usize - 1);
                let checksum = pgrx::varlena::varlena_to_byte_slice(
                    pg_sys::pg_detoast_datum_packed(value(self.place.checksum).cast_mut_ptr()).cast(),
                );
                let checksum = Hash::try_from(checksum)
                    .map_err(|_| Error::Internal("a checksum of the ledger has not 32 bytes".into()))?;
                newest = Some((value(self.place.version).value() as i64, checksum));
                clear(self.found);
            }
            pg_sys::MemoryContextSwitchTo(caller);
            Ok(newest)
        }
    }

    /// Takes a change, and writes those that were taken when they are many. Returns whether it wrote.
    pub fn push(&mut self, change: &Change<'_>) -> bool {
        // SAFETY: a slot has one value and one flag per attribute of the table, of which there are as many as members. The
        // values lie in the context of the batch until they are written.
        unsafe {
            if self.pending == self.slots.len() {
                let caller = pg_sys::MemoryContextSwitchTo(self.statement);
                let description = (*self.table).rd_att;
                self.slots.push(pg_sys::MakeSingleTupleTableSlot(
                    description,
                    &raw const pg_sys::TTSOpsVirtual,
                ));
                pg_sys::MemoryContextSwitchTo(caller);
            }
            let caller = pg_sys::MemoryContextSwitchTo(self.batch);
            let slot = self.slots[self.pending];
            for (index, member) in self.place.members.iter().enumerate() {
                let value = self.shared[index].or_else(|| match member {
                    Member::Id => Some(next_value(self.place.ids).into()),
                    _ => change.value(*member),
                });
                (*slot).tts_isnull.add(index).write(value.is_none());
                (*slot)
                    .tts_values
                    .add(index)
                    .write(value.unwrap_or(pg_sys::Datum::from(0usize)));
            }
            pg_sys::ExecStoreVirtualTuple(slot);
            pg_sys::MemoryContextSwitchTo(caller);
        }
        self.pending += 1;
        self.bytes += change.columns.len();
        let full = self.pending == BATCH_ROWS || self.bytes >= BATCH_BYTES;
        if full {
            self.write();
        }
        full
    }

    /// Writes what was pushed.
    fn write(&mut self) {
        if self.pending == 0 {
            return;
        }
        // SAFETY: table and slots are live and of the same row type; the result relation has the table's indexes open, and
        // the executor state gives them their expression context. Rows go to the indexes with the place the table gave them.
        unsafe {
            let caller = pg_sys::MemoryContextSwitchTo(self.batch);
            let slots = &mut self.slots[..self.pending];
            #[cfg(debug_assertions)]
            for slot in slots.iter() {
                pg_sys::ExecConstraints(self.result, *slot, self.executor);
            }
            if let [slot] = slots {
                pg_sys::simple_table_tuple_insert(self.table, *slot);
            } else if let Some(insert) = (*(*self.table).rd_tableam).multi_insert {
                let command = pg_sys::GetCurrentCommandId(true);
                let (table, count) = (self.table, slots.len() as c_int);
                // (guarded, as pgrx's own bindings are: a Postgres error becomes a panic)
                pg_sys::ffi::pg_guard_ffi_boundary(|| {
                    insert(table, slots.as_mut_ptr(), count, command, 0, ptr::null_mut());
                });
            }
            for slot in slots.iter() {
                pg_sys::ExecInsertIndexTuples(
                    self.result,
                    *slot,
                    self.executor,
                    false,
                    false,
                    ptr::null_mut(),
                    ptr::null_mut(),
                    #[cfg(not(feature = "pg15"))]
                    false,
                );
                clear(*slot);
            }
            pg_sys::MemoryContextSwitchTo(caller);
            pg_sys::MemoryContextReset(self.batch);
        }
        self.pending = 0;
        self.bytes = 0;
    }

    /// Writes what is left and closes everything.
    pub fn close(mut self) {
        self.write();
        // SAFETY: ends what `open` began, in the opposite order. Locks stay until the end of the transaction.
        unsafe {
            for slot in self.slots.drain(..) {
                pg_sys::ExecDropSingleTupleTableSlot(slot);
            }
            pg_sys::ExecDropSingleTupleTableSlot(self.found);
            pg_sys::index_endscan(self.scan);
            pg_sys::index_close(self.chains, pg_sys::NoLock as _);
            pg_sys::ExecCloseIndices(self.result);
            pg_sys::FreeExecutorState(self.executor);
            pg_sys::table_close(self.table, pg_sys::NoLock as _);
            pg_sys::MemoryContextDelete(self.batch);
        }
    }
}

impl Shared<'_> {
    /// The value of a member that is the same for all changes; None for the others, and for NULL.
    fn value(&self, member: Member) -> Option<pg_sys::Datum> {
        let text = |text: &str| Some(varlena(text.as_bytes()));
        let origin = self.origin;
        match member {
            // SAFETY: reads of the server's and the transaction's state; the latter gets its number here, if it has none.
            Member::Xid => Some(unsafe { pg_sys::GetTopFullTransactionId() }.value.into()),
            // SAFETY: as above.
            Member::SystemIdentifier => Some(unsafe { pg_sys::GetSystemIdentifier() }.into()),
            Member::Operation => text(self.operation),
            Member::TableName => text(self.table),
            Member::UserId => text(&origin.user_id),
            Member::UserEmail => text(&origin.user_email),
            Member::UserName => text(&origin.user_name),
            Member::AuthMethod => text(&origin.auth_method),
            Member::EsUsername => origin.es_username.as_deref().and_then(text),
            Member::EsReason => origin.es_reason.as_deref().and_then(text),
            Member::EsTimestamp => origin.es_timestamp.map(pg_sys::Datum::from),
            Member::IpAddress => origin.ip_address.as_deref().and_then(text),
            Member::UserAgent => origin.user_agent.as_deref().and_then(text),
            Member::RequestId => origin.request_id.as_deref().and_then(text),
            Member::HashVersion => Some(HASH_VERSION.into()),
            _ => None,
        }
    }
}

impl Change<'_> {
    /// The value of a member that is of this change; None for the others, and for NULL.
    fn value(&self, member: Member) -> Option<pg_sys::Datum> {
        match member {
            Member::AccountId => Some(uuid(&self.account)),
            Member::RecordId => Some(varlena(self.record.as_bytes())),
            Member::RecordVersion => Some(self.version.into()),
            Member::Columns => Some(varlena(self.columns)),
            Member::ColumnCount => Some(self.count.into()),
            Member::OccurredAt => Some(self.occurred_at.into()),
            Member::PreviousHash => self.previous.map(|hash| varlena(&hash)),
            Member::Checksum => Some(varlena(&self.checksum)),
            _ => None,
        }
    }
}

/// The next value of a sequence, whoever asks.
fn next_value(sequence: pg_sys::Oid) -> i64 {
    // SAFETY: the sequence is the one of the ledger's ids; a Postgres error (it is exhausted) becomes a panic, as with pgrx's
    // own bindings.
    unsafe { pg_sys::ffi::pg_guard_ffi_boundary(|| nextval_internal(sequence, false)) }
}

/// Empties a slot, as the inline function `ExecClearTuple` does.
///
/// # Safety
/// The slot must be live.
unsafe fn clear(slot: *mut pg_sys::TupleTableSlot) {
    // SAFETY: every kind of slot has the operation.
    unsafe {
        if let Some(clear) = (*(*slot).tts_ops).clear {
            clear(slot);
        }
    }
}

/// A value of type text, json or bytea, which look alike, in the current memory context.
fn varlena(bytes: &[u8]) -> pg_sys::Datum {
    pgrx::varlena::rust_byte_slice_to_bytea(bytes)
        .into_datum()
        .unwrap_or(pg_sys::Datum::from(0usize))
}

/// A value of type uuid, in the current memory context.
fn uuid(bytes: &[u8; 16]) -> pg_sys::Datum {
    // SAFETY: sixteen bytes of new memory are written.
    unsafe {
        let place = pg_sys::palloc(16).cast::<[u8; 16]>();
        place.write(*bytes);
        pg_sys::Datum::from(place)
    }
}
