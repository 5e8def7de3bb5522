use std::sync::{Mutex, MutexGuard, PoisonError};

use bondify_core::{Bondify, Reply, adapter::Claim};
use rocket::Request;

/// The claim and the reply of a request, from the guard, which cannot wrap the handler, to the
/// response. It is in the request's local cache: a cancelled request drops it, which releases the
/// claim.
#[derive(Default)]
pub(crate) struct RequestState(Mutex<State>);

#[derive(Default)]
struct State {
    bondify: Option<Bondify>,
    claim: Option<Claim>,
    reply: Option<Reply>,
}

impl RequestState {
    pub(crate) fn of<'r>(request: &'r Request<'_>) -> &'r Self {
        request.local_cache(Self::default)
    }

    /// Sets the Bondify of the route that is being tried.
    pub(crate) fn set_bondify(&self, bondify: &Bondify) {
        self.state().bondify = Some(bondify.clone());
    }

    pub(crate) fn bondify(&self) -> Option<Bondify> {
        self.state().bondify.clone()
    }

    pub(crate) fn set_claim(&self, claim: Claim) {
        self.state().claim = Some(claim);
    }

    pub(crate) fn take_claim(&self) -> Option<Claim> {
        self.state().claim.take()
    }

    /// Sets the reply that replaces the response of a handler or a catcher.
    pub(crate) fn set_reply(&self, reply: Reply) {
        self.state().reply = Some(reply);
    }

    pub(crate) fn take_reply(&self) -> Option<Reply> {
        self.state().reply.take()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
