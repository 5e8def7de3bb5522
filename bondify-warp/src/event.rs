use std::{fmt, ops::Deref};

use bondify_core::Event;

/// The verified event that a handler is called with.
///
/// No other way leads to one than [`webhook`](crate::webhook) and
/// [`Hook::run`](crate::Hook::run), so a route without Bondify does not compile.
#[derive(Clone, Debug)]
pub struct BondifyEvent(pub Event);

impl Deref for BondifyEvent {
    type Target = Event;

    fn deref(&self) -> &Event {
        &self.0
    }
}

impl fmt::Display for BondifyEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
