//! The deletion of expired rows.

use std::{sync::Arc, time::Duration};

use sqlx::Error;
use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    call::Call,
    engine::{Engine, Manner},
    table::Table,
};

/// The limit for the deletion of a batch of rows of a large table on a busy disk.
const PURGE_TIMEOUT: Duration = Duration::from_secs(60);

impl<E: Engine> Table<E> {
    pub(crate) async fn purge(&self) -> Result<u64, Error> {
        let mut connection = E::purging(&self.pool).await?;
        let mut purged = 0;
        loop {
            let start = Instant::now();
            let batch = match &mut connection {
                Some(connection) => self.purge_batch(connection).await?,
                None => {
                    let call = Call::new(&self.statements.purge, PURGE_TIMEOUT);
                    self.run(call, &mut false).await?.len()
                }
            };
            purged += batch as u64;
            if batch < E::PURGE_BATCH {
                return Ok(purged);
            }
            // Leave half of the time to claims.
            sleep(start.elapsed()).await;
        }
    }

    async fn purge_batch(&self, connection: &mut E::Connection) -> Result<usize, Error> {
        let turn = self.writers.acquire().await;
        let purge = self.statements.purge.clone();
        let rows = E::run(connection, purge, None, &[], Manner::default()).await?;
        drop(turn);
        E::after_batch(connection).await?;
        Ok(rows.len())
    }

    pub(crate) fn purge_every(self, interval: Duration) -> Self {
        let table = Self { purger: None, ..self.clone() };
        let purger = tokio::spawn(async move {
            loop {
                sleep(interval).await;
                match table.purge().await {
                    Ok(rows) => {
                        tracing::debug!(table = %table.name, rows, "expired rows were deleted")
                    }
                    Err(error) => tracing::error!(
                        error = &error as &dyn std::error::Error,
                        table = %table.name,
                        "expired rows were not deleted; the next purge tries again",
                    ),
                }
            }
        });
        Self { purger: Some(Arc::new(AbortOnDropHandle::new(purger))), ..self }
    }
}
