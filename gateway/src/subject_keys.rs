//! `snackbase-gateway audit rewrap-keys`: the keys of subjects under another master key. The database does it, which alone
//! has the keys; this asks it for one part after the other, each a transaction.

use serde::Deserialize;
use uuid::Uuid;

use crate::auth::Caller;
use crate::db::{Database, Statement};
use crate::error::Error;

/// Wraps all keys with the current master key. Answers how many were wrapped again, and how many no key opens.
///
/// # Errors
/// What the database refuses.
pub async fn rewrap(database: &Database) -> Result<(u64, u64), Error> {
    #[derive(Deserialize)]
    struct Part {
        rewrapped: u64,
        unreadable: u64,
        last: Option<Uuid>,
    }
    let caller = Caller::gateway();
    let (mut rewrapped, mut unreadable) = (0, 0);
    let mut after: Option<Uuid> = None;
    loop {
        let json = database
            .json(&caller, Statement::SubjectKeysRewrap, &[&after])
            .await?;
        let part: Part = serde_json::from_slice(&json.0)
            .map_err(|failure| Error::Defect(format!("subject_keys_rewrap: {failure}")))?;
        rewrapped += part.rewrapped;
        unreadable += part.unreadable;
        after = part.last;
        if after.is_none() {
            return Ok((rewrapped, unreadable));
        }
    }
}
