//! The tamper drill: what a superuser can do to the ledger with every guard switched off is named by `audit_verify`, with
//! block and record; and what honest work does is never named.

mod honest;

use snackbase_e2e::{Database, Session, drill};

use crate::seal::key::{keygen, server_directory};
use crate::seal::seal_all;

/// Two accounts, a collection, and what a forger needs: blocks of one change are sealed anew, without the key.
const SCENE: &str = r#"
select snackbase.account_create('One', null);
select snackbase.account_create('Two', null);
select snackbase.collection_define('{"name": "notes", "fields": [{"name": "title", "type": "text"}]}');
create schema forger;
create function forger.account(wanted text) returns uuid stable language sql
    return (select id from snackbase.accounts where name = wanted);
create function forger.record(number int) returns uuid immutable language sql
    return (lpad(number::text, 8, '0') || '-0000-4000-8000-000000000000')::uuid;
create function forger.note(account text, number int, title text) returns void language sql
    begin atomic
        insert into snackbase.col_notes (id, account_id, title) values (forger.record(number), forger.account(account), title)
        on conflict (id, account_id) do update set title = excluded.title;
    end;
-- The checksum that a change should have.
create function forger.checksum(change snackbase.audit_change) returns bytea language sql
    return snackbase._audit_chain(snackbase._audit_header(change), change.columns, change.previous_hash);
create function forger.reseal(block bigint) returns void language plpgsql as $$
declare
    b snackbase.audit_block := (select b from snackbase.audit_block b where b.number = block);
    a snackbase.audit_block_account := (select a from snackbase.audit_block_account a where a.block_number = block);
    leaf bytea := sha256('\x00' || (select c.checksum from snackbase.audit_change c
                                     where c.system_identifier = b.system_identifier and c.xid >= b.from_xid and c.xid < b.to_xid));
    hash bytea;
    completed bytea;
    level int := 0;
begin
    update snackbase.audit_block_account set root = leaf where block_number = block;
    b.tree_root := sha256('\x00' || uuid_send(a.account_id) || int8send(a.change_count) || int8send(a.previous_block) || leaf);
    b.previous_block_hash := (select p.block_hash from snackbase.audit_block p where p.number = block - 1);
    hash := sha256(convert_to(format(
        '{"change_count":"%s","from_xid":"%s","import_id":null,"number":"%s","previous_block_hash":"%s","sealed_at":"%s","system_identifier":"%s","to_xid":"%s","tree_root":"%s"}',
        b.change_count, b.from_xid, b.number, encode(b.previous_block_hash, 'hex'),
        to_char(b.sealed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        case when b.system_identifier < 0 then b.system_identifier::numeric + 18446744073709551616 else b.system_identifier end,
        b.to_xid, encode(b.tree_root, 'hex')), 'UTF8'));
    leaf := sha256('\x00' || hash);
    completed := leaf;
    while (block - 1) & (1 << level) <> 0 loop
        leaf := sha256('\x01' || (select substr(l.nodes, 32 * level + 1, 32) from snackbase.audit_block l where l.number = block - (1 << level)) || leaf);
        completed := completed || leaf;
        level := level + 1;
    end loop;
    update snackbase.audit_block
       set tree_root = b.tree_root, previous_block_hash = b.previous_block_hash, block_hash = hash, nodes = completed
     where number = block;
end
$$;
"#;

/// Every guard off. (They stay off; nobody else works here.)
const GUARDS_OFF: &str = "
alter event trigger snackbase_guard_ddl disable;
alter event trigger snackbase_guard_drop disable;
alter table snackbase.audit_change disable trigger user;
alter table snackbase.audit_block disable trigger user;
alter table snackbase.audit_block_account disable trigger user;
alter table snackbase.audit_checkpoint disable trigger user;
alter table snackbase.audit_key disable trigger user;
alter table snackbase.col_notes disable trigger user";

/// A ledger with a few blocks and checkpoints, and a forger in it.
///
/// | Block | Changes |
/// |---|---|
/// | `first` | note 1 of One is created |
/// | `first` + 1 | note 1 is changed |
/// | `first` + 2 | notes 2 and 3 of One, and note 4 of Two, are created |
/// | `first` + 3 | note 1 is changed again: the newest block |
struct Ledger {
    _database: Database,
    session: Session,
    first: i64,
    /// The checkpoint of the newest block, kept outside.
    note: String,
}

impl Ledger {
    async fn new() -> Self {
        let database = Database::fresh().await;
        let session = database.superuser().await;
        session.batch_execute(SCENE).await.expect("a scene");
        let directory = server_directory(&format!("tamper-{}", database.name));
        let (file, _) = keygen(&directory, "tamper").await;
        let key = format!("set snackbase.audit_key_file = '{file}'");
        session.batch_execute(&key).await.expect("a key");
        seal_all(&session).await;
        // (the first checkpoint leaves the key in the trail)
        seal_all(&session).await;
        let newest = "select max(number) from snackbase.audit_block";
        let first = session.value(newest).await.parse::<i64>().expect("a number") + 1;
        for changes in [
            &["'One', 1, 'a'"][..],
            &["'One', 1, 'b'"],
            &["'One', 2, 'x'", "'One', 3, 'y'", "'Two', 4, 'z'"],
            &["'One', 1, 'c'"],
        ] {
            let statements = changes.iter().map(|note| format!("select forger.note({note});"));
            let transaction: String = statements.collect();
            session.batch_execute(&transaction).await.expect("notes");
            seal_all(&session).await;
        }
        assert_eq!(
            session.value(newest).await,
            (first + 3).to_string(),
            "a block for each step"
        );
        let note = session
            .value("select note from snackbase.audit_checkpoint order by block_number desc limit 1")
            .await;
        let ledger = Self {
            _database: database,
            session,
            first,
            note,
        };
        ledger.finds("", &[]).await;
        ledger.finds(&ledger.outside(), &[]).await;
        ledger.act(GUARDS_OFF).await;
        ledger
    }

    /// The argument that gives the checkpoint from outside.
    fn outside(&self) -> String {
        format!("checkpoint => $note${}$note$", self.note)
    }

    async fn act(&self, script: &str) {
        self.session
            .batch_execute(script)
            .await
            .unwrap_or_else(|error| panic!("{script}: {error:?}"));
    }

    /// What is found must be `expected`: kind, block counted from `first`, account or table and number of the note, version.
    #[track_caller]
    fn finds<'a>(&'a self, arguments: &'a str, expected: &'a [&'a str]) -> impl Future<Output = ()> + 'a {
        let place = std::panic::Location::caller();
        async move {
            let sql = format!(
                "select concat_ws(' ', kind, block - {}, coalesce(table_name || ' ' || ltrim(split_part(record_id, '-', 1), '0'),
                         (select a.name from snackbase.accounts a where a.id = account_id)), record_version)
                   from snackbase.audit_verify({arguments})",
                self.first
            );
            let mut found = drill::lines(&self.session, &sql).await;
            found.sort();
            let mut wanted = expected.to_vec();
            wanted.sort_unstable();
            if found != wanted {
                let all = drill::findings(&self.session, "").await;
                panic!("{place}: found {found:#?}\ninstead of {wanted:#?}\nin full: {all:#?}");
            }
        }
    }

    /// Makes the hashes of note 1 fit from a version on.
    async fn relink(&self, from: i64) {
        for version in from..=3 {
            self.act(&format!(
                "update snackbase.audit_change c
                    set previous_hash = (select p.checksum from snackbase.audit_change p
                                          where p.record_id = c.record_id and p.record_version = c.record_version - 1)
                  where c.record_id = forger.record(1)::text and c.record_version = {version};
                 update snackbase.audit_change c set checksum = forger.checksum(c)
                  where c.record_id = forger.record(1)::text and c.record_version = {version}"
            ))
            .await;
        }
    }
}

#[tokio::test]
async fn an_edited_value_is_named() {
    let ledger = Ledger::new().await;
    ledger
        .act(
            "update snackbase.audit_change set columns = replace(columns::text, '\"b\"', '\"B\"')::json
               where record_id = forger.record(1)::text and record_version = 2",
        )
        .await;
    ledger.finds("", &["checksum 1 col_notes 1 2"]).await;
    // With hashes that fit again, from there to the end of the record's history, the blocks tell.
    ledger.relink(2).await;
    let expected = [
        "block 1 One",
        "block 1 col_notes 1 2",
        "block 3 One",
        "block 3 col_notes 1 3",
    ];
    ledger.finds("", &expected).await;
}

#[tokio::test]
async fn a_change_deleted_in_the_middle_is_named() {
    let ledger = Ledger::new().await;
    ledger
        .act("delete from snackbase.audit_change where record_id = forger.record(1)::text and record_version = 2")
        .await;
    ledger
        .finds("", &["truncated 1 One", "gap 1 col_notes 1 3"])
        .await;
    // Renumbered and linked, there is no gap.
    ledger
        .act("update snackbase.audit_change set record_version = 2 where record_id = forger.record(1)::text and record_version = 3")
        .await;
    ledger.relink(2).await;
    let expected = ["truncated 1 One", "block 3 One", "block 3 col_notes 1 2"];
    ledger.finds("", &expected).await;
}

#[tokio::test]
async fn a_whole_history_deleted_is_named() {
    let ledger = Ledger::new().await;
    ledger
        .act("delete from snackbase.audit_change where record_id = forger.record(1)::text")
        .await;
    let blocks = ["truncated 0 One", "truncated 1 One", "truncated 3 One"];
    ledger
        .finds("", &[&blocks[..], &["missing col_notes 1"]].concat())
        .await;
    // Without the row, too, nothing is left of the record; the blocks still count its changes.
    ledger
        .act("delete from snackbase.col_notes where id = forger.record(1)")
        .await;
    ledger.finds("", &blocks).await;
    // Neither does it help to take the account out of a block.
    ledger
        .act(&format!(
            "delete from snackbase.audit_block_account where block_number = {}",
            ledger.first + 2
        ))
        .await;
    let expected = [&blocks[..], &["block 2", "truncated 2 One", "truncated 2 Two"]].concat();
    let found = drill::lines(
        &ledger.session,
        &format!(
            "select concat_ws(' ', kind, block - {}, (select a.name from snackbase.accounts a where a.id = account_id))
               from snackbase.audit_verify()",
            ledger.first
        ),
    )
    .await;
    for line in expected {
        assert!(found.iter().any(|found| found == line), "{line}: {found:#?}");
    }
}

#[tokio::test]
async fn a_change_inserted_later_is_named() {
    let ledger = Ledger::new().await;
    // A history that looks right, in a block that its account has, and in one that it has not.
    for (number, block, account, named) in [
        (8, 1, "One", &["block 1 One", "block 1 col_notes 8 1"][..]),
        (9, 1, "Two", &["block 1 col_notes 9 1"]),
    ] {
        ledger
            .act(&format!(
                "create temp table forged as select * from snackbase.audit_change
                   where record_id = forger.record(1)::text and record_version = 1;
                 update forged f
                    set id = nextval('snackbase.audit_change_id_seq'), record_id = forger.record({number})::text, account_id = forger.account('{account}'),
                        xid = (select from_xid from snackbase.audit_block where number = {block} + {first}),
                        columns = replace(replace(columns::text, forger.record(1)::text, forger.record({number})::text),
                                          f.account_id::text, forger.account('{account}')::text)::json;
                 insert into snackbase.audit_change overriding system value select * from forged;
                 update snackbase.audit_change c set checksum = forger.checksum(c) where record_id = forger.record({number})::text;
                 insert into snackbase.col_notes
                 select (jsonb_populate_record(n, jsonb_build_object('id', forger.record({number}), 'account_id', forger.account('{account}'), 'title', 'a',
                         'updated_at', n.created_at))).*
                   from snackbase.col_notes n where n.id = forger.record(1);
                 drop table forged",
                first = ledger.first
            ))
            .await;
        ledger.finds("", named).await;
        ledger
            .act(&format!(
                "delete from snackbase.audit_change where record_id = forger.record({number})::text;
                 delete from snackbase.col_notes where id = forger.record({number})"
            ))
            .await;
        ledger.finds("", &[]).await;
    }
}

#[tokio::test]
async fn swapped_changes_are_named() {
    let ledger = Ledger::new().await;
    ledger
        .act(
            "create temp table swapped as select * from snackbase.audit_change where record_id in (forger.record(2)::text, forger.record(3)::text);
             delete from snackbase.audit_change where id in (select id from swapped);
             update swapped set id = (select sum(id) from swapped) - id;
             insert into snackbase.audit_change overriding system value select * from swapped",
        )
        .await;
    let expected = ["block 2 One", "block 2 col_notes 2 1", "block 2 col_notes 3 1"];
    ledger.finds("", &expected).await;
}

#[tokio::test]
async fn a_tail_that_was_cut_is_named() {
    let ledger = Ledger::new().await;
    // The newest change alone: its block counted it, and the row still has it.
    let cut =
        "delete from snackbase.audit_change where record_id = forger.record(1)::text and record_version = 3";
    ledger.act(cut).await;
    let found = drill::lines(
        &ledger.session,
        &format!("select distinct concat_ws(' ', kind, block - {}, record_id) from snackbase.audit_verify() order by 1", ledger.first),
    )
    .await;
    assert_eq!(
        found,
        ["live 1 00000001-0000-4000-8000-000000000000", "truncated 3"],
        "block and record"
    );
    // The row put back, and the block gone with it: only the checkpoint knows.
    let newest = ledger.first + 3;
    ledger
        .act(&format!(
            "update snackbase.col_notes n
                set title = 'b', updated_at = (select (e ->> 2)::timestamptz from snackbase.audit_change c, json_array_elements(c.columns) e
                                                where c.record_id = n.id::text and c.record_version = 2 and e ->> 0 = 'updated_at')
              where n.id = forger.record(1);
             delete from snackbase.audit_block where number = {newest};
             delete from snackbase.audit_block_account where block_number = {newest}"
        ))
        .await;
    ledger.finds("", &["truncated 3"]).await;
    ledger
        .act(&format!(
            "delete from snackbase.audit_checkpoint where block_number = {newest}"
        ))
        .await;
    ledger.finds("", &[]).await;
    ledger.finds(&ledger.outside(), &["truncated 3"]).await;
}

#[tokio::test]
async fn blocks_replaced_without_the_key_are_named() {
    let ledger = Ledger::new().await;
    let newest = ledger.first + 3;
    ledger
        .act(&format!(
            "update snackbase.audit_change set columns = replace(columns::text, '\"c\"', '\"C\"')::json
               where record_id = forger.record(1)::text and record_version = 3;
             update snackbase.col_notes set title = 'C' where id = forger.record(1);
             update snackbase.audit_change c set checksum = forger.checksum(c)
               where record_id = forger.record(1)::text and record_version = 3;
             select forger.reseal({newest})"
        ))
        .await;
    ledger.finds("", &["checkpoint 3"]).await;
    ledger
        .act(&format!(
            "delete from snackbase.audit_checkpoint where block_number = {newest}"
        ))
        .await;
    ledger.finds("", &[]).await;
    ledger.finds(&ledger.outside(), &["checkpoint 3"]).await;
    ledger
        .finds(
            &format!("{}, since_checkpoint => true", ledger.outside()),
            &["checkpoint 3"],
        )
        .await;
}

#[tokio::test]
async fn yesterdays_tables_are_named() {
    let ledger = Ledger::new().await;
    let tables = [
        "audit_change",
        "audit_block",
        "audit_block_account",
        "audit_checkpoint",
        "col_notes",
    ];
    let keep = tables.map(|table| format!("create table forger.{table} as table snackbase.{table};"));
    ledger.act(&keep.concat()).await;
    ledger
        .act("alter table snackbase.col_notes enable trigger user; select forger.note('One', 1, 'today')")
        .await;
    seal_all(&ledger.session).await;
    let today = ledger
        .session
        .value("select note from snackbase.audit_checkpoint order by block_number desc limit 1")
        .await;
    ledger
        .act("alter table snackbase.col_notes disable trigger user")
        .await;
    ledger.finds("", &[]).await;
    for table in tables {
        let insert = format!(
            "delete from snackbase.{table}; insert into snackbase.{table} {} table forger.{table}",
            if table == "audit_change" {
                "overriding system value"
            } else {
                ""
            }
        );
        ledger.act(&insert).await;
    }
    ledger.finds("", &[]).await;
    ledger.finds(&ledger.outside(), &[]).await;
    ledger
        .finds(&format!("checkpoint => $note${today}$note$"), &["truncated 4"])
        .await;
}

#[tokio::test]
async fn an_edited_row_is_named() {
    let ledger = Ledger::new().await;
    ledger
        .act("update snackbase.col_notes set title = 'C' where id = forger.record(1)")
        .await;
    ledger.finds("", &["live 3 col_notes 1 3"]).await;
    let values = "select expected || ', ' || actual from snackbase.audit_verify()";
    assert_eq!(ledger.session.value(values).await, "title = c, title = C");
}

#[tokio::test]
async fn a_forged_checkpoint_is_named() {
    let ledger = Ledger::new().await;
    // A signature that is not of the text.
    let newest = ledger.first + 3;
    ledger
        .act(&format!(
            "update snackbase.audit_checkpoint set note = (select regexp_replace(n.note, E'\\nblock [0-9a-f]{{64}}\\n', E'\\nblock ' || repeat('0', 64) || E'\\n')
                                                             from snackbase.audit_checkpoint n where n.block_number = {newest})
              where block_number = {newest}"
        ))
        .await;
    ledger.finds("", &["checkpoint 3"]).await;
    // A note that is none, and a key that signed nothing: it is a row without history.
    ledger
        .act(&format!(
            "update snackbase.audit_checkpoint set note = 'nonsense' where block_number = {newest};
             insert into snackbase.audit_key (key_id, name, public_key, activated_at)
             values ('\\x01020304', 'forger', decode('d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a', 'hex'), now())"
        ))
        .await;
    let found = drill::lines(
        &ledger.session,
        "select concat_ws(' ', kind, table_name, record_id) from snackbase.audit_verify() order by 1",
    )
    .await;
    assert_eq!(found, ["checkpoint", "missing audit_key \\x01020304"]);
}

#[tokio::test]
async fn damaged_heads_of_blocks_are_named() {
    let ledger = Ledger::new().await;
    for (damage, expected) in [
        ("sealed_at = sealed_at + interval '1 s'", "block 1"),
        ("nodes = substr(nodes, 2)||'\\x00'::bytea", "block 1"),
        ("tree_root = sha256('')", "block 1"),
        ("change_count = 2", "block 1"),
        ("previous_block_hash = sha256('')", "block 1"),
    ] {
        ledger
            .act(&format!(
                "begin; update snackbase.audit_block set {damage} where number = {}",
                ledger.first + 1
            ))
            .await;
        let found = drill::lines(
            &ledger.session,
            &format!(
                "select distinct concat_ws(' ', kind, block - {}) from snackbase.audit_verify()",
                ledger.first
            ),
        )
        .await;
        ledger.act("rollback").await;
        assert!(found.iter().any(|found| found == expected), "{damage}: {found:?}");
    }
    ledger
        .act(&format!(
            "delete from snackbase.audit_block where number = {}",
            ledger.first + 1
        ))
        .await;
    let found = drill::lines(
        &ledger.session,
        &format!(
            "select distinct concat_ws(' ', kind, block - {}) from snackbase.audit_verify()",
            ledger.first
        ),
    )
    .await;
    assert!(found.iter().any(|found| found == "gap 1"), "{found:?}");
}
