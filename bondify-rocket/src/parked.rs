use std::sync::{Mutex, MutexGuard, PoisonError};

use bondify_core::{Bondify, Reply, adapter::Claim};
use rocket::Request;

/// What is known of a request between the guard, which cannot wrap the handler, and the
/// response. Kept in the request's local cache: a request that is given up drops it, which
/// releases the claim.
#[derive(Default)]
pub(crate) struct Parked(Mutex<State>);

#[derive(Default)]
struct State {
    bondify: Option<Bondify>,
    claim: Option<Claim>,
    reply: Option<Reply>,
}

impl Parked {
    pub(crate) fn of<'r>(request: &'r Request<'_>) -> &'r Self {
        request.local_cache(Self::default)
    }

    /// Says through which Bondify the route being tried is mounted.
    pub(crate) fn mounted_through(&self, bondify: &Bondify) {
        self.state().bondify = Some(bondify.clone());
    }

    pub(crate) fn bondify(&self) -> Option<Bondify> {
        self.state().bondify.clone()
    }

    pub(crate) fn hold(&self, claim: Claim) {
        self.state().claim = Some(claim);
    }

    pub(crate) fn take_claim(&self) -> Option<Claim> {
        self.state().claim.take()
    }

    /// Answers with `reply`, whatever the handler or a catcher says.
    pub(crate) fn answer(&self, reply: Reply) {
        self.state().reply = Some(reply);
    }

    pub(crate) fn take_reply(&self) -> Option<Reply> {
        self.state().reply.take()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
