//! Stands in for `metrics.rs` without the feature `metrics`: nothing is counted.

use tokio::time::Instant;

use crate::{Verifier, event::SecretName};

pub(crate) struct Raised;

pub(crate) fn describe() {}

pub(crate) fn register(_: &Verifier) {}

pub(super) fn delivered(_: &'static str, _: &'static str, _: &'static str, _: SecretName) {}

pub(crate) fn waiting_duplicate() -> Raised {
    Raised
}

pub(super) fn running_handler() -> Raised {
    Raised
}

pub(super) fn handler_ended(_: &'static str, _: &'static str, _: Instant) {}

pub(crate) async fn timed<T, E>(
    _: &'static str,
    call: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    call.await
}

pub(crate) fn renewed<E>(_: &Result<bool, E>) {}

pub(crate) fn completion_retried() {}
