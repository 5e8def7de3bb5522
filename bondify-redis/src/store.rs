use std::{
    fmt, io,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bondify_core::{Claimed, DedupeStore, EventKey, LeaseToken, StoreError, async_trait};
use redis::{
    RedisError, RedisResult,
    aio::{ConnectionLike, MultiplexedConnection},
    cmd,
};
use tokio::time::{Instant, timeout};

use crate::{
    connection::{Connect, Connections, Existing, Link, refuses_writes, wants_new_connection},
    rights,
    script::Script,
    settings,
};

/// The default of [`RedisStore::timeout`].
const TIMEOUT: Duration = Duration::from_secs(2);

/// The value of a completed key. The value of a lease is its token, eight bytes. Redis shares small
/// numbers, so they take no memory.
const COMPLETED: &str = "1";

static RENEW: LazyLock<Script> =
    LazyLock::new(|| if_held("redis.call('PEXPIRE', KEYS[1], ARGV[2])"));
static COMPLETE: LazyLock<Script> =
    LazyLock::new(|| if_held(&format!("redis.call('SET', KEYS[1], '{COMPLETED}', 'PX', ARGV[2])")));
static RELEASE: LazyLock<Script> = LazyLock::new(|| if_held("redis.call('DEL', KEYS[1])"));

/// A script that makes a change and returns 1, or returns 0 if `ARGV[1]` is not the token of the lease.
/// It also runs in a full Redis, so that a handled event can be settled.
fn if_held(change: &str) -> Script {
    Script::new(format!(
        "#!lua flags=allow-oom\n\
         if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end\n\
         {change}\n\
         return 1"
    ))
}

/// A dedupe store on Redis or Valkey, for all instances that share it.
///
/// [`open`](Self::open) takes a client of [`redis`]. The store then survives failovers and broken connections.
/// [`new`](Self::new) takes a connection.
///
/// An event is one key: the prefix and the 32 hexadecimal digits of its [`EventKey`], of which logs
/// show the first eight. Every call is one command on that key. All times are by Redis's clock.
///
/// A call is retried once, on a new connection, if it gets no answer in half of the time-out, loses
/// its connection or reaches a server that accepts no writes. The first claim on a connection checks
/// that the user may run all commands of the store, and is an error otherwise.
///
#[doc = include_str!("docs/store.md")]
#[derive(Clone)]
pub struct RedisStore<C = MultiplexedConnection> {
    pub(crate) connections: Arc<Connections<C>>,
    pub(crate) prefix: String,
    timeout: Duration,
}

impl<C: ConnectionLike + Clone + Send + Sync + 'static> RedisStore<C> {
    /// Creates a store that opens its connections with `client`: a [`Client`](redis::Client), a
    /// `SentinelClient` (feature `sentinel`), a `ClusterClient` (feature `cluster`), or your own
    /// [`Connect`].
    ///
    /// It connects at the first call, and its clones share one connection. The default prefix is
    /// `bondify:` and the default time-out is 2 s.
    ///
    /// ```
    /// use bondify_redis::{RedisStore, redis::Client};
    ///
    /// # fn main() -> bondify_redis::redis::RedisResult<()> {
    /// let store = RedisStore::open(Client::open("redis://127.0.0.1:6379")?);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn open(client: impl Connect<Connection = C>) -> Self {
        Self {
            connections: Arc::new(Connections::new(client)),
            prefix: "bondify:".to_owned(),
            timeout: TIMEOUT,
        }
    }

    /// Creates a store that uses clones of `connection` and never replaces it.
    ///
    /// Prefer [`open`](Self::open). A [`ConnectionManager`](redis::aio::ConnectionManager) reconnects
    /// when the connection breaks, but keeps a silent connection and one to a server that was demoted
    /// to a replica.
    #[must_use]
    pub fn new(connection: C) -> Self {
        Self::open(Existing(connection))
    }
}

impl<C> RedisStore<C> {
    /// Sets the prefix of all keys. Stores with different prefixes share no events.
    ///
    /// Use no braces on a cluster: they are a hash tag, which puts all keys on one node.
    ///
    /// ```
    /// # use bondify_redis::{RedisStore, redis::Client};
    /// # fn main() -> bondify_redis::redis::RedisResult<()> {
    /// # let client = Client::open("redis://127.0.0.1:6379")?;
    /// let store = RedisStore::open(client).prefix("shop:bondify:");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets the time-out of a call, including the connection attempt and the retry. The first attempt
    /// gets half of it.
    ///
    /// The response time-out of a connection applies too, if it is shorter.
    ///
    /// ```
    /// # use bondify_redis::{RedisStore, redis::Client};
    /// # fn main() -> bondify_redis::redis::RedisResult<()> {
    /// # let client = Client::open("redis://127.0.0.1:6379")?;
    /// use std::time::Duration;
    ///
    /// let store = RedisStore::open(client).timeout(Duration::from_secs(4));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    fn name(&self, key: &EventKey) -> String {
        format!("{}{key}", self.prefix)
    }

    fn timed_out(&self) -> RedisError {
        let text = format!("no answer from Redis within {:?}", self.timeout);
        io::Error::new(io::ErrorKind::TimedOut, text).into()
    }
}

impl<C: ConnectionLike + Clone + Send + Sync + 'static> RedisStore<C> {
    /// Makes a call, and retries it once on a new connection if that may help. A call can safely be
    /// made twice: a claim finds its own token, and the others change nothing without the token.
    ///
    /// The source of the error is always a [`RedisError`].
    pub(crate) async fn call<T, A>(
        &self,
        ask: impl Fn(Arc<Link<C>>) -> A + Send + Sync,
    ) -> Result<T, StoreError>
    where
        A: Future<Output = RedisResult<T>> + Send,
    {
        let start = Instant::now();
        let left = || self.timeout.saturating_sub(start.elapsed());
        let answer = timeout(self.timeout, async {
            let link = self.connections.get().await?;
            match self.attempt(left() / 2, &link, &ask).await {
                Err(error) if wants_new_connection(&error) => {}
                answer => return answer,
            }
            let link = self.connections.other_than(Some(&link)).await?;
            self.attempt(left(), &link, &ask).await
        });
        let answer = answer.await.unwrap_or_else(|_late| Err(self.timed_out()));
        answer.map_err(StoreError::new)
    }

    /// Makes one attempt of a call. After an error, the next claim checks the user's rights again.
    async fn attempt<T, A>(
        &self,
        limit: Duration,
        link: &Arc<Link<C>>,
        ask: impl Fn(Arc<Link<C>>) -> A,
    ) -> RedisResult<T>
    where
        A: Future<Output = RedisResult<T>>,
    {
        let answer = timeout(limit, ask(link.clone())).await;
        let answer = answer.unwrap_or_else(|_late| Err(self.timed_out()));
        if answer.is_err() {
            link.set_rights(false);
        }
        answer
    }

    /// Runs a script of [`if_held`].
    async fn run(
        &self,
        script: &Script,
        key: &EventKey,
        arguments: &[&[u8]],
    ) -> Result<bool, StoreError> {
        let name = &self.name(key);
        self.call(
            |link| async move { script.call(&mut link.connection.clone(), name, arguments).await },
        )
        .await
    }

    /// Sets `value` if the key has no value, and returns the existing value otherwise, also if Redis
    /// refuses writes. `unanswered` counts the commands that were sent and not answered.
    async fn set_if_absent(
        &self,
        link: Arc<Link<C>>,
        name: &str,
        value: &[u8],
        lease: Duration,
        unanswered: &AtomicUsize,
    ) -> RedisResult<Option<Vec<u8>>> {
        let mut connection = link.connection.clone();
        if !link.has_rights() {
            rights::check(&mut connection, name, &self.prefix).await?;
            link.set_rights(true);
        }
        let mut set = cmd("SET");
        set.arg(name).arg(value).arg("NX").arg("GET").arg("PX").arg(milliseconds(lease));

        unanswered.fetch_add(1, Relaxed);
        let answer = set.query_async(&mut connection).await;
        if !answer.as_ref().is_err_and(RedisError::is_io_error) {
            unanswered.fetch_sub(1, Relaxed);
        }
        match answer {
            Err(refused) if refuses_writes(&refused) => {
                let held: Option<_> = cmd("GET").arg(name).query_async(&mut connection).await?;
                held.map(Some).ok_or(refused)
            }
            answer => answer,
        }
    }

    /// Releases, in the background, a lease whose claim was not answered.
    fn give_up(&self, key: EventKey, token: LeaseToken) {
        let store = self.clone();
        tokio::spawn(async move { store.release(&key, &token).await });
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
        // Random, so that no token is used again after Redis has forgotten the key, and from the
        // system, so that copies of a virtual machine do not draw the same token.
        let token = LeaseToken::new(getrandom::u64().map_err(StoreError::new)?);
        let (name, value) = (self.name(key), bytes_of(&token));
        let unanswered = AtomicUsize::new(0);
        let held = self.call(|link| self.set_if_absent(link, &name, &value, lease, &unanswered));
        let held = held.await;
        if held.is_err() && unanswered.into_inner() > 0 {
            self.give_up(*key, token);
        }
        let held = held?;

        Ok(match held.as_deref() {
            None => Claimed::Acquired(token),
            // The claim was sent twice, because the first answer was lost.
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
        self.run(&RENEW, key, &[&bytes_of(token), lease.as_bytes()]).await
    }

    async fn complete(
        &self,
        key: &EventKey,
        token: &LeaseToken,
        retention: Duration,
    ) -> Result<bool, StoreError> {
        let retention = milliseconds(retention).to_string();
        self.run(&COMPLETE, key, &[&bytes_of(token), retention.as_bytes()]).await
    }

    async fn release(&self, key: &EventKey, token: &LeaseToken) -> Result<bool, StoreError> {
        self.run(&RELEASE, key, &[&bytes_of(token)]).await
    }

    /// Reports missing rights, an eviction policy, a missing append-only file, and a clock that differs
    /// from this machine's by more than [`Verifier::SKEW`](bondify_core::Verifier::SKEW), on each
    /// primary of a cluster.
    async fn check(&self) -> Result<Vec<String>, StoreError> {
        self.call(|link| async move {
            settings::check(&mut link.connection.clone(), &self.prefix).await
        })
        .await
    }
}

fn bytes_of(token: &LeaseToken) -> [u8; 8] {
    token.get().to_be_bytes()
}

/// A duration in milliseconds, rounded up: at least 1, the least that Redis accepts.
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
        let store = RedisStore::open(redis::Client::open("redis://:secret@127.0.0.1").unwrap());
        let store = store.prefix("shop:");
        assert_eq!(format!("{store:?}"), r#"RedisStore { prefix: "shop:", timeout: 2s, .. }"#);
    }
}
