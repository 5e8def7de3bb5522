use std::sync::{Mutex, MutexGuard, PoisonError};

use bondify_core::{Bondify, Reply, adapter::Claim};
use rocket::Request;

/// The claim and the reply of a request. The guard, which cannot wrap the handler, stores them, and
/// `on_response` takes them. They are in the request's local cache: a cancelled request drops them,
/// which releases the claim.
#[derive(Default)]
pub(crate) struct RequestState(Mutex<State>);

#[derive(Default)]
struct State {
    /// The `Bondify` of the route that is being tried, if it is mounted through one.
    bondify: Option<Bondify>,
    /// The status of the handler, unless it forwarded the request.
    handled: Option<u16>,
    claim: Option<Claim>,
    reply: Option<Reply>,
}

impl RequestState {
    pub(crate) fn of<'r>(request: &'r Request<'_>) -> &'r Self {
        request.local_cache(Self::default)
    }

    /// Sets the `Bondify` of the route that is being tried.
    pub(crate) fn set_bondify(&self, bondify: Option<Bondify>) {
        self.state().bondify = bondify;
    }

    pub(crate) fn set_handled(&self, status: u16) {
        self.state().handled = Some(status);
    }

    pub(crate) fn handled(&self) -> Option<u16> {
        self.state().handled
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
