use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::{
    sync::broadcast::{self, error::RecvError},
    time::{sleep, timeout},
};

use super::{StoreError, dedupe::within, key::EventKey};

/// Tells all instances of a service that something has happened to a session, so that those that wait for it
/// look at once.
///
/// A wake-up may be lost, late, or sent twice, so code that waits for a session also has to poll. Implement it for
/// an engine with publish and subscribe. [`MemoryWakeups`] is for a single process.
///
/// ```
/// use std::sync::Arc;
///
/// use bondify_core::{EventKey, MemoryWakeups, Wakeups};
/// use futures_util::StreamExt;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), bondify_core::StoreError> {
/// let wakeups: Arc<dyn Wakeups> = Arc::new(MemoryWakeups::new());
/// let mut woken = wakeups.subscribe().await?;
/// let key = EventKey::new("login", "sess_1");
/// wakeups.wake(&key).await?;
/// assert_eq!(woken.next().await, Some(key));
/// # Ok(())
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not wake other instances",
    label = "not wake-ups",
    note = "pass wake-ups by value: `RedisWakeups` of `bondify-redis`, `PgWakeups` of `bondify-sqlx`, or \
            `MemoryWakeups` for a single process"
)]
#[async_trait]
pub trait Wakeups: Send + Sync + 'static {
    /// Wakes all instances that [`listen`](#method.listen), this one too.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the engine cannot be reached. The wake-up is then lost.
    async fn wake(&self, key: &EventKey) -> Result<(), StoreError>;

    /// Subscribes to the keys that any instance wakes from now on. The stream ends when its connection is lost.
    /// Dropping it ends the subscription.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the engine cannot be reached.
    async fn subscribe(&self) -> Result<BoxStream<'static, EventKey>, StoreError>;
}

/// How long a listener waits for a key, until it wakes a key of its own to find out whether the engine still
/// sends keys; and for that one, until it subscribes again.
const SILENCE: Duration = Duration::from_secs(5);

/// The pause before a listener subscribes again.
const PAUSE: Duration = Duration::from_secs(1);

/// The time-out of a call.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The key by which listeners find out whether they hear anything.
const HEARTBEAT: EventKey = EventKey::from_bytes([0; 16]);

impl dyn Wakeups {
    /// Returns the keys that any instance wakes, while the stream is polled. It subscribes again by itself when
    /// its connection is lost or silent, and never ends. Dropping it ends the subscription.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use bondify_core::Wakeups;
    /// use futures_util::StreamExt;
    ///
    /// async fn print(wakeups: Arc<dyn Wakeups>) {
    ///     let mut woken = wakeups.listen();
    ///     while let Some(key) = woken.next().await {
    ///         println!("{key}");
    ///     }
    /// }
    /// ```
    pub fn listen(self: Arc<Self>) -> BoxStream<'static, EventKey> {
        let listener = Listener { wakeups: self, subscription: None, is_lost: false };
        stream::unfold(listener, async |mut listener| Some((listener.next().await, listener)))
            .boxed()
    }
}

struct Listener {
    wakeups: Arc<dyn Wakeups>,
    subscription: Option<BoxStream<'static, EventKey>>,
    /// Whether the log says that wake-ups are lost.
    is_lost: bool,
}

impl Listener {
    async fn next(&mut self) -> EventKey {
        loop {
            match self.hear().await {
                Ok(key) => {
                    if self.is_lost {
                        tracing::info!("wake-ups of other instances arrive again");
                        self.is_lost = false;
                    }
                    if key != HEARTBEAT {
                        return key;
                    }
                }
                Err(error) => {
                    if !self.is_lost {
                        let error = &error as &dyn std::error::Error;
                        tracing::warn!(
                            error,
                            "wake-ups of other instances are lost: subscribing again"
                        );
                        self.is_lost = true;
                    }
                    self.subscription = None;
                    sleep(PAUSE).await;
                }
            }
        }
    }

    async fn hear(&mut self) -> Result<EventKey, StoreError> {
        let keys = match &mut self.subscription {
            Some(keys) => keys,
            None => self.subscription.insert(within(TIMEOUT, self.wakeups.subscribe()).await?),
        };
        let heard = match timeout(SILENCE, keys.next()).await {
            Ok(heard) => heard,
            Err(_silent) => {
                within(TIMEOUT, self.wakeups.wake(&HEARTBEAT)).await?;
                let heard = timeout(SILENCE, keys.next()).await;
                heard.map_err(|_silent| {
                    StoreError::new("a wake-up of this process did not arrive")
                })?
            }
        };
        heard.ok_or_else(|| StoreError::new("the connection was lost"))
    }
}

/// The wake-ups of one process. Clones share them.
///
/// ```
/// use bondify_core::{EventKey, MemoryWakeups, Wakeups};
/// use futures_util::StreamExt;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), bondify_core::StoreError> {
/// let wakeups = MemoryWakeups::new();
/// let mut woken = wakeups.subscribe().await?;
/// let key = EventKey::new("login", "sess_1");
/// wakeups.wake(&key).await?;
/// assert_eq!(woken.next().await, Some(key));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MemoryWakeups(broadcast::Sender<EventKey>);

impl MemoryWakeups {
    /// The number of wake-ups that a slow listener may be behind. It loses the others.
    const CAPACITY: usize = 1024;

    /// Creates the wake-ups of a process, without subscribers.
    pub fn new() -> Self {
        Self(broadcast::Sender::new(Self::CAPACITY))
    }
}

impl Default for MemoryWakeups {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Wakeups for MemoryWakeups {
    async fn wake(&self, key: &EventKey) -> Result<(), StoreError> {
        let _without_listeners = self.0.send(*key);
        Ok(())
    }

    async fn subscribe(&self) -> Result<BoxStream<'static, EventKey>, StoreError> {
        let keys = stream::unfold(self.0.subscribe(), async |mut keys| {
            loop {
                match keys.recv().await {
                    Ok(key) => return Some((key, keys)),
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                }
            }
        });
        Ok(keys.boxed())
    }
}

impl fmt::Debug for MemoryWakeups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryWakeups").field("listeners", &self.0.receiver_count()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::time::Instant;

    use super::*;

    /// Wake-ups of an engine whose first subscriptions are of no use.
    struct Faulty {
        memory: MemoryWakeups,
        first: Mutex<Vec<Result<BoxStream<'static, EventKey>, StoreError>>>,
    }

    impl Faulty {
        fn new(first: Result<BoxStream<'static, EventKey>, StoreError>) -> Arc<Self> {
            Arc::new(Self { memory: MemoryWakeups::new(), first: Mutex::new(vec![first]) })
        }
    }

    #[async_trait]
    impl Wakeups for Faulty {
        async fn wake(&self, key: &EventKey) -> Result<(), StoreError> {
            self.memory.wake(key).await
        }

        async fn subscribe(&self) -> Result<BoxStream<'static, EventKey>, StoreError> {
            let first = self.first.lock().unwrap().pop();
            match first {
                Some(first) => first,
                None => self.memory.subscribe().await,
            }
        }
    }

    fn key() -> EventKey {
        EventKey::new("login", "sess_1")
    }

    /// Returns the time until a listener is subscribed and hears a key.
    async fn heard_after(wakeups: Arc<Faulty>) -> Duration {
        let (start, memory) = (Instant::now(), wakeups.memory.clone());
        let mut woken = (wakeups as Arc<dyn Wakeups>).listen();
        let listening = tokio::spawn(async move { woken.next().await });
        while memory.0.receiver_count() == 0 {
            sleep(Duration::from_millis(1)).await;
        }
        memory.wake(&key()).await.unwrap();
        assert_eq!(listening.await.unwrap(), Some(key()));
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_listener_subscribes_again_after_a_pause() {
        for first in [
            Err(StoreError::new("refused")),
            Ok(stream::empty().boxed()),
            Ok(stream::iter([HEARTBEAT]).boxed()),
        ] {
            let after = heard_after(Faulty::new(first)).await;
            assert!((PAUSE..SILENCE).contains(&after), "{after:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_listener_that_does_not_hear_its_own_wake_up_subscribes_again() {
        let after = heard_after(Faulty::new(Ok(stream::pending().boxed()))).await;
        assert!((2 * SILENCE..3 * SILENCE).contains(&after), "{after:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_listener_that_hears_its_own_wake_ups_stays_subscribed() {
        let wakeups = MemoryWakeups::new();
        let mut woken = (Arc::new(wakeups.clone()) as Arc<dyn Wakeups>).listen();
        assert!(timeout(20 * SILENCE, woken.next()).await.is_err(), "heartbeats are not shown");
        wakeups.wake(&key()).await.unwrap();
        assert_eq!(woken.next().await, Some(key()), "it was not between two subscriptions");
        drop(woken);
        assert_eq!(wakeups.0.receiver_count(), 0);
    }
}
