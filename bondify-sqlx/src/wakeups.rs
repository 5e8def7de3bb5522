use std::{fmt, io, sync::Arc, time::Duration};

use bondify_core::{EventKey, StoreError, Wakeups, async_trait};
use futures_util::{
    FutureExt,
    stream::{self, BoxStream, StreamExt},
};
use sqlx::{
    Connection, Error, PgConnection,
    postgres::{PgConnectOptions, PgListener, PgPoolOptions},
    query,
};
use tokio::{sync::Mutex, time::timeout};

/// Wake-ups by PostgreSQL's `LISTEN` and `NOTIFY`, for all instances that share the database.
///
/// A notification has the 32 hexadecimal digits of a key. One connection notifies, and each listener has another
/// one. They are not connections of your pool: a listener needs its connection as long as it listens.
///
/// **The URL has to lead directly to PostgreSQL.** A pooler in transaction or statement mode (PgBouncer, Supabase,
/// Neon, RDS Proxy) forwards no notifications. The log then says that wake-ups are lost.
///
/// ```no_run
/// use bondify_sqlx::PgWakeups;
///
/// # async fn connect() -> Result<(), bondify_sqlx::sqlx::Error> {
/// let wakeups = PgWakeups::connect("postgres://localhost/shop").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PgWakeups {
    options: PgConnectOptions,
    channel: String,
    /// The connection that notifies, while no call uses it. A call that fails drops it.
    notifier: Arc<Mutex<Option<PgConnection>>>,
}

/// The time-out of a notification, of the wait for the calls before it, and of a connection attempt.
const TIMEOUT: Duration = Duration::from_secs(2);

impl PgWakeups {
    /// Connects to PostgreSQL. The default channel is `bondify_wakeups`.
    ///
    /// # Errors
    ///
    /// The database's [`Error`], for example if the URL is not valid or there is no connection.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        let options: PgConnectOptions = url.parse()?;
        let notifier = Arc::new(Mutex::new(Some(open(&options).await?)));
        Ok(Self { options, channel: "bondify_wakeups".to_owned(), notifier })
    }

    /// Sets the name of the channel, of 1 to 63 bytes. Services with different channels do not wake each other.
    #[must_use]
    pub fn channel(mut self, name: impl Into<String>) -> Self {
        self.channel = name.into();
        self
    }

    async fn notify(&self, connection: &mut PgConnection, payload: &str) -> Result<(), Error> {
        let notify = query("SELECT pg_notify($1, $2)").bind(&self.channel).bind(payload);
        in_time(notify.execute(connection)).await?;
        Ok(())
    }
}

#[async_trait]
impl Wakeups for PgWakeups {
    async fn wake(&self, key: &EventKey) -> Result<(), StoreError> {
        let payload = key.to_string();
        // A call that its task does not poll may hold the connection.
        let mut notifier = in_time(self.notifier.lock().map(Ok)).await.map_err(StoreError::new)?;
        // It may have broken or become silent since the last call.
        if let Some(mut connection) = notifier.take()
            && self.notify(&mut connection, &payload).await.is_ok()
        {
            *notifier = Some(connection);
            return Ok(());
        }
        let mut connection = open(&self.options).await.map_err(StoreError::new)?;
        self.notify(&mut connection, &payload).await.map_err(StoreError::new)?;
        *notifier = Some(connection);
        Ok(())
    }

    async fn subscribe(&self) -> Result<BoxStream<'static, EventKey>, StoreError> {
        // A listener takes its connection from a pool.
        let pool = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
        let pool = pool.acquire_timeout(TIMEOUT).connect_lazy_with(self.options.clone());
        let mut listener = PgListener::connect_with(&pool).await.map_err(StoreError::new)?;
        listener.eager_reconnect(false);
        listener.listen(&self.channel).await.map_err(StoreError::new)?;
        let keys = stream::unfold(listener, async |mut listener| {
            loop {
                let notification = listener.try_recv().await.ok()??;
                if let Some(key) = key_of(notification.payload()) {
                    return Some((key, listener));
                }
            }
        });
        Ok(keys.boxed())
    }
}

async fn open(options: &PgConnectOptions) -> Result<PgConnection, Error> {
    in_time(PgConnection::connect_with(options)).await
}

async fn in_time<T>(call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {TIMEOUT:?}"));
    timeout(TIMEOUT, call).await.map_err(late)?
}

/// `None` if another program has sent the notification.
fn key_of(payload: &str) -> Option<EventKey> {
    let number = u128::from_str_radix(payload, 16).ok()?;
    Some(EventKey::from_bytes(number.to_be_bytes()))
}

impl fmt::Debug for PgWakeups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgWakeups").field("channel", &self.channel).finish_non_exhaustive()
    }
}
