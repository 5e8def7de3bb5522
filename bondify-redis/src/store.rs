use std::{fmt, io, sync::LazyLock, time::Duration};

use bondify_core::{Claimed, DedupeStore, EventKey, LeaseToken, StoreError, async_trait};
use redis::{RedisError, RedisResult, aio::ConnectionLike, cmd};

use crate::script::Script;

/// What a completed key holds. A lease holds its token, eight bytes. Redis keeps small
/// numbers in no memory of their own.
const COMPLETED: &str = "1";

static RENEW: LazyLock<Script> =
    LazyLock::new(|| if_held("redis.call('PEXPIRE', KEYS[1], ARGV[2])"));
static COMPLETE: LazyLock<Script> =
    LazyLock::new(|| if_held(&format!("redis.call('SET', KEYS[1], '{COMPLETED}', 'PX', ARGV[2])")));
static RELEASE: LazyLock<Script> = LazyLock::new(|| if_held("redis.call('DEL', KEYS[1])"));

/// A script that makes a change and returns 1, or 0 if `ARGV[1]` is not the token of the
/// lease. It runs in a full Redis as well, where a handled event has to be settled too.
fn if_held(change: &str) -> Script {
    Script::new(format!(
        "#!lua flags=allow-oom\n\
         if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end\n\
         {change}\n\
         return 1"
    ))
}

/// Remembers events in Redis or Valkey, for all instances that share it.
///
/// Takes any connection of [`redis`] that can be cloned: a
/// [`ConnectionManager`](redis::aio::ConnectionManager), which reconnects by itself, a
/// [`MultiplexedConnection`](redis::aio::MultiplexedConnection), which does not, or, with
/// the feature `cluster`, a `redis::cluster_async::ClusterConnection`. See the
/// [crate](crate) for an example.
///
/// An event is one key: the prefix and the 32 hexadecimal digits of its
/// [`EventKey`], of which logs show the first eight. Every call is one command on that
/// key, and every time is judged by Redis's clock.
#[derive(Clone)]
pub struct RedisStore<C> {
    connection: C,
    prefix: String,
    timeout: Duration,
}

impl<C> RedisStore<C> {
    /// A store that uses clones of `connection`, with the prefix `bondify:` and a
    /// time-out of two seconds.
    #[must_use]
    pub fn new(connection: C) -> Self {
        Self { connection, prefix: "bondify:".to_owned(), timeout: Duration::from_secs(2) }
    }

    /// What the names of all keys begin with. Stores with different prefixes share
    /// nothing.
    ///
    /// On a cluster, braces would be a hash tag, which puts all keys on one node.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// How long a call may take, reconnecting included, before it is an error.
    ///
    /// The connection's own response time-out, if shorter, comes first: on a single node
    /// 500 ms, unless set otherwise.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    fn name(&self, key: &EventKey) -> String {
        format!("{}{key}", self.prefix)
    }

    /// The answer, or an error when it is late. The error's source is a [`RedisError`]
    /// either way.
    async fn in_time<T>(
        &self,
        call: impl Future<Output = RedisResult<T>>,
    ) -> Result<T, StoreError> {
        let answer = tokio::time::timeout(self.timeout, call).await;
        answer.unwrap_or_else(|_late| Err(self.timed_out())).map_err(StoreError::new)
    }

    fn timed_out(&self) -> RedisError {
        let text = format!("no answer from Redis within {:?}", self.timeout);
        io::Error::new(io::ErrorKind::TimedOut, text).into()
    }
}

impl<C: ConnectionLike + Clone> RedisStore<C> {
    /// Runs one of the scripts that [`if_held`] makes.
    async fn call(
        &self,
        script: &Script,
        key: &EventKey,
        arguments: &[&[u8]],
    ) -> Result<bool, StoreError> {
        let (mut connection, name) = (self.connection.clone(), self.name(key));
        self.in_time(script.call(&mut connection, &name, arguments)).await
    }
}

impl<C> fmt::Debug for RedisStore<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("prefix", &self.prefix)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl<C> DedupeStore for RedisStore<C>
where
    C: ConnectionLike + Clone + Send + Sync + 'static,
{
    async fn claim(&self, key: &EventKey, lease: Duration) -> Result<Claimed, StoreError> {
        // Random, so that no token returns when Redis has forgotten the key, and from
        // the system, so that not even copies of a virtual machine draw the same.
        let token = LeaseToken::new(getrandom::u64().map_err(StoreError::new)?);
        let value = bytes_of(&token);

        let mut connection = self.connection.clone();
        let mut set = cmd("SET");
        set.arg(self.name(key)).arg(&value).arg("NX").arg("GET").arg("PX").arg(milliseconds(lease));
        let held: Option<Vec<u8>> = self.in_time(set.query_async(&mut connection)).await?;

        Ok(match held.as_deref() {
            None => Claimed::Acquired(token),
            // A cluster connection sends a command again when it lost the answer.
            Some(held) if held == value => Claimed::Acquired(token),
            Some(held) if held == COMPLETED.as_bytes() => Claimed::Completed,
            Some(_) => Claimed::InFlight,
        })
    }

    async fn renew(
        &self,
        key: &EventKey,
        token: &LeaseToken,
        lease: Duration,
    ) -> Result<bool, StoreError> {
        let lease = milliseconds(lease).to_string();
        self.call(&RENEW, key, &[&bytes_of(token), lease.as_bytes()]).await
    }

    async fn complete(
        &self,
        key: &EventKey,
        token: &LeaseToken,
        retention: Duration,
    ) -> Result<bool, StoreError> {
        let retention = milliseconds(retention).to_string();
        self.call(&COMPLETE, key, &[&bytes_of(token), retention.as_bytes()]).await
    }

    async fn release(&self, key: &EventKey, token: &LeaseToken) -> Result<bool, StoreError> {
        self.call(&RELEASE, key, &[&bytes_of(token)]).await
    }
}

fn bytes_of(token: &LeaseToken) -> [u8; 8] {
    token.get().to_be_bytes()
}

/// Rounded up, and at least one: Redis takes no less.
fn milliseconds(duration: Duration) -> u128 {
    duration.as_nanos().div_ceil(1_000_000).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_rounded_up() {
        let nanoseconds = |nanos| milliseconds(Duration::from_nanos(nanos));
        assert_eq!([0, 1, 999_999, 1_000_000].map(nanoseconds), [1, 1, 1, 1]);
        assert_eq!([1_000_001, 2_000_000, 10_000_000_001].map(nanoseconds), [2, 2, 10_001]);
    }

    #[test]
    fn debug_shows_the_prefix_and_the_time_out_only() {
        let store = RedisStore::new("redis://:secret@127.0.0.1").prefix("shop:");
        assert_eq!(format!("{store:?}"), r#"RedisStore { prefix: "shop:", timeout: 2s, .. }"#);
    }
}
