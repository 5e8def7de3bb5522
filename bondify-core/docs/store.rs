use std::{
    collections::HashMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use bondify_core::{Claimed, DedupeStore, EventKey, LeaseToken, StoreError, async_trait};

#[derive(Default)]
struct MyStore(Mutex<State>);

#[derive(Default)]
struct State {
    leases_given: u64,
    entries: HashMap<EventKey, Entry>,
}

struct Entry {
    holder: Option<LeaseToken>, // `None`: completed
    expires: Instant,
}

impl MyStore {
    /// Runs `change` if `token` still holds the lease of `key`.
    fn if_held(
        &self,
        key: &EventKey,
        token: &LeaseToken,
        change: impl FnOnce(&mut HashMap<EventKey, Entry>),
    ) -> Result<bool, StoreError> {
        let entries = &mut self.0.lock().map_err(|_| StoreError::new("poisoned"))?.entries;
        let held = entries.get(key).is_some_and(|entry| {
            entry.holder.as_ref() == Some(token) && entry.expires > Instant::now()
        });
        if held {
            change(entries);
        }
        Ok(held)
    }
}

#[async_trait]
impl DedupeStore for MyStore {
    async fn claim(&self, key: &EventKey, lease: Duration) -> Result<Claimed, StoreError> {
        let mut state = self.0.lock().map_err(|_| StoreError::new("poisoned"))?;
        let now = Instant::now();
        match state.entries.get(key) {
            Some(entry) if entry.expires > now && entry.holder.is_none() => {
                return Ok(Claimed::Completed);
            }
            Some(entry) if entry.expires > now => return Ok(Claimed::InFlight),
            _ => {}
        }
        state.leases_given += 1;
        let token = LeaseToken::new(state.leases_given);
        let entry = Entry { holder: Some(token), expires: now + lease };
        state.entries.insert(*key, entry);
        Ok(Claimed::Acquired(token))
    }

    async fn renew(
        &self,
        key: &EventKey,
        token: &LeaseToken,
        lease: Duration,
    ) -> Result<bool, StoreError> {
        self.if_held(key, token, |entries| {
            let entry = Entry { holder: Some(*token), expires: Instant::now() + lease };
            entries.insert(*key, entry);
        })
    }

    async fn complete(
        &self,
        key: &EventKey,
        token: &LeaseToken,
        retention: Duration,
    ) -> Result<bool, StoreError> {
        self.if_held(key, token, |entries| {
            let entry = Entry { holder: None, expires: Instant::now() + retention };
            entries.insert(*key, entry);
        })
    }

    async fn release(&self, key: &EventKey, token: &LeaseToken) -> Result<bool, StoreError> {
        self.if_held(key, token, |entries| {
            entries.remove(key);
        })
    }
}
