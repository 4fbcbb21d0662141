//! Anchors: places outside the database that keep signed checkpoints of the audit trail (design `ledger.md` §2). Whoever
//! rewrites the database, all of it and consistently, does not rewrite them.
//!
//! The database knows what was published where: `snackbase.audit_anchor_claim` gives one gateway one checkpoint at a time,
//! `audit_anchor_done` writes down what came of it. A failure is repeated, ever more slowly; a gateway that dies half-way has
//! its claim taken over after a minute. Publishing twice does no harm.

mod file;
mod s3;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use serde::Deserialize;

use crate::auth::Caller;
use crate::config::Config;
use crate::db::Statement;
use crate::error::Error;
use crate::state::State;

pub use s3::Settings as S3Settings;

/// How often a gateway asks for something to publish.
const PAUSE: Duration = Duration::from_secs(1);

/// The longest time for one publication; a claim lasts twice as long.
const PATIENCE: Duration = Duration::from_secs(30);

/// A signed checkpoint.
#[derive(Debug, Clone, Deserialize)]
pub struct Checkpoint {
    /// The newest block it is about.
    pub block_number: i64,
    /// The C2SP signed note.
    pub note: String,
}

/// A place that keeps checkpoints.
pub trait Anchor: Send + Sync {
    /// What the database and `audit_status()` call it.
    fn name(&self) -> &str;

    /// Puts a checkpoint there, for good. One that is there already is a success; another note in its place is not.
    ///
    /// # Errors
    /// One sentence for the operator.
    fn publish<'a>(
        &'a self,
        checkpoint: &'a Checkpoint,
    ) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;
}

/// The anchors of the settings.
///
/// # Errors
/// A sentence when one cannot be used at all.
pub fn from_settings(config: &Config) -> Result<Vec<Box<dyn Anchor>>, String> {
    let mut anchors: Vec<Box<dyn Anchor>> = Vec::new();
    if let Some(path) = &config.anchor_file {
        anchors.push(Box::new(file::FileAnchor::new(path)?));
    }
    if let Some(settings) = &config.anchor_s3 {
        anchors.push(Box::new(s3::S3Anchor::new(settings)?));
    }
    Ok(anchors)
}

/// Publishes to every anchor until it is dropped.
pub async fn run(state: State, anchors: Vec<Box<dyn Anchor>>) {
    let all = anchors
        .iter()
        .map(|anchor| keep_publishing(&state, anchor.as_ref()));
    futures_util::future::join_all(all).await;
}

async fn keep_publishing(state: &State, anchor: &dyn Anchor) {
    let mut silent = false;
    loop {
        match publish_next(state, anchor, false).await {
            Ok(Some(Ok(_))) => {
                silent = false;
                continue;
            }
            Ok(None) => silent = false,
            Ok(Some(Err(cause))) => tracing::warn!(anchor = anchor.name(), cause, "checkpoint not published"),
            // Said once: requests will say the same while the database is away.
            Err(cause) => {
                if !silent {
                    tracing::warn!(anchor = anchor.name(), %cause, "cannot ask for checkpoints");
                }
                silent = true;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Publishes whatever is waiting now, for how long ever others have failed. Returns the numbers of the blocks.
///
/// # Errors
/// A sentence about the first checkpoint that could not be published, or about the database.
pub async fn publish_all(state: &State, anchor: &dyn Anchor) -> Result<Vec<i64>, String> {
    let mut published = Vec::new();
    loop {
        match publish_next(state, anchor, true).await {
            Ok(Some(Ok(number))) => published.push(number),
            Ok(Some(Err(cause))) => return Err(format!("{}: {cause}", anchor.name())),
            Ok(None) => return Ok(published),
            Err(cause) => return Err(format!("{}: {cause}.", anchor.name())),
        }
    }
}

/// `None`: nothing is waiting, or it is not its time, or another gateway is at it.
async fn publish_next(
    state: &State,
    anchor: &dyn Anchor,
    now: bool,
) -> Result<Option<Result<i64, String>>, Error> {
    let caller = Caller::gateway();
    let lease_seconds = i32::try_from(2 * PATIENCE.as_secs()).unwrap_or(60);
    let claimed = state
        .database
        .json_or_null(
            &caller,
            Statement::AuditAnchorClaim,
            &[&anchor.name(), &lease_seconds, &now],
        )
        .await?;
    let Some(claimed) = claimed else { return Ok(None) };
    let checkpoint: Checkpoint = serde_json::from_slice(&claimed.0)
        .map_err(|failure| Error::Defect(format!("a claimed checkpoint: {failure}")))?;
    let outcome = match tokio::time::timeout(PATIENCE, anchor.publish(&checkpoint)).await {
        Ok(outcome) => outcome,
        Err(_) => Err("It took too long.".to_owned()),
    };
    let fault = outcome.as_ref().err();
    state
        .database
        .flag(
            &caller,
            Statement::AuditAnchorDone,
            &[&anchor.name(), &checkpoint.block_number, &fault],
        )
        .await?;
    Ok(Some(outcome.map(|()| checkpoint.block_number)))
}
