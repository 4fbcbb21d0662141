//! Random transactions.

use std::{pin::pin, sync::Arc};

use futures_util::SinkExt;
use tokio_postgres::{Error, SimpleQueryMessage};

use super::{Book, Fate, account, lines, record};
use crate::Session;

/// Records of each account that everybody works on.
const CHILDREN: usize = 12;
const PARENTS: usize = 6;

/// One thing a transaction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Step {
    Insert,
    Update,
    UpdateMany,
    UpdateNothing,
    Delete,
    Again,
    Upsert,
    Merge,
    Copy,
    DeleteParent,
    Parent,
    Savepoint,
}

impl Step {
    /// All of them.
    pub const ALL: [Step; 12] = [
        Step::Insert,
        Step::Update,
        Step::UpdateMany,
        Step::UpdateNothing,
        Step::Delete,
        Step::Again,
        Step::Upsert,
        Step::Merge,
        Step::Copy,
        Step::DeleteParent,
        Step::Parent,
        Step::Savepoint,
    ];
}

/// A client that writes.
pub struct Writer {
    /// Its connection.
    pub session: Session,
    /// Its choices.
    pub random: fastrand::Rng,
    /// Where it notes what became of its transactions.
    pub book: Arc<Book>,
    /// The account it writes into.
    pub account: usize,
    /// `read committed`, `repeatable read` or `serializable`.
    pub isolation: &'static str,
    /// Steps that were part of a committed transaction.
    pub done: Vec<Step>,
    /// A number nobody used yet.
    next: u64,
}

/// Rows written so far.
#[derive(Default)]
struct Written {
    rows: u64,
    /// Cascades wrote more.
    inexact: bool,
    steps: Vec<Step>,
}

impl Writer {
    /// A writer; `number` makes its values different from those of the others.
    pub fn new(session: Session, seed: u64, number: usize, book: &Arc<Book>) -> Self {
        Self {
            session,
            random: fastrand::Rng::with_seed(seed ^ (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            book: book.clone(),
            account: 1,
            isolation: ["read committed", "repeatable read", "serializable"][number % 3],
            done: Vec::new(),
            next: (number as u64) << 32,
        }
    }

    /// One transaction of one to four steps that ends in one of five ways, noted in the book. Returns the name of a
    /// transaction that was prepared and waits for [`Writer::finish_prepared`].
    ///
    /// # Errors
    /// When the connection is lost. A transaction that loses against another one is no error; it is rolled back.
    pub async fn transaction(&mut self) -> Result<Option<String>, Error> {
        let begin = format!("begin isolation level {}", self.isolation);
        self.session.batch_execute(&begin).await?;
        let xid = lines_of(self.session.simple_query("select pg_current_xact_id()").await?);
        let xid: u64 = xid.parse().expect("a transaction number");
        // Until it is being committed it cannot have an effect.
        self.book.note(xid, Fate::RolledBack, 0, true);
        let mut written = Written::default();
        for _ in 0..self.random.usize(1..=4) {
            let step = Step::ALL[self.random.usize(..Step::ALL.len())];
            if let Err(error) = self.step(step, &mut written).await {
                return self.give_up(error).await;
            }
        }
        let (rows, exact) = (written.rows, !written.inexact);
        match self.random.u8(..10) {
            0 => {
                self.session.batch_execute("rollback").await?;
                return Ok(None);
            }
            1 | 2 => {
                let name = format!("drill-{xid}-{rows}-{exact}");
                if let Err(error) = self
                    .session
                    .batch_execute(&format!("prepare transaction '{name}'"))
                    .await
                {
                    // (a broken connection leaves it prepared, or not; whoever finishes it will know)
                    return self.give_up(error).await;
                }
                return Ok(Some(name));
            }
            _ => {}
        }
        self.book.note(xid, Fate::InDoubt, rows, exact);
        match self.session.batch_execute("commit").await {
            Ok(()) => self.book.note(xid, Fate::Committed, rows, exact),
            Err(error) => {
                // Class 57: the server goes down, and may have committed before it said so.
                if error.code().is_some_and(|code| !code.code().starts_with("57")) {
                    self.book.note(xid, Fate::RolledBack, rows, exact);
                }
                return self.give_up(error).await;
            }
        }
        self.done.append(&mut written.steps);
        Ok(None)
    }

    /// Commit or roll back a prepared transaction, and note it.
    ///
    /// # Errors
    /// When the connection is lost.
    pub async fn finish_prepared(
        session: &Session,
        book: &Book,
        name: &str,
        commit: bool,
    ) -> Result<(), Error> {
        let mut parts = name.split('-').skip(1);
        let xid = parts.next().and_then(|part| part.parse().ok()).expect("a number");
        let rows = parts.next().and_then(|part| part.parse().ok()).expect("a number");
        let exact = parts.next() == Some("true");
        let verb = if commit { "commit" } else { "rollback" };
        let fate = if commit { Fate::Committed } else { Fate::RolledBack };
        if commit {
            book.note(xid, Fate::InDoubt, rows, exact);
        }
        session
            .batch_execute(&format!("{verb} prepared '{name}'"))
            .await?;
        book.note(xid, fate, rows, exact);
        Ok(())
    }

    /// Names of the transactions that are prepared.
    pub async fn prepared(session: &Session) -> Vec<String> {
        lines(
            session,
            "select gid from pg_prepared_xacts where gid like 'drill-%'",
        )
        .await
    }

    async fn give_up(&mut self, error: Error) -> Result<Option<String>, Error> {
        let Some(database) = error.as_db_error() else {
            return Err(error);
        };
        // Losing against others is part of the drill: serialization, deadlock, a record or reference that is there or gone.
        // 23505 also says that the ledger refused a fork; then the whole statement is refused.
        let code = database.code().code().to_owned();
        match code.as_str() {
            "40001" | "40P01" | "23503" | "23505" | "55P03" => {}
            // A snapshot that is kept shows a parent that somebody else has deleted since, and its key is free again: who inserts
            // it sees two rows. PostgreSQL's, not ours: unique keys are judged by what is committed now.
            "21000" if self.isolation != "read committed" => {}
            // The server is going down.
            "57P01" | "57P02" | "57P03" => return Err(error),
            _ => panic!("a writer failed: {database:?}"),
        }
        self.session.batch_execute("rollback").await?;
        Ok(None)
    }

    /// A value that was never there before.
    fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn child(&mut self) -> String {
        record(self.account, self.random.usize(..CHILDREN))
    }

    fn parent(&mut self) -> String {
        record(self.account, self.random.usize(..PARENTS))
    }

    /// A child's reference: one of the parents, if it is there.
    fn reference(&mut self) -> String {
        format!(
            "(select id from snackbase.col_parents where account_id = '{}' and id = '{}')",
            account(self.account),
            self.parent()
        )
    }

    async fn step(&mut self, step: Step, written: &mut Written) -> Result<(), Error> {
        if step == Step::Savepoint {
            self.session.batch_execute("savepoint s").await?;
            let inside = [Step::Insert, Step::Update, Step::Copy, Step::DeleteParent][self.random.usize(..4)];
            let mut undone = Written::default();
            // (boxed: a step may be inside of a step)
            Box::pin(self.step(inside, &mut undone)).await?;
            self.session.batch_execute("rollback to s").await?;
        } else if step == Step::Copy {
            written.rows += self.copy().await?;
        } else {
            let sql = self.statement(step);
            let rows = rows_of(&self.session.simple_query(&sql).await?);
            match step {
                Step::UpdateNothing => written.inexact = true,
                Step::DeleteParent => {
                    written.rows += rows;
                    written.inexact |= rows > 0;
                }
                _ => written.rows += rows,
            }
        }
        written.steps.push(step);
        Ok(())
    }

    fn statement(&mut self, step: Step) -> String {
        let (account, value) = (account(self.account), self.fresh());
        match step {
            Step::Insert => format!(
                "insert into snackbase.col_children (account_id, title, n, parent, friend)
                 select '{account}', 'new ' || g, {value} + g, {}, {} from generate_series(1, {}) g",
                self.reference(),
                self.reference(),
                self.random.usize(1..=3)
            ),
            Step::Update => format!(
                "update snackbase.col_children set n = {value}, parent = {} where account_id = '{account}' and id = '{}'",
                self.reference(),
                self.child()
            ),
            Step::UpdateMany => format!(
                "update snackbase.col_children set n = {value} where account_id = '{account}' and id in ('{}', '{}', '{}')",
                self.child(),
                self.child(),
                self.child()
            ),
            Step::UpdateNothing => format!(
                "update snackbase.col_children set n = n where account_id = '{account}' and id = '{}'",
                self.child()
            ),
            Step::Delete => format!(
                "delete from snackbase.col_children where account_id = '{account}' and id = '{}'",
                self.child()
            ),
            Step::Again => format!(
                "insert into snackbase.col_children (id, account_id, title, n, parent) values ('{}', '{account}', 'again', {value}, {})
                 on conflict do nothing",
                self.child(),
                self.reference()
            ),
            Step::Upsert => format!(
                "insert into snackbase.col_children (id, account_id, title, n, friend) values ('{}', '{account}', 'upsert', {value}, {})
                 on conflict (id, account_id) do update set n = excluded.n, title = excluded.title",
                self.child(),
                self.reference()
            ),
            Step::Merge => format!(
                "merge into snackbase.col_children t
                 using (select distinct id::uuid from (values ('{}'), ('{}'), ('{}')) as v(id)) s
                 on t.id = s.id and t.account_id = '{account}'
                 when matched and t.title = 'merge' then delete
                 when matched then update set n = {value}, title = 'merge'
                 when not matched then insert (id, account_id, title, n) values (s.id, '{account}', 'merged', {value})",
                self.child(),
                self.child(),
                self.child()
            ),
            Step::DeleteParent => format!(
                "delete from snackbase.col_parents where account_id = '{account}' and id = '{}'",
                self.parent()
            ),
            Step::Parent => format!(
                "insert into snackbase.col_parents (id, account_id, name, n) values ('{}', '{account}', 'parent', {value})
                 on conflict (id, account_id) do update set n = excluded.n",
                self.parent()
            ),
            Step::Copy | Step::Savepoint => unreachable!("not one statement"),
        }
    }

    async fn copy(&mut self) -> Result<u64, Error> {
        let count = self.random.usize(1..=10);
        let rows: String = (0..count)
            .map(|_| format!("{}\tcopied\t{}\n", account(self.account), self.fresh()))
            .collect();
        let sink = self
            .session
            .copy_in("copy snackbase.col_children (account_id, title, n) from stdin")
            .await?;
        let mut sink = pin!(sink);
        sink.send(bytes::Bytes::from(rows)).await?;
        sink.finish().await
    }
}

fn rows_of(messages: &[SimpleQueryMessage]) -> u64 {
    messages
        .iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::CommandComplete(rows) => Some(*rows),
            _ => None,
        })
        .sum()
}

fn lines_of(messages: Vec<SimpleQueryMessage>) -> String {
    messages
        .iter()
        .find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        })
        .expect("one value")
}
