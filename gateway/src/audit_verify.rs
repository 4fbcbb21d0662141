//! `snackbase-gateway audit verify`: the whole ledger, over several connections that share one snapshot.
//!
//! The database does the work (`snackbase.audit_verify_report`); this divides it. Blocks and checkpoints are one part, record
//! chains and live rows are divided into ranges of account ids, which together are all ids there can be. One account,
//! or what came since a checkpoint, is one part.

use std::collections::VecDeque;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use crate::config::Config;
use crate::db;

/// Ranges of accounts per connection: enough that none waits long for another, and for a progress that moves.
const RANGES_PER_JOB: usize = 8;

/// What to verify.
#[derive(clap::Args)]
pub struct Options {
    /// Only this account: its histories, its rows, its place in the blocks.
    #[arg(long)]
    account: Option<Uuid>,
    /// A file with a signed checkpoint that was kept outside the database; may be given several times.
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,
    /// Only what stands in this block and later.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i64).range(1..))]
    from_block: Option<i64>,
    /// Only what came after the newest checkpoint.
    #[arg(long)]
    since_checkpoint: bool,
    /// How many findings are shown at most.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=1_000_000))]
    max_errors: i64,
    /// Connections that work at the same time.
    #[arg(long, default_value_t = default_jobs(), value_parser = clap::value_parser!(u8).range(1..=64))]
    jobs: u8,
}

fn default_jobs() -> u8 {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    u8::try_from(processors.min(8)).unwrap_or(8)
}

/// What came of it.
pub struct Outcome {
    /// One line each.
    pub findings: Vec<String>,
    /// A sentence.
    pub summary: String,
}

/// Runs the verification and shows its progress on standard error, if that is a terminal.
///
/// # Errors
/// A sentence when it could not run to its end.
pub async fn run(config: &Config, options: &Options) -> Result<Outcome, String> {
    let began = Instant::now();
    let mut checkpoints = Vec::new();
    for file in &options.checkpoint {
        let note = std::fs::read_to_string(file)
            .map_err(|failure| format!("The checkpoint {} cannot be read: {failure}.", file.display()))?;
        checkpoints.push(note);
    }
    // Keeps the audited tables from being redefined until all is done, and is older than the snapshot.
    let guard = connect(config).await?;
    guard.batch_execute("begin").await.map_err(sentence)?;
    report(&guard, &json!({"max_errors": 0})).await?;
    let (snapshot, parts) = plan(&guard, options, &checkpoints).await?;

    let work = Arc::new(Work {
        parts: Mutex::new(parts.into()),
        done: Mutex::default(),
        max_errors: usize::try_from(options.max_errors).unwrap_or(usize::MAX),
    });
    let total = work.waiting();
    let mut workers = JoinSet::new();
    for _ in 0..usize::from(options.jobs).min(total) {
        let client = connect(config).await?;
        let begin =
            format!("begin isolation level repeatable read read only; set transaction snapshot '{snapshot}'");
        client.batch_execute(&begin).await.map_err(sentence)?;
        let work = work.clone();
        workers.spawn(async move { work.do_parts(&client).await });
    }
    let mut progress = Progress::new(total);
    let mut tick = tokio::time::interval(Duration::from_millis(500));
    loop {
        tokio::select! {
            ended = workers.join_next() => match ended {
                None => break,
                Some(Ok(outcome)) => outcome?,
                Some(Err(failure)) => return Err(format!("The verification was broken off: {failure}.")),
            },
            _ = tick.tick() => progress.show(&work, began),
        }
    }
    progress.clear();
    let done = std::mem::take(&mut *work.done.lock().unwrap_or_else(PoisonError::into_inner));
    let more = if done.cut { ", and more" } else { "" };
    Ok(Outcome {
        summary: format!(
            "{} entries checked in {:.1} s, newest block {}: {} findings{more}.",
            done.checked,
            began.elapsed().as_secs_f64(),
            done.head
                .map_or_else(|| "none".to_owned(), |head| head.to_string()),
            done.findings.len(),
        ),
        findings: done.findings,
    })
}

/// The snapshot that all parts share, and the parts.
async fn plan(
    guard: &Client,
    options: &Options,
    checkpoints: &[String],
) -> Result<(String, Vec<Value>), String> {
    // The transaction is READ COMMITTED: this statement's snapshot is newer than the locks.
    let rows = guard
        .query("select pg_catalog.pg_export_snapshot()", &[])
        .await
        .map_err(sentence)?;
    let snapshot: String = rows
        .first()
        .map(|row| row.get(0))
        .ok_or("No snapshot was exported.")?;
    let whole = json!({
        "account_id": options.account.map(|account| account.to_string()),
        "from_block": options.from_block,
        "since_checkpoint": options.since_checkpoint,
        "checkpoints": checkpoints,
        "max_errors": options.max_errors,
    });
    if options.account.is_some() || options.from_block.is_some() || options.since_checkpoint {
        return Ok((snapshot, vec![whole]));
    }
    let mut blocks = whole;
    blocks["part"] = "blocks".into();
    let mut parts = vec![blocks];
    // Every n-th account, so that each range has as many changes as the next, as far as blocks know.
    let bounds = guard
        .query(
            "select min(s.account_id::text)
               from (select a.account_id,
                            (sum(a.changes) over (order by a.account_id) * $1::bigint / (sum(a.changes) over () + 1))::bigint as range
                       from (select b.account_id, sum(b.change_count) as changes from snackbase.audit_block_account b group by 1) a) s
              group by s.range
              order by 1
             offset 1",
            &[&((usize::from(options.jobs) * RANGES_PER_JOB) as i64)],
        )
        .await
        .map_err(sentence)?;
    let bounds: Vec<String> = bounds.iter().map(|row| row.get(0)).collect();
    let ends = bounds.iter().map(Some).chain([None]);
    for (begin, end) in [None].into_iter().chain(bounds.iter().map(Some)).zip(ends) {
        parts.push(json!({"part": "records", "from_account": begin, "to_account": end, "max_errors": options.max_errors}));
    }
    Ok((snapshot, parts))
}

/// What is shared by the connections.
struct Work {
    parts: Mutex<VecDeque<Value>>,
    done: Mutex<Done>,
    max_errors: usize,
}

#[derive(Default)]
struct Done {
    parts: usize,
    findings: Vec<String>,
    cut: bool,
    checked: i64,
    head: Option<i64>,
}

impl Work {
    fn waiting(&self) -> usize {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    async fn do_parts(&self, client: &Client) -> Result<(), String> {
        loop {
            let next = self
                .parts
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop_front();
            let Some(part) = next else { return Ok(()) };
            let report = report(client, &part).await?;
            let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
            done.parts += 1;
            done.checked += report["checked"].as_i64().unwrap_or_default();
            done.head = done.head.or(report["head_block"].as_i64());
            done.cut |= report["truncated"] == true;
            for finding in report["errors"].as_array().into_iter().flatten() {
                if done.findings.len() < self.max_errors {
                    done.findings.push(line(finding));
                } else {
                    done.cut = true;
                }
            }
        }
    }
}

/// A finding on one line: what it is, where, what was expected and what is there.
fn line(finding: &Value) -> String {
    let mut line = finding["kind"].as_str().unwrap_or_default().to_owned();
    for (key, name) in [
        ("block", "block"),
        ("account_id", "account"),
        ("table_name", "table"),
        ("record_id", "record"),
        ("record_version", "version"),
        ("id", "entry"),
        ("expected", "expected"),
        ("actual", "found"),
    ] {
        match &finding[key] {
            Value::Null => {}
            // Quoted like JSON, so that a value cannot break the line.
            Value::String(text)
                if text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '"') =>
            {
                line.push_str(&format!(" {name}={}", Value::from(text.as_str())));
            }
            Value::String(text) => line.push_str(&format!(" {name}={text}")),
            other => line.push_str(&format!(" {name}={other}")),
        }
    }
    line
}

/// The line that moves.
struct Progress {
    total: usize,
    shown: bool,
    terminal: bool,
}

impl Progress {
    fn new(total: usize) -> Self {
        Self {
            total,
            shown: false,
            terminal: std::io::stderr().is_terminal(),
        }
    }

    fn show(&mut self, work: &Work, began: Instant) {
        if !self.terminal {
            return;
        }
        let done = work.done.lock().unwrap_or_else(PoisonError::into_inner);
        let text = format!(
            "\r\x1b[Kverifying: part {} of {}, {} entries, {} findings, {} s",
            done.parts,
            self.total,
            done.checked,
            done.findings.len(),
            began.elapsed().as_secs()
        );
        // A progress that cannot be shown is no reason to stop.
        let _ = std::io::stderr().write_all(text.as_bytes());
        self.shown = true;
    }

    fn clear(&self) {
        if self.shown {
            let _ = std::io::stderr().write_all(b"\r\x1b[K");
        }
    }
}

/// A connection that sees all accounts and may take its time.
async fn connect(config: &Config) -> Result<Client, String> {
    let (client, connection) = config
        .database
        .connect(NoTls)
        .await
        .map_err(|failure| format!("Postgres cannot be reached: {}.", db::cause(&failure)))?;
    tokio::spawn(connection);
    client
        .batch_execute("set statement_timeout = 0; set role snackbase_superadmin")
        .await
        .map_err(sentence)?;
    Ok(client)
}

async fn report(client: &Client, part: &Value) -> Result<Value, String> {
    let row = client
        .query_one(
            "select snackbase.audit_verify_report($1::text::json)::text",
            &[&part.to_string()],
        )
        .await
        .map_err(sentence)?;
    serde_json::from_str(row.get(0)).map_err(|failure| format!("The report does not read: {failure}."))
}

fn sentence(failure: tokio_postgres::Error) -> String {
    format!("The verification could not run: {}.", db::cause(&failure))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_one_line() {
        let finding = json!({"kind": "live", "block": 7, "account_id": null, "table_name": "col_posts", "record_id": "r 1",
            "record_version": 2, "id": 4097, "expected": "title = a\nb", "actual": "title=c"});
        let expected = r#"live block=7 table=col_posts record="r 1" version=2 entry=4097 expected="title = a\nb" found=title=c"#;
        assert_eq!(line(&finding), expected);
    }
}
