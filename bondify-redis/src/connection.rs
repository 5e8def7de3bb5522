use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use futures_util::{StreamExt, stream::BoxStream};
#[cfg(feature = "cluster")]
use futures_util::{future::ready, stream};
use redis::{
    AsyncConnectionConfig, Client, ErrorKind, Msg, RedisError, RedisFuture, RedisResult,
    aio::{ConnectionLike, MultiplexedConnection},
};

/// A source of connections to the Redis server that currently accepts writes.
///
/// The store asks for a connection at its first call, and for a new one if the old one gave no answer
/// or leads to a server that accepts no writes. The store's time-out applies to the connection
/// attempt too. [`recipes`](crate::recipes) has two implementations.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a client of Redis",
    label = "not a client of Redis",
    note = "pass a client, such as `redis::Client::open(url)?`",
    note = "for a connection that is already open, call `RedisStore::new(connection)`"
)]
pub trait Connect: Send + 'static {
    /// The type of the connections. Clones share one connection.
    type Connection: ConnectionLike + Clone + Send + Sync + 'static;

    /// Opens a new connection.
    ///
    /// # Errors
    ///
    /// The error of the attempt. The store's call returns it as the source of its `StoreError`.
    fn connect(&mut self) -> RedisFuture<'_, Self::Connection>;

    /// Subscribes to a channel, on a connection of its own. The stream ends when that connection breaks, and
    /// dropping it closes the connection. For [`RedisWakeups`](crate::RedisWakeups).
    ///
    /// # Errors
    ///
    /// The error of the attempt. Unless it is implemented, an error that says so.
    fn subscribe<'a>(&'a mut self, channel: &'a str) -> RedisFuture<'a, BoxStream<'static, Msg>> {
        let _unused = channel;
        let what = "this `Connect` does not implement `subscribe`";
        Box::pin(async move { Err((ErrorKind::InvalidClientConfig, what).into()) })
    }
}

impl Connect for Client {
    type Connection = MultiplexedConnection;

    fn connect(&mut self) -> RedisFuture<'_, Self::Connection> {
        Box::pin(async { self.get_multiplexed_async_connection_with_config(&untimed()).await })
    }

    fn subscribe<'a>(&'a mut self, channel: &'a str) -> RedisFuture<'a, BoxStream<'static, Msg>> {
        Box::pin(async move {
            let mut subscription = self.get_async_pubsub().await?;
            subscription.subscribe(channel).await?;
            Ok(subscription.into_on_message().boxed())
        })
    }
}

/// Each new connection asks the Sentinels for the primary.
#[cfg(feature = "sentinel")]
impl Connect for redis::sentinel::SentinelClient {
    type Connection = MultiplexedConnection;

    fn connect(&mut self) -> RedisFuture<'_, Self::Connection> {
        Box::pin(async { self.get_async_connection_with_config(&untimed()).await })
    }

    fn subscribe<'a>(&'a mut self, channel: &'a str) -> RedisFuture<'a, BoxStream<'static, Msg>> {
        Box::pin(async move { self.async_get_client().await?.subscribe(channel).await })
    }
}

/// Set the client's response time-out to less than half of the store's time-out. To subscribe, it must use
/// the protocol RESP3.
#[cfg(feature = "cluster")]
impl Connect for redis::cluster::ClusterClient {
    type Connection = redis::cluster_async::ClusterConnection;

    fn connect(&mut self) -> RedisFuture<'_, Self::Connection> {
        Box::pin(self.get_async_connection())
    }

    fn subscribe<'a>(&'a mut self, channel: &'a str) -> RedisFuture<'a, BoxStream<'static, Msg>> {
        Box::pin(async move {
            let (sender, pushed) = tokio::sync::mpsc::unbounded_channel();
            let config = redis::cluster::ClusterConfig::new().set_push_sender(sender);
            let mut connection = self.get_async_connection_with_config(config).await?;
            connection.subscribe(channel).await?;
            // The connection closes when it is dropped.
            let messages =
                stream::unfold((pushed, connection), async |(mut pushed, connection)| {
                    Some((pushed.recv().await?, (pushed, connection)))
                });
            Ok(messages.filter_map(|push| ready(Msg::from_push_info(push))).boxed())
        })
    }
}

/// Settings without time-outs, because the store has its own.
fn untimed() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None)
}

/// A connection that the user opened. The store cannot replace it, but it may reconnect by itself.
pub(crate) struct Existing<C>(pub(crate) C);

impl<C: ConnectionLike + Clone + Send + Sync + 'static> Connect for Existing<C> {
    type Connection = C;

    fn connect(&mut self) -> RedisFuture<'_, C> {
        Box::pin(async { Ok(self.0.clone()) })
    }
}

/// A connection in use. The calls that began with it share it.
pub(crate) struct Link<C> {
    pub(crate) connection: C,
    has_rights: AtomicBool,
}

impl<C> Link<C> {
    /// Whether the user's rights were checked on this connection and no call has failed since.
    pub(crate) fn has_rights(&self) -> bool {
        self.has_rights.load(Relaxed)
    }

    pub(crate) fn set_rights(&self, has_rights: bool) {
        self.has_rights.store(has_rights, Relaxed);
    }
}

/// The connection that a store and its clones share.
pub(crate) struct Connections<C> {
    current: Mutex<Option<Arc<Link<C>>>>,
    /// Locked during a connection attempt.
    source: tokio::sync::Mutex<Box<dyn Connect<Connection = C>>>,
}

impl<C: ConnectionLike + Clone + Send + Sync + 'static> Connections<C> {
    pub(crate) fn new(source: impl Connect<Connection = C>) -> Self {
        Self { current: Mutex::default(), source: tokio::sync::Mutex::new(Box::new(source)) }
    }

    /// Returns the connection in use. The first call opens it.
    pub(crate) async fn get(&self) -> RedisResult<Arc<Link<C>>> {
        let current = self.current().clone();
        match current {
            Some(link) => Ok(link),
            None => self.other_than(None).await,
        }
    }

    /// Returns the connection that replaces `old`: one that another call has opened, or a new one.
    ///
    /// Until then, other calls use `old`: the connection of a cluster still works for the other nodes
    /// while one node is silent.
    pub(crate) async fn other_than(&self, old: Option<&Arc<Link<C>>>) -> RedisResult<Arc<Link<C>>> {
        let mut source = self.source.lock().await;
        if let Some(current) = &*self.current()
            && !old.is_some_and(|old| Arc::ptr_eq(current, old))
        {
            return Ok(current.clone());
        }
        let connection = source.connect().await?;
        let link = Arc::new(Link { connection, has_rights: AtomicBool::new(false) });
        *self.current() = Some(link.clone());
        Ok(link)
    }

    pub(crate) async fn subscribe(&self, channel: &str) -> RedisResult<BoxStream<'static, Msg>> {
        self.source.lock().await.subscribe(channel).await
    }

    fn current(&self) -> MutexGuard<'_, Option<Arc<Link<C>>>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a call may succeed on a new connection: the old one is broken or silent, or its server
/// accepts no writes and the address may lead to another server by now.
pub(crate) fn wants_new_connection(error: &RedisError) -> bool {
    const NOT_THE_PRIMARY: [&str; 4] = [
        "READONLY",   // a replica
        "MASTERDOWN", // a replica without a connection to its primary
        "LOADING",    // a restart, or a demoted primary that copies the data of the new one
        "NOREPLICAS", // a primary without its replicas, which may have a new primary
    ];
    error.is_io_error()
        || error.is_unrecoverable_error()
        || error.code().is_some_and(|code| NOT_THE_PRIMARY.contains(&code))
}

/// Whether the server refuses writes and still answers reads.
pub(crate) fn refuses_writes(error: &RedisError) -> bool {
    const REFUSALS: [&str; 3] = [
        "OOM",        // the memory is full
        "MISCONF",    // a snapshot could not be written to the disk
        "NOREPLICAS", // `min-replicas-to-write`
    ];
    error.code().is_some_and(|code| REFUSALS.contains(&code))
}
