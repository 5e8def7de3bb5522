//! The verification of a delivery, on its own.
#![allow(clippy::unwrap_used, reason = "a failure in a test is its report")]

use allocation_counter::measure;
use bondify_core::{Secret, Verifier};
use bondify_testkit::Payload;

#[test]
fn a_plain_delivery_is_verified_without_an_allocation() {
    let new = Secret::new("whsec_5f2b0c9d").unwrap().named("2026-11");
    let old = Secret::new("whsec_another").unwrap().named("2026-10");
    let verifier = Verifier::new(new).old_secret(old.clone());
    let sent = Payload::confirmed().telegram_name("Ada 🦀").signed_with(&old);
    let body = sent.body().clone();
    let _shared = body.clone(); // The first clone makes the body shared.
    let allocated = measure(|| {
        let event = verifier.verify(body.clone(), sent.signature()).unwrap();
        assert_eq!(event.signed_by(), Some("2026-10"));
        assert_eq!(event.user().unwrap().name(), "Ada 🦀");
    });
    assert_eq!(allocated.count_total, 0);
}
