use std::fmt;

use async_trait::async_trait;
use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::sync::broadcast::{self, error::RecvError};

use super::{StoreError, key::EventKey};

/// Tells all instances of a service that something has happened to a session, so that those that wait for it
/// look at once.
///
/// A wake-up is a hint: it may be lost, late, or sent twice, so who waits for a session also polls. Implement it
/// for an engine with publish and subscribe. [`MemoryWakeups`] is for a single process.
#[async_trait]
pub trait Wakeups: Send + Sync + 'static {
    /// Wakes all instances that [`listen`](Self::listen), this one too.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the engine cannot be reached. The wake-up is then lost.
    async fn wake(&self, key: &EventKey) -> Result<(), StoreError>;

    /// Returns the keys that any instance wakes from now on. The stream connects again by itself when it loses
    /// its connection, and does not end. Dropping it ends the subscription.
    fn listen(&self) -> BoxStream<'static, EventKey>;
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
/// let mut woken = wakeups.clone().listen();
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

    /// Creates wake-ups that nobody listens to yet.
    #[must_use]
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

    fn listen(&self) -> BoxStream<'static, EventKey> {
        stream::unfold(self.0.subscribe(), async |mut keys| {
            loop {
                match keys.recv().await {
                    Ok(key) => return Some((key, keys)),
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                }
            }
        })
        .boxed()
    }
}

impl fmt::Debug for MemoryWakeups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryWakeups").field("listeners", &self.0.receiver_count()).finish()
    }
}
