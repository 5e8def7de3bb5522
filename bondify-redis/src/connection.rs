use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use redis::{
    AsyncConnectionConfig, Client, RedisError, RedisFuture, RedisResult,
    aio::{ConnectionLike, MultiplexedConnection},
};

/// A source of connections to the Redis that takes writes now.
///
/// The store asks it for a connection at its first call, and for a new one when the old one
/// gave no answer or leads to a server that takes no writes. The store's time-out ends a
/// connection attempt too.
pub trait Connect: Send + 'static {
    /// The connections that it makes; clones share one.
    type Connection: ConnectionLike + Clone + Send + Sync + 'static;

    /// Makes a new connection.
    fn connect(&mut self) -> RedisFuture<'_, Self::Connection>;
}

impl Connect for Client {
    type Connection = MultiplexedConnection;

    fn connect(&mut self) -> RedisFuture<'_, Self::Connection> {
        Box::pin(async { self.get_multiplexed_async_connection_with_config(&untimed()).await })
    }
}

/// Asks the Sentinels for the primary at each new connection.
#[cfg(feature = "sentinel")]
#[cfg_attr(docsrs, doc(cfg(feature = "sentinel")))]
impl Connect for redis::sentinel::SentinelClient {
    type Connection = MultiplexedConnection;

    fn connect(&mut self) -> RedisFuture<'_, Self::Connection> {
        Box::pin(async { self.get_async_connection_with_config(&untimed()).await })
    }
}

/// Set the client's response time-out to less than half of the store's.
#[cfg(feature = "cluster")]
#[cfg_attr(docsrs, doc(cfg(feature = "cluster")))]
impl Connect for redis::cluster::ClusterClient {
    type Connection = redis::cluster_async::ClusterConnection;

    fn connect(&mut self) -> RedisFuture<'_, Self::Connection> {
        Box::pin(self.get_async_connection())
    }
}

/// Without time-outs: the store has its own.
fn untimed() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None)
}

/// A connection that the user made. It cannot be replaced, but may reconnect by itself.
pub(crate) struct Existing<C>(pub(crate) C);

impl<C: ConnectionLike + Clone + Send + Sync + 'static> Connect for Existing<C> {
    type Connection = C;

    fn connect(&mut self) -> RedisFuture<'_, C> {
        Box::pin(async { Ok(self.0.clone()) })
    }
}

/// A connection in use, shared by the calls that began with it.
pub(crate) struct Link<C> {
    pub(crate) connection: C,
    has_rights: AtomicBool,
}

impl<C> Link<C> {
    /// Whether the user's rights were checked on this connection, and no call failed since.
    pub(crate) fn has_rights(&self) -> bool {
        self.has_rights.load(Relaxed)
    }

    pub(crate) fn set_rights(&self, has_rights: bool) {
        self.has_rights.store(has_rights, Relaxed);
    }
}

/// The connection of a store and its clones.
pub(crate) struct Connections<C> {
    current: Mutex<Option<Arc<Link<C>>>>,
    /// Locked while it connects.
    source: tokio::sync::Mutex<Box<dyn Connect<Connection = C>>>,
}

impl<C: ConnectionLike + Clone + Send + Sync + 'static> Connections<C> {
    pub(crate) fn new(source: impl Connect<Connection = C>) -> Self {
        Self { current: Mutex::default(), source: tokio::sync::Mutex::new(Box::new(source)) }
    }

    /// The connection in use. The first call makes it.
    pub(crate) async fn get(&self) -> RedisResult<Arc<Link<C>>> {
        let current = self.current().clone();
        match current {
            Some(link) => Ok(link),
            None => self.other_than(None).await,
        }
    }

    /// The connection that replaces `old`: one that another call has made, or a new one.
    ///
    /// Until there is one, other calls use `old`: that of a cluster, with one node silent, still
    /// works for the other nodes.
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

    fn current(&self) -> MutexGuard<'_, Option<Arc<Link<C>>>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a new connection may get a better answer: this one is broken or silent, or the
/// server at its other end takes no writes, while its address may belong to another by now.
pub(crate) fn wants_new_connection(error: &RedisError) -> bool {
    const NOT_THE_PRIMARY: [&str; 4] = [
        "READONLY",   // a replica
        "MASTERDOWN", // a replica that lost its primary
        "LOADING",    // a restart, or a demoted primary that copies its successor's data
        "NOREPLICAS", // a primary cut off from its replicas, which may have a new one
    ];
    error.is_io_error()
        || error.is_unrecoverable_error()
        || error.code().is_some_and(|code| NOT_THE_PRIMARY.contains(&code))
}
