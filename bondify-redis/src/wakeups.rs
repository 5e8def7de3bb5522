use std::{fmt, time::Duration};

use bondify_core::{EventKey, StoreError, Wakeups, async_trait};
use futures_util::{StreamExt, future::ready, stream::BoxStream};
use redis::{
    Msg,
    aio::{ConnectionLike, MultiplexedConnection},
    cmd,
};

use crate::{Connect, RedisStore};

/// Wake-ups by Redis's publish and subscribe, for all instances that share it.
///
/// A message is the 16 bytes of a key, on one channel: the prefix and `wakeups`. A wake-up is published on one
/// connection, and each listener has another one.
///
/// ```no_run
/// use bondify_redis::{RedisWakeups, redis};
///
/// # fn main() -> redis::RedisResult<()> {
/// let wakeups = RedisWakeups::open(redis::Client::open("redis://127.0.0.1:6379")?);
/// # Ok(())
/// # }
/// ```
///
/// On a cluster, with the feature `cluster`:
///
/// ```
/// # #[cfg(feature = "cluster")]
/// # fn main() -> bondify_redis::redis::RedisResult<()> {
/// use bondify_redis::{
///     RedisWakeups,
///     redis::{ProtocolVersion, cluster::ClusterClient},
/// };
///
/// let client = ClusterClient::builder(["redis://10.0.0.1:6379", "redis://10.0.0.2:6379"]);
/// let wakeups = RedisWakeups::open(client.use_protocol(ProtocolVersion::RESP3).build()?);
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "cluster"))]
/// # fn main() {}
/// ```
///
/// A user with limited rights needs `&bondify:wakeups +publish +subscribe`, on a cluster also `+cluster|slots`, and
/// behind Sentinels `+role`.
#[derive(Clone)]
pub struct RedisWakeups<C = MultiplexedConnection>(RedisStore<C>);

impl<C: ConnectionLike + Clone + Send + Sync + 'static> RedisWakeups<C> {
    /// Creates wake-ups that open their connections with `client`: a [`Client`](redis::Client), a
    /// `SentinelClient` (feature `sentinel`), a `ClusterClient` (feature `cluster`, with the protocol RESP3), or
    /// your own [`Connect`].
    ///
    /// They connect at the first call. The default prefix is `bondify:`, and the default time-out is 2 s.
    #[must_use]
    pub fn open(client: impl Connect<Connection = C>) -> Self {
        Self(RedisStore::open(client))
    }
}

impl<C> RedisWakeups<C> {
    /// Sets the prefix of the channel. Services with different prefixes do not wake each other.
    #[must_use]
    pub fn prefix(self, prefix: impl Into<String>) -> Self {
        Self(self.0.prefix(prefix))
    }

    /// Sets the time-out of a call, including the connection attempt and a retry on a new connection.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self(self.0.timeout(timeout))
    }

    fn channel(&self) -> String {
        format!("{}wakeups", self.0.prefix)
    }
}

#[async_trait]
impl<C> Wakeups for RedisWakeups<C>
where
    C: ConnectionLike + Clone + Send + Sync + 'static,
{
    async fn wake(&self, key: &EventKey) -> Result<(), StoreError> {
        let (channel, key) = (&self.channel(), key.as_bytes());
        self.0
            .call(|link| async move {
                let mut publish = cmd("PUBLISH");
                publish.arg(channel).arg(key);
                publish.query_async(&mut link.connection.clone()).await
            })
            .await
    }

    async fn subscribe(&self) -> Result<BoxStream<'static, EventKey>, StoreError> {
        let messages = self.0.connections.subscribe(&self.channel()).await;
        let messages = messages.map_err(StoreError::new)?;
        Ok(messages.filter_map(|message| ready(key_of(&message))).boxed())
    }
}

/// `None` if the message was published by another program.
fn key_of(message: &Msg) -> Option<EventKey> {
    message.get_payload_bytes().try_into().ok().map(EventKey::from_bytes)
}

impl<C> fmt::Debug for RedisWakeups<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisWakeups").field("channel", &self.channel()).finish_non_exhaustive()
    }
}
