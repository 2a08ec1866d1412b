//! Connections: a pool, TLS, and retries of statements.

use super::super::{Error, closed};
use deadpool_postgres::{
    Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime,
};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs, pki_types::CertificateDer};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_postgres::{
    NoTls,
    config::{LoadBalanceHosts, SslMode, TargetSessionAttrs},
    error::SqlState,
};
use tokio_postgres_rustls::MakeRustlsConnect;

/// The pause between two attempts. A starting database rejects most of them at once.
pub(super) const PAUSE: Duration = Duration::from_millis(100);

/// How long TCP may take to connect to a host. Several hosts are tried in turn, in any order.
const CONNECT: Duration = Duration::from_secs(2);

/// How to reach and use the database.
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    /// Hosts, name, user, password, `sslmode`: with `disable` there is no TLS, otherwise it is
    /// required, and certificate and name are always verified. Of several hosts the first that
    /// accepts writes is used.
    pub connection: tokio_postgres::Config,
    /// Trust anchors of TLS: certificates, DER.
    pub anchors: Vec<Vec<u8>>,
    /// The most connections; at least 4.
    pub connections: usize,
    /// How long a call tries while the database is unreachable, and how long a statement may run.
    pub patience: Duration,
}

/// The reason why a statement failed.
#[derive(Debug)]
pub(super) enum DatabaseError {
    /// It violates a unique index.
    Taken,
    /// The connection or the database failed: another attempt may succeed. Whether the statement
    /// was done is unknown.
    Lost(String),
    /// Another attempt would fail, too.
    Store(Error),
}

impl From<tokio_postgres::Error> for DatabaseError {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.code() {
            Some(&SqlState::UNIQUE_VIOLATION) => Self::Taken,
            // A value that it cannot store: a retry gets the same answer.
            Some(code) if code.code().starts_with("22") => {
                Self::Store(Error::Unavailable(format!("the database: {}", text(&error))))
            }
            _ => Self::Lost(text(&error)),
        }
    }
}

impl From<Error> for DatabaseError {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

/// Returns an error with its causes: tokio-postgres keeps the database's own text there.
fn text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let next_text = next.to_string();
        // Some libraries include the text of their cause.
        if !text.ends_with(&next_text) {
            text.push_str(": ");
            text.push_str(&next_text);
        }
        cause = next.source();
    }
    text
}

/// A connection for one piece of work. Unless that succeeds ([`Lease::back`]), the connection is
/// dropped: a late answer would go to the next query.
pub(super) struct Lease(Option<Object>);

impl Lease {
    /// Returns the connection. Only `back` and `drop` remove it.
    pub(super) fn client(&self) -> Result<&Object, DatabaseError> {
        self.0
            .as_ref()
            .ok_or_else(|| DatabaseError::Lost("the connection was given back".to_owned()))
    }

    /// Returns it to the pool.
    pub(super) fn back(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(object) = self.0.take() {
            drop(Object::take(object));
        }
    }
}

/// Does work on a connection: `attempt!(database, client => work)`, where `work` returns a
/// `Result<T, DatabaseError>`; returns a `Result<T, Error>`. [`Attempts`] retries the work. An
/// attempt that seemed to fail may have succeeded, and the work must allow for that.
///
/// A macro, because the compiler cannot yet prove that the future of a closure is `Send` whatever
/// it borrows.
macro_rules! attempt {
    ($database:expr, $client:ident => $work:expr) => {{
        let database: &Database = &$database;
        let mut attempts = database.attempts();
        loop {
            let work = async {
                let lease = database.lease().await?;
                let $client = lease.client()?;
                let done = $work?;
                lease.back();
                Ok(done)
            };
            match attempts.run(work).await {
                Ok(Some(done)) => break Ok(done),
                Ok(None) => {}
                Err(error) => break Err(error),
            }
        }
    }};
}
pub(super) use attempt;

/// The database, and whether it is reachable.
pub(super) struct Database {
    pool: Pool,
    patience: Duration,
    down: AtomicBool,
}

impl Database {
    /// Connects.
    pub(super) async fn open(options: PostgresOptions) -> Result<Self, Error> {
        let PostgresOptions { mut connection, anchors, connections, patience } = options;
        if connection.get_hosts().len() > 1
            && connection.get_target_session_attrs() == TargetSessionAttrs::Any
        {
            connection.target_session_attrs(TargetSessionAttrs::ReadWrite);
            // `connect_timeout` ends when TCP is connected. A host that accepts connections and
            // stays silent (its disk hangs, it was stopped) would block all later ones.
            connection.load_balance_hosts(LoadBalanceHosts::Random);
        }
        if connection.get_connect_timeout().is_none() {
            connection.connect_timeout(CONNECT);
        }
        connection.tcp_user_timeout(patience);
        if connection.get_application_name().is_none() {
            connection.application_name("estd");
        }
        // A commit is acknowledged when it is durable, here and on synchronous standbys. A
        // statement that timed out here must not run on there. A plan created while the tables
        // were empty scans them, and would be kept. So each statement is planned for the tables as
        // they are, which costs little compared with its work for a group.
        let own = format!(
            "-c synchronous_commit=on -c plan_cache_mode=force_custom_plan \
             -c statement_timeout={0} -c idle_in_transaction_session_timeout={0}",
            patience.as_millis()
        );
        let options = connection.get_options().map(|more| format!("{own} {more}")).unwrap_or(own);
        connection.options(options);

        let how = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = if connection.get_ssl_mode() == SslMode::Disable {
            Manager::from_config(connection, NoTls, how)
        } else {
            Manager::from_config(connection, tls(&anchors)?, how)
        };
        let pool = Pool::builder(manager)
            .max_size(connections)
            .create_timeout(Some(patience / 2))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| Error::Unavailable(text(&error)))?;
        let database = Self { pool, patience, down: AtomicBool::new(false) };
        attempt!(database, client => check_durability(client).await)?;
        Ok(database)
    }

    /// Returns a connection of the pool.
    pub(super) async fn lease(&self) -> Result<Lease, DatabaseError> {
        match self.pool.get().await {
            Ok(object) => Ok(Lease(Some(object))),
            Err(PoolError::Closed) => Err(DatabaseError::Store(closed())),
            Err(PoolError::Backend(error)) => Err(error.into()),
            Err(other) => Err(DatabaseError::Lost(text(&other))),
        }
    }

    /// How long a call tries while the database is unreachable.
    pub(super) const fn patience(&self) -> Duration {
        self.patience
    }

    /// Starts attempts at one piece of work.
    pub(super) fn attempts(&self) -> Attempts<'_> {
        Attempts { database: self, until: Instant::now() + self.patience, last: None }
    }

    /// Whether it is regarded as unreachable.
    #[cfg(test)]
    pub(super) fn is_down(&self) -> bool {
        self.down.load(Ordering::Relaxed)
    }

    /// Ends all connections; later work fails with [`Error::Unavailable`].
    pub(super) fn close(&self) {
        self.pool.close();
    }
}

/// Attempts at one piece of work, until the configured patience is over. After that, each piece of
/// work has one attempt until one succeeds.
pub(super) struct Attempts<'a> {
    database: &'a Database,
    until: Instant,
    /// The error of the previous attempt.
    last: Option<String>,
}

impl Attempts<'_> {
    /// Makes one attempt. Returns its result, or none if another attempt should follow.
    pub(super) async fn run<T>(
        &mut self,
        work: impl Future<Output = Result<T, DatabaseError>> + Send,
    ) -> Result<Option<T>, Error> {
        let down = &self.database.down;
        let why = match timeout_at(self.until, work).await {
            Ok(Ok(done)) => {
                if down.swap(false, Ordering::Relaxed) {
                    tracing::warn!("the database answers again");
                }
                return Ok(Some(done));
            }
            Ok(Err(DatabaseError::Store(error))) => return Err(error),
            Ok(Err(DatabaseError::Taken)) => {
                "got a row that exists; expected: a new one".to_owned()
            }
            Ok(Err(DatabaseError::Lost(why))) => why,
            // The previous error is more informative than a timeout.
            Err(_) => self.last.take().unwrap_or_else(|| {
                format!("no answer within {} ms", self.database.patience.as_millis())
            }),
        };
        if down.load(Ordering::Relaxed) || Instant::now() + PAUSE >= self.until {
            if !down.swap(true, Ordering::Relaxed) {
                tracing::error!(
                    error = %why,
                    "the database does not answer; nothing is issued until it does"
                );
            }
            return Err(Error::Unavailable(format!("the database: {why}")));
        }
        tracing::debug!("trying again: the database: {why}");
        self.last = Some(why);
        sleep(PAUSE).await;
        Ok(None)
    }
}

/// Configures TLS that always verifies the database's certificate and name, with any `sslmode`.
fn tls(anchors: &[Vec<u8>]) -> Result<MakeRustlsConnect, Error> {
    let unusable =
        |error: rustls::Error| Error::Unavailable(format!("TLS to the database: {error}"));
    let mut roots = RootCertStore::empty();
    for anchor in anchors {
        roots.add(CertificateDer::from(anchor.clone())).map_err(unusable)?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

/// Warns if the database may lose acknowledged commits.
async fn check_durability(client: &Object) -> Result<(), DatabaseError> {
    for (setting, bad) in
        [("fsync", "off"), ("full_page_writes", "off"), ("synchronous_commit", "off")]
    {
        let sql = "SELECT setting FROM pg_settings WHERE name = $1";
        let found = client.query_opt(sql, &[&setting]).await?;
        if found.is_some_and(|row| row.get::<_, &str>(0) == bad) {
            tracing::warn!(
                "the database has {setting} = off: after a power failure certificates that were \
                 delivered may be missing; set it to on"
            );
        }
    }
    Ok(())
}
