//! Looks for settings of the database that lose or double events.

use std::{
    error::Error,
    time::{Duration, SystemTime},
};

use bondify_core::{Claimed, DedupeStore, EventKey, StoreError, Verifier};

use crate::{Store, call::Call, engine::Engine};

/// The lease of the claim that tries the rights of the user.
const LEASE: Duration = Duration::from_secs(10);

impl<E: Engine> Store<E> {
    pub(crate) async fn advice(&self) -> Result<Vec<String>, StoreError> {
        let mut advice = Vec::new();
        let statements = &self.table.statements;
        for (query, text) in &statements.settings {
            if self.number(query).await? != 0 {
                advice.push((*text).to_owned());
            }
        }
        advice.extend(different_clock(self.number(&statements.clock).await?, SystemTime::now()));
        if let Err(error) = self.try_each_call().await {
            let cause = error.source().and_then(|error| error.downcast_ref());
            match cause {
                Some(cause) if E::is_denied(cause) => advice.push(format!(
                    "the user needs the rights to SELECT, INSERT, UPDATE and DELETE rows of {}: {cause}",
                    self.table.name
                )),
                _ => return Err(error),
            }
        }
        Ok(advice)
    }

    async fn try_each_call(&self) -> Result<(), StoreError> {
        let random = getrandom::u64().map_err(StoreError::new)?;
        let key = EventKey::new("bondify.check", random.to_ne_bytes());
        if let Claimed::Acquired(token) = self.claim(&key, LEASE).await? {
            self.renew(&key, &token, LEASE).await?;
            self.release(&key, &token).await?;
        }
        Ok(())
    }

    async fn number(&self, query: &std::sync::Arc<str>) -> Result<i64, StoreError> {
        let call = Call::new(query, self.table.timeout);
        match self.table.run(call, &mut false).await.map_err(StoreError::new)?[..] {
            [number] => Ok(number.unwrap_or_default()),
            _ => Err(StoreError::new(format!("the database has no answer to: {query}"))),
        }
    }
}

/// Compares the database's clock, in milliseconds since 1970, with this machine's.
fn different_clock(database: i64, here: SystemTime) -> Option<String> {
    let here = here.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
    let difference = i128::from(database) - here.cast_signed();
    let seconds = difference.unsigned_abs() / 1000;
    let direction = if difference < 0 { "behind" } else { "ahead of" };
    (seconds > u128::from(Verifier::SKEW.as_secs())).then(|| {
        format!(
            "the database's clock is {seconds} s {direction} this machine's: synchronize both, for \
             example with NTP"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_may_differ_by_the_skew() {
        let here = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        for agreeing in [1_000_000_000, 1_000_300_999, 999_699_001] {
            assert_eq!(different_clock(agreeing, here), None, "{agreeing}");
        }
        let ahead = different_clock(1_000_301_000, here).unwrap();
        assert!(ahead.contains("clock is 301 s ahead of this machine's"), "{ahead}");
        let behind = different_clock(999_699_000, here).unwrap();
        assert!(behind.contains("clock is 301 s behind this machine's"), "{behind}");
    }
}
