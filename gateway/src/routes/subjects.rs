//! Erasure of personal values, for superadmins. Ours: no client library has it. `docs/ledger.md` §12.

use uuid::Uuid;

use super::for_superadmins;
use super::input::Fields;
use crate::auth::Caller;
use crate::auth::signature::{Act, Presented};
use crate::db::{Json, Statement};
use crate::error::Error;
use crate::state::State;

/// `POST /admin/subjects/erase`: `{"account_id", "subject"}`. Takes the headers of a signature, because the records of a collection
/// may need one to be changed. Nothing known of the subject: zeros, and no error.
pub async fn erase(
    state: State,
    caller: Caller,
    presented: Presented,
    body: Result<Fields, Error>,
) -> Result<Json, Error> {
    let read = |mut fields: Fields| {
        let account = fields.text("account_id", 36..=36);
        let subject = fields.text("subject", 1..=255);
        fields.finish().map(|_| (account, subject))
    };
    let (account, subject) = for_superadmins(&state, &caller, body.and_then(read)).await?;
    let account: Uuid = account
        .parse()
        .map_err(|_| Error::BadRequest("account_id is not a uuid"))?;
    let act = Act {
        collection: "",
        operation: "erase",
        record: Some(&subject),
    };
    let caller = presented.sign(&state, caller, act).await?;
    state
        .database
        .json(&caller, Statement::SubjectErase, &[&account, &subject])
        .await
}
