//! Answers that are too large for memory: the rows of one statement, passed on as they come.
//!
//! The server stops sending when nobody takes what it sent, and the statement runs on one connection in one transaction of its
//! own, as every other. When the client hangs up or stops reading, the statement is cancelled.

use std::pin::Pin;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::{TryStreamExt, stream};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_postgres::RowStream;

use super::{Argument, Caller, Database, Error, Flight, Statement, failure, no_connection};

/// How long a client may take for one piece. A connection and a snapshot wait for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Pieces on their way to a client: of some hundred kilobytes each.
const UNDER_WAY: usize = 2;

/// The texts that a statement answers, one per row.
pub struct Texts {
    /// None when all rows were read, or the statement has failed.
    flight: Option<Flight>,
    /// Read already.
    first: Option<Bytes>,
    rows: Pin<Box<RowStream>>,
    _permit: OwnedSemaphorePermit,
}

impl Database {
    /// Starts a statement that answers many texts. Few may run at a time, so that others find a connection.
    ///
    /// # Errors
    /// What the database refuses at once, or [`Error::Unavailable`].
    pub async fn texts(
        &self,
        caller: &Caller,
        statement: Statement,
        arguments: &[Argument<'_>],
    ) -> Result<Texts, Error> {
        let permit = self.streams.clone().acquire_owned();
        let permit = match tokio::time::timeout(self.wait, permit).await {
            Ok(Ok(permit)) => permit,
            _ => return Err(Error::Unavailable("too many long answers at a time".into())),
        };
        // The use of a key is noted by a short statement: one that writes and runs for long would hold up the sealer.
        if caller.has_api_key() {
            self.flag(caller, Statement::AuditReader, &[]).await?;
        }
        let flight = Flight::start(self.pool.get().await.map_err(no_connection)?);
        let mut introduction = caller.introduction();
        introduction.streams = true;
        let mut parameters: Vec<Argument<'_>> = Vec::with_capacity(arguments.len() + 1);
        parameters.push(&introduction);
        parameters.extend_from_slice(arguments);
        let connection = flight.connection();
        let rows = connection
            .client
            .query_raw(&connection.statements[statement as usize], parameters)
            .await;
        match rows {
            Ok(rows) => Ok(Texts {
                flight: Some(flight),
                first: None,
                rows: Box::pin(rows),
                _permit: permit,
            }),
            Err(refused) => {
                flight.land();
                Err(failure(refused))
            }
        }
    }
}

impl Texts {
    /// Waits for the first text, so that a refusal is known before an answer begins.
    ///
    /// # Errors
    /// As [`Texts::next`].
    pub async fn begun(mut self) -> Result<Texts, Error> {
        self.first = self.next().await?;
        Ok(self)
    }

    /// The next text; `None` at the end, when the transaction has ended as well.
    ///
    /// # Errors
    /// What the database refuses, or [`Error::Unavailable`].
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        let row = self.rows.try_next().await;
        if !matches!(row, Ok(Some(_)))
            && let Some(flight) = self.flight.take()
        {
            flight.land();
        }
        let Some(row) = row.map_err(failure)? else {
            return Ok(None);
        };
        let text: &str = row.try_get(0).map_err(failure)?;
        Ok(Some(Bytes::copy_from_slice(text.as_bytes())))
    }

    /// The rest as the body of a response. A failure on the way breaks the body off, so that nobody takes it for the whole.
    pub fn into_body(mut self) -> Body {
        let (sender, mut receiver) = mpsc::channel::<Result<Bytes, Error>>(UNDER_WAY);
        // A task of its own, because nobody asks a body for more while its client does not read.
        tokio::spawn(async move {
            loop {
                let piece = match self.next().await {
                    Ok(None) => return,
                    Ok(Some(piece)) => Ok(piece),
                    Err(cause) => Err(cause),
                };
                if let Err(cause) = &piece {
                    tracing::error!(cause = cause.to_string(), "a long answer broke off");
                }
                let failed = piece.is_err();
                let sent = tokio::time::timeout(PATIENCE, sender.send(piece)).await;
                if failed || !matches!(sent, Ok(Ok(()))) {
                    return;
                }
            }
        });
        // May be asked again after the end: compression does.
        Body::from_stream(stream::poll_fn(move |context| receiver.poll_recv(context)))
    }
}
