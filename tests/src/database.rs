//! One database, and sessions in it.

use std::{
    ops::Deref,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use tokio_postgres::{Config, NoTls};

use crate::environment;

static NEXT: AtomicU32 = AtomicU32::new(1);

/// A database of the test cluster. It goes with the cluster.
#[derive(Clone)]
pub struct Database {
    /// Its name.
    pub name: String,
}

impl Database {
    /// A new database with the extension and nothing else in it.
    pub async fn fresh() -> Self {
        Self::copy_of(&environment("SNACKBASE_TEST_TEMPLATE")).await
    }

    /// A new database, copied from one that nobody is connected to.
    pub async fn copy_of(template: &str) -> Self {
        let name = format!(
            "test_{}_{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let maintenance = Self {
            name: environment("PGDATABASE"),
        }
        .superuser()
        .await;
        maintenance
            .batch_execute(&format!("create database {name} template {template}"))
            .await
            .unwrap_or_else(|error| panic!("cannot copy {template}: {error:?}"));
        Self { name }
    }

    /// A session of the superuser, over the cluster's socket.
    pub async fn superuser(&self) -> Session {
        let mut config = Config::new();
        config
            .host_path(environment("PGHOST"))
            .user(environment("PGUSER"));
        self.open(config)
            .await
            .unwrap_or_else(|error| panic!("cannot connect to {}: {error:?}", self.name))
    }

    /// A session of another login role, over TCP with its password.
    ///
    /// # Errors
    /// As Postgres gives them: a wrong password, for one.
    pub async fn login(&self, role: &str, password: &str) -> Result<Session, tokio_postgres::Error> {
        let mut config = Config::new();
        config.host("127.0.0.1").user(role).password(password);
        self.open(config).await
    }

    /// A session of the gateway's login role, without a gateway.
    pub async fn gateway_role(&self) -> Session {
        self.login(
            "snackbase_gateway",
            &environment("SNACKBASE_TEST_GATEWAY_PASSWORD"),
        )
        .await
        .unwrap_or_else(|error| panic!("the gateway's role cannot connect: {error:?}"))
    }

    /// Wait until nobody is connected any more, so that the database can be copied.
    pub async fn wait_until_unused(&self) {
        let maintenance = Self {
            name: environment("PGDATABASE"),
        }
        .superuser()
        .await;
        for _ in 0..200 {
            let row = maintenance
                .query_one(
                    "select count(*) from pg_stat_activity where datname = $1",
                    &[&self.name],
                )
                .await
                .expect("pg_stat_activity is readable");
            if row.get::<_, i64>(0) == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("somebody stays connected to {}", self.name);
    }

    async fn open(&self, mut config: Config) -> Result<Session, tokio_postgres::Error> {
        let port = environment("PGPORT").parse().expect("PGPORT is a number");
        Session::open(config.port(port).dbname(&self.name)).await
    }
}

/// A connection. It is closed when this is dropped.
pub struct Session {
    client: tokio_postgres::Client,
    driver: tokio::task::JoinHandle<()>,
}

impl Deref for Session {
    type Target = tokio_postgres::Client;

    fn deref(&self) -> &Self::Target {
        &self.client
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Session {
    /// Connect.
    ///
    /// # Errors
    /// As Postgres or the system gives them.
    pub async fn open(config: &Config) -> Result<Self, tokio_postgres::Error> {
        let (client, connection) = config.connect(NoTls).await?;
        let driver = tokio::spawn(async move {
            // The end of a connection shows in the queries that were waiting for it.
            let _ = connection.await;
        });
        Ok(Self { client, driver })
    }

    /// The single value of a query as text, `∅` for NULL.
    pub async fn value(&self, sql: &str) -> String {
        let rows = self
            .simple_query(sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        let row = rows.into_iter().find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let row = row.unwrap_or_else(|| panic!("no row: {sql}"));
        row.get(0).unwrap_or("∅").to_owned()
    }

    /// The SQLSTATE a statement fails with; `00000` when it does not fail.
    pub async fn state_of(&self, sql: &str) -> String {
        match self.batch_execute(sql).await {
            Ok(()) => "00000".to_owned(),
            Err(error) => sql_state(&error),
        }
    }
}

/// The SQLSTATE of an error, or its text when it did not come from the server.
pub fn sql_state(error: &tokio_postgres::Error) -> String {
    error
        .code()
        .map_or_else(|| error.to_string(), |code| code.code().to_owned())
}
