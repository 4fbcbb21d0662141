//! The only module that speaks to Postgres.
//!
//! A request is one prepared statement: `case` makes `snackbase.enter` run first, and what follows runs as the role that
//! `enter` took. The statement is its own transaction, so role and identity end with it and nothing can leak through the
//! pool. Every statement is prepared when its connection is made: a warm request is one network flight.
//! The functions are described in `docs/sql-api.md`.

mod import;
mod listen;
mod statements;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use deadpool::managed::{self, Metrics, PoolError, QueueMode, RecycleResult, Timeouts};
use deadpool_postgres::ClientWrapper;
use futures_util::TryStreamExt;
use futures_util::future::try_join_all;
use tokio::sync::Semaphore;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{NoTls, Row};
use uuid::Uuid;

use crate::auth::signature::Signer;
use crate::auth::{Caller, Introduction};
use crate::config::Config;
use crate::error::{Error, Refusal};

pub use import::import;
pub use listen::listen;
use statements::SQL;
pub use statements::Statement;
pub use stream::Texts;

/// One argument of a statement.
pub type Argument<'a> = &'a (dyn ToSql + Sync);

/// The pool of connections; cloning it copies a pointer.
#[derive(Clone)]
pub struct Database {
    pool: managed::Pool<Manager>,
    /// Permits for answers that keep their connection as long as the client reads.
    streams: Arc<Semaphore>,
    /// How long a request waits for one.
    wait: Duration,
}

/// JSON as the server wrote it. It is forwarded and not parsed.
#[derive(Debug)]
pub struct Json(pub Bytes);

/// JSON as the client wrote it, checked to be JSON. It is bound as `json`.
#[derive(Debug)]
pub struct JsonText(pub Bytes);

impl JsonText {
    /// JSON of our own.
    pub fn of(value: impl Into<serde_json::Value>) -> Self {
        Self(value.into().to_string().into())
    }
}

/// What is known about the user of a login.
pub struct Login {
    /// The user.
    pub user_id: Uuid,
    /// The account.
    pub account_id: Uuid,
    /// PHC string; none for users who have no password.
    pub password_hash: Option<String>,
    /// `password`, `oauth`, `saml` or `platform`.
    pub auth_provider: String,
    /// Whether the user may log in at all.
    pub is_active: bool,
    /// Whether the address was confirmed.
    pub email_verified: bool,
}

/// One finding of `snackbase.doctor()`.
pub struct Finding {
    /// Whether the gateway must not start.
    pub severe: bool,
    /// For programs.
    pub code: String,
    /// For people.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Database {
    /// Builds the pool; connections are made when they are needed.
    ///
    /// # Errors
    /// A sentence when the pool refuses its settings.
    pub fn new(config: &Config) -> Result<Self, String> {
        let connect = deadpool_postgres::Manager::new(config.database.clone(), NoTls);
        let timeouts = Timeouts {
            wait: Some(config.database_wait),
            create: Some(config.database_wait),
            recycle: None,
        };
        let pool = managed::Pool::builder(Manager { connect })
            .max_size(config.database_pool_size)
            .timeouts(timeouts)
            // The connection used last has the warmest caches.
            .queue_mode(QueueMode::Lifo)
            .runtime(deadpool::Runtime::Tokio1)
            .build()
            .map_err(|failure| format!("The connection pool cannot be built: {failure}."))?;
        Ok(Self {
            pool,
            streams: Arc::new(Semaphore::new((config.database_pool_size / 4).max(1))),
            wait: config.database_wait,
        })
    }

    /// Calls a function that answers JSON.
    ///
    /// # Errors
    /// What the database refuses, or [`Error::Unavailable`].
    pub async fn json(
        &self,
        caller: &Caller,
        statement: Statement,
        arguments: &[Argument<'_>],
    ) -> Result<Json, Error> {
        self.value(caller, statement, arguments).await
    }

    /// Calls a function that answers JSON or NULL.
    ///
    /// # Errors
    /// What the database refuses, or [`Error::Unavailable`].
    pub async fn json_or_null(
        &self,
        caller: &Caller,
        statement: Statement,
        arguments: &[Argument<'_>],
    ) -> Result<Option<Json>, Error> {
        self.value(caller, statement, arguments).await
    }

    /// Calls a function that answers yes or no.
    ///
    /// # Errors
    /// What the database refuses, or [`Error::Unavailable`].
    pub async fn flag(
        &self,
        caller: &Caller,
        statement: Statement,
        arguments: &[Argument<'_>],
    ) -> Result<bool, Error> {
        self.value(caller, statement, arguments).await
    }

    /// The user of a login. `None`: unknown account or address, which must not be told apart.
    ///
    /// # Errors
    /// [`Error::TooManyFailures`]; what the database refuses, or [`Error::Unavailable`].
    pub async fn login(
        &self,
        caller: &Caller,
        account: Option<&str>,
        host_label: Option<&str>,
        fallback: Option<&str>,
        email: &str,
    ) -> Result<Option<Login>, Error> {
        let arguments: [Argument<'_>; 4] = [&account, &host_label, &fallback, &email];
        let row = self.call(caller, Statement::LoginFind, &arguments).await?;
        let login = |row: Row| -> Result<Login, tokio_postgres::Error> {
            Ok(Login {
                user_id: row.try_get(0)?,
                account_id: row.try_get(1)?,
                password_hash: row.try_get(2)?,
                auth_provider: row.try_get(3)?,
                is_active: row.try_get(4)?,
                email_verified: row.try_get(5)?,
            })
        };
        if let Some(row) = &row
            && let Some(seconds) = row.try_get::<_, Option<i32>>(6).map_err(failure)?
        {
            return Err(Error::TooManyFailures(seconds.unsigned_abs().into()));
        }
        row.map(login).transpose().map_err(failure)
    }

    /// Who would sign under this name for the caller, in this collection.
    ///
    /// # Errors
    /// What the database refuses, or [`Error::Unavailable`].
    pub async fn signer(&self, caller: &Caller, collection: &str, username: &str) -> Result<Signer, Error> {
        let row = self
            .call(caller, Statement::SignatureFind, &[&collection, &username])
            .await?;
        let row = row.ok_or_else(|| Error::Defect("signature_find answered no row".to_owned()))?;
        let signer = |row: Row| -> Result<Signer, tokio_postgres::Error> {
            Ok(Signer {
                user_id: row.try_get(0)?,
                password_hash: row.try_get(1)?,
                cause: row.try_get(2)?,
            })
        };
        signer(row).map_err(failure)
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it does not.
    pub async fn ping(&self) -> Result<(), Error> {
        let flight = Flight::start(self.pool.get().await.map_err(no_connection)?);
        let answered = flight.connection().client.simple_query("").await;
        flight.land();
        answered.map(|_| ()).map_err(failure)
    }

    async fn value<T: for<'a> FromSql<'a>>(
        &self,
        caller: &Caller,
        statement: Statement,
        arguments: &[Argument<'_>],
    ) -> Result<T, Error> {
        let row = self.call(caller, statement, arguments).await?;
        let row = row.ok_or_else(|| Error::Defect(format!("{statement:?} answered no row")))?;
        row.try_get(0).map_err(failure)
    }

    /// One statement, one flight, one row. The answer is complete when the transaction has ended.
    async fn call(
        &self,
        caller: &Caller,
        statement: Statement,
        arguments: &[Argument<'_>],
    ) -> Result<Option<Row>, Error> {
        let flight = Flight::start(self.pool.get().await.map_err(no_connection)?);
        let mut introduction = caller.introduction();
        if statement.reads_records() {
            introduction.without_origin();
        }
        let mut parameters: Vec<Argument<'_>> = Vec::with_capacity(arguments.len() + 1);
        parameters.push(&introduction);
        parameters.extend_from_slice(arguments);
        let answer = flight.connection().row(statement, &parameters).await;
        flight.land();
        if answer.is_ok() {
            caller.accepted();
        }
        answer.map_err(failure)
    }
}

/// The findings of `snackbase.doctor()`, over a connection of its own, because the pool's connections need every function
/// to be there.
///
/// # Errors
/// A sentence when there is no connection or no extension.
pub async fn doctor(config: &Config) -> Result<Vec<Finding>, String> {
    let (client, connection) = config
        .database
        .connect(NoTls)
        .await
        .map_err(|failure| format!("Postgres cannot be reached: {}.", cause(&failure)))?;
    let connection = tokio::spawn(connection);
    let rows = client
        .query(
            "select severity, code, message, hint from snackbase.doctor()",
            &[],
        )
        .await;
    connection.abort();
    let rows = rows.map_err(|failure| {
        format!(
            "The extension cannot be asked ({}); was CREATE EXTENSION snackbase run?",
            cause(&failure)
        )
    })?;
    let finding = |row: Row| -> Result<Finding, tokio_postgres::Error> {
        let severity: String = row.try_get(0)?;
        Ok(Finding {
            severe: severity == "severe",
            code: row.try_get(1)?,
            message: row.try_get(2)?,
            hint: row.try_get(3)?,
        })
    };
    let findings: Result<_, _> = rows.into_iter().map(finding).collect();
    findings.map_err(|failure| {
        format!(
            "snackbase.doctor() answers in an unknown shape: {}.",
            cause(&failure)
        )
    })
}

/// Makes connections with all statements prepared.
struct Manager {
    connect: deadpool_postgres::Manager,
}

/// A connection and its statements, in the order of [`Statement`].
struct Connection {
    client: ClientWrapper,
    statements: Vec<tokio_postgres::Statement>,
}

impl managed::Manager for Manager {
    type Type = Connection;
    type Error = tokio_postgres::Error;

    async fn create(&self) -> Result<Connection, tokio_postgres::Error> {
        let client = managed::Manager::create(&self.connect).await?;
        // Polled together, they travel together.
        let statements = try_join_all(SQL.iter().map(|sql| client.prepare(sql))).await?;
        Ok(Connection { client, statements })
    }

    async fn recycle(
        &self,
        connection: &mut Connection,
        metrics: &Metrics,
    ) -> RecycleResult<tokio_postgres::Error> {
        managed::Manager::recycle(&self.connect, &mut connection.client, metrics).await
    }
}

impl Connection {
    /// The first row, if any. Reads until the server is ready again: a failure of the commit is a failure of the call.
    async fn row(
        &self,
        statement: Statement,
        parameters: &[Argument<'_>],
    ) -> Result<Option<Row>, tokio_postgres::Error> {
        let statement = &self.statements[statement as usize];
        let rows = self
            .client
            .query_raw(statement, parameters.iter().copied())
            .await?;
        futures_util::pin_mut!(rows);
        let mut first = None;
        while let Some(row) = rows.try_next().await? {
            first.get_or_insert(row);
        }
        Ok(first)
    }
}

/// A connection while a statement runs on it.
///
/// When the client hangs up, the handler is dropped half-way. The connection must not go back to the pool with a
/// statement still running, or the next request would wait for it: the statement is cancelled. Nor may it go back at all:
/// the server may deliver the cancellation late, when the next request's statement runs. So it keeps its place in the
/// pool until the statement has ended, and is closed.
struct Flight(Option<managed::Object<Manager>>);

impl Flight {
    fn start(connection: managed::Object<Manager>) -> Self {
        Self(Some(connection))
    }

    fn connection(&self) -> &Connection {
        // `land` and `drop` are the only ones that take it, and both end the flight.
        match &self.0 {
            Some(connection) => connection,
            None => unreachable!("a flight has a connection until it lands"),
        }
    }

    fn land(mut self) {
        self.0 = None;
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let Some(connection) = self.0.take() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        runtime.spawn(async move {
            // Both may fail: then the connection is broken, and closing it is right as well.
            let _ = connection.client.cancel_token().cancel_query(NoTls).await;
            let _ = connection.client.simple_query("").await;
            drop(managed::Object::take(connection));
        });
    }
}

/// The one translation of a driver failure.
fn failure(failure: tokio_postgres::Error) -> Error {
    let Some(refused) = failure.as_db_error() else {
        let cause = cause(&failure);
        return match failure.is_closed()
            || std::error::Error::source(&failure).is_some_and(|s| s.is::<std::io::Error>())
        {
            true => Error::Unavailable(cause),
            false => Error::Defect(cause),
        };
    };
    Error::Refused(Box::new(Refusal {
        sqlstate: refused.code().code().to_owned(),
        message: refused.message().to_owned(),
        detail: refused.detail().map(str::to_owned),
    }))
}

/// Whatever keeps us from a connection is no answer to the request: not even a refused password.
fn no_connection(failure: PoolError<tokio_postgres::Error>) -> Error {
    Error::Unavailable(match failure {
        PoolError::Backend(failure) => format!("no connection to Postgres: {}", cause(&failure)),
        PoolError::Timeout(step) => format!("no free connection to Postgres in time ({step:?})"),
        other => format!("no connection to Postgres: {other}"),
    })
}

/// The failure in words: the server's own message where there is one, else the driver's and its reason.
pub(crate) fn cause(failure: &tokio_postgres::Error) -> String {
    if let Some(refused) = failure.as_db_error() {
        return format!("{} {}", refused.code().code(), refused.message());
    }
    match std::error::Error::source(failure) {
        Some(reason) => format!("{failure}: {reason}"),
        None => failure.to_string(),
    }
}

impl ToSql for Introduction<'_> {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        serde_json::to_writer(out.writer(), self)?;
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::JSON
    }

    to_sql_checked!();
}

impl ToSql for JsonText {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        out.put_slice(&self.0);
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::JSON
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Json {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        // `jsonb` travels with a version byte in front.
        let text = if *ty == Type::JSONB {
            raw.get(1..).unwrap_or_default()
        } else {
            raw
        };
        Ok(Self(Bytes::copy_from_slice(text)))
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::JSON || *ty == Type::JSONB
    }
}
