use std::fmt;

use tokio::sync::broadcast::{self, error::RecvError};

use crate::Change;

/// The changes of an emulator, as they happen. Created by
/// [`Emulator::changes`](crate::Emulator::changes).
///
/// ```
/// use bondify_emulator::{Change, Emulator, ProjectSettings};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let emulator = Emulator::builder().project(ProjectSettings::new().id("proj_shop")).start().await?;
/// let mut changes = emulator.changes();
/// let session = emulator.generate("proj_shop")?;
/// let Some(Change::Session(changed)) = changes.next().await else { panic!("a session is new") };
/// assert_eq!(changed.token, session.token);
/// # Ok(())
/// # }
/// ```
pub struct Changes(pub(crate) broadcast::Receiver<Change>);

impl Changes {
    /// Waits for the next change. Returns `None` once the emulator has stopped. A listener that
    /// is more than a thousand changes behind misses the oldest of them.
    pub async fn next(&mut self) -> Option<Change> {
        loop {
            match self.0.recv().await {
                Ok(change) => return Some(change),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes").finish_non_exhaustive()
    }
}
