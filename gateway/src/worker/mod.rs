//! What happens after a request: mail is taken from the queue and delivered.
//!
//! Any number of gateways share the work: a mail is taken for a while by one statement that skips what others are taking.
//! Whoever has it reports what became of it; who does not report in time counts as lost, and the mail is taken again. So every
//! mail is delivered at least once. A second copy can only come about when a worker dies between delivering and reporting, or
//! an answer is lost on the way; it has the same Message-ID.

use std::time::Duration;

use futures_util::future::join_all;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::sync::watch;
use uuid::Uuid;

use crate::auth::Caller;
use crate::db::Statement;
use crate::error::Error;
use crate::mail::template::{self, Template};
use crate::mail::{self, Letter, Undelivered};
use crate::state::State;

/// Mails that are taken at once.
const BATCH: i32 = 10;
/// How long a taken mail is ours. Longer than a delivery may take.
const LEASE_SECONDS: i32 = 180;
/// Longest time for one delivery.
const PATIENCE: Duration = Duration::from_secs(120);
/// Longest wait between two attempts.
const LONGEST_WAIT_SECONDS: i32 = 3600;

/// A mail as `snackbase.mail_claim` gives it.
#[derive(Deserialize)]
struct Mail {
    id: i64,
    account_id: Uuid,
    recipient: String,
    variables: Map<String, Value>,
    attempt: i32,
    template: Option<Template>,
}

/// Delivers mail until `stopped` says true; then the mail in hand is finished and nothing new is taken.
pub async fn run(state: State, mut stopped: watch::Receiver<bool>) {
    if !state.config.worker.enabled {
        return;
    }
    while !*stopped.borrow() {
        let full = match deliver_some(&state).await {
            Ok(count) => count >= BATCH as usize,
            Err(failure) => {
                tracing::warn!(cause = %failure, "the queue of mail cannot be read");
                false
            }
        };
        if !full {
            let _ = tokio::time::timeout(state.config.worker.poll, stopped.changed()).await;
        }
    }
}

/// Takes what is due, delivers it, and says how much it was.
async fn deliver_some(state: &State) -> Result<usize, Error> {
    let caller = Caller::gateway();
    let arguments: [crate::db::Argument<'_>; 3] = [&BATCH, &LEASE_SECONDS, &state.config.worker.max_attempts];
    let json = state
        .database
        .json(&caller, Statement::MailClaim, &arguments)
        .await?;
    let mails: Vec<Mail> =
        serde_json::from_slice(&json.0).map_err(|failure| Error::Defect(format!("mail_claim: {failure}")))?;
    let count = mails.len();
    join_all(mails.into_iter().map(|mail| deliver(state, mail))).await;
    Ok(count)
}

async fn deliver(state: &State, mail: Mail) {
    let (id, attempt) = (mail.id, mail.attempt);
    let (provider, outcome) = match tokio::time::timeout(PATIENCE, attempt_at(state, mail)).await {
        Ok(done) => done,
        Err(_) => (
            None,
            Err(Undelivered::Later("The delivery took too long".to_owned())),
        ),
    };
    let worker = &state.config.worker;
    let (word, reason) = match &outcome {
        Ok(()) => ("sent", None),
        Err(Undelivered::Later(reason)) if attempt < worker.max_attempts => ("retry", Some(reason)),
        Err(Undelivered::Later(reason) | Undelivered::Never(reason)) => ("failed", Some(reason)),
    };
    // Who it is for stays in the database.
    match word {
        "sent" => tracing::debug!(mail = id, attempt, "mail delivered"),
        "retry" => tracing::warn!(mail = id, attempt, "mail not delivered, to be tried again"),
        _ => tracing::error!(mail = id, attempt, "mail given up"),
    }
    let wait = wait_after(attempt, worker.retry_seconds);
    let arguments: [crate::db::Argument<'_>; 6] = [&id, &attempt, &word, &provider, &reason, &wait];
    // One more try: a mail that is reported twice is no harm, one that is delivered twice is.
    for _ in 0..2 {
        match state
            .database
            .flag(&Caller::gateway(), Statement::MailFinish, &arguments)
            .await
        {
            Ok(_) => return,
            Err(failure) => {
                tracing::error!(mail = id, cause = %failure, "what became of a mail cannot be noted")
            }
        }
    }
}

/// 30 s, 1 min, 2 min, …, when `first` is 30.
fn wait_after(attempt: i32, first: i32) -> i32 {
    let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or(0).min(20);
    first.saturating_mul(1 << doublings).min(LONGEST_WAIT_SECONDS)
}

/// One attempt: the provider that was used, and what came of it.
async fn attempt_at(state: &State, mail: Mail) -> (Option<String>, Result<(), Undelivered>) {
    let Some(template) = mail.template else {
        let words = "There is no template of this type, or it is switched off";
        return (None, Err(Undelivered::Never(words.to_owned())));
    };
    let prepared = async {
        let variables = mail::variables(&state.configuration, mail.account_id, mail.variables).await?;
        let provider = mail::provider(&state.configuration, mail.account_id, None).await?;
        Ok::<_, Error>((variables, provider))
    };
    let (variables, provider) = match prepared.await {
        Ok((variables, Ok(provider))) => (variables, provider),
        Ok((_, Err(undelivered))) => return (None, Err(undelivered)),
        Err(failure) => {
            tracing::warn!(mail = mail.id, cause = %failure, "the configuration cannot be read");
            let words = "The configuration cannot be read".to_owned();
            return (None, Err(Undelivered::Later(words)));
        }
    };
    let texts = match template::render(&template, &variables) {
        Ok(texts) => texts,
        Err(fault) => {
            let words = format!("The template does not work: {fault}");
            return (None, Err(Undelivered::Never(words)));
        }
    };
    let host = provider
        .text("from_email")
        .and_then(|from| from.rsplit_once('@'))
        .map_or("snackbase.invalid", |(_, host)| host);
    let letter = Letter {
        message_id: format!("{}.{}@{host}", mail.id, mail.account_id.simple()),
        recipient: mail.recipient,
        texts,
    };
    let outcome = mail::deliver(&state.outbound, &provider, &letter).await;
    (Some(provider.name), outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_an_hour() {
        let waits: Vec<i32> = (1..=9).map(|attempt| wait_after(attempt, 30)).collect();
        assert_eq!(waits, [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
        assert_eq!(wait_after(i32::MAX, 3600), 3600);
        assert_eq!(wait_after(3, 0), 0);
    }
}
