//! `GET /auth/me` and `/auth/accounts`: the caller, as the database knows it now.

use crate::auth::Caller;
use crate::db::{Json, Statement};
use crate::error::Error;
use crate::state::State;

/// Source: identity contract §4.1 #5.
pub async fn me(state: State, caller: Caller) -> Result<Json, Error> {
    state.database.json(&caller, Statement::Me, &[]).await
}

/// `GET /auth/accounts`: where the same address has a user. Source: identity contract §4.1 #12.
pub async fn accounts(state: State, caller: Caller) -> Result<Json, Error> {
    state.database.json(&caller, Statement::Accounts, &[]).await
}
