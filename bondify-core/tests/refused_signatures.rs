//! The warning about refused signatures. A process logs it once a minute, so this test has a process of
//! its own.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{Arc, Mutex};

use bondify_core::{Bondify, Reply, Secret};
use bondify_testkit::Payload;
use tracing_subscriber::{Layer, layer::SubscriberExt};

/// The warnings of this thread.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl<S: tracing::Subscriber> Layer<S> for Warnings {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        if *event.metadata().level() <= tracing::Level::WARN {
            let mut text = String::new();
            let visitor = &mut |field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
                text.push_str(&format!("{field}={value:?} "));
            };
            event.record(visitor);
            self.0.lock().unwrap().push(text);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_wrong_secret_is_warned_about_once_a_minute_with_the_usual_causes() {
    let warnings = Warnings::default();
    let subscriber = tracing_subscriber::registry().with(warnings.clone());
    let _guard = tracing::subscriber::set_default(subscriber);
    let secret = |text: &str| Secret::new(text).unwrap();
    // Each delivery has a `Bondify` of its own: the limit is per process, not per `Bondify`.
    let refuse = async |times: usize| {
        for _ in 0..times {
            let bondify = Bondify::builder(secret("whsec_configured")).build().unwrap();
            let delivery = Payload::confirmed().signed_with(&secret("whsec_of_bondify"));
            let refused = delivery.receive_by(&bondify).await.unwrap_err();
            assert_eq!(refused, Reply::InvalidSignature);
        }
    };
    refuse(1).await;
    assert_eq!(warnings.0.lock().unwrap().len(), 1, "the first is warned about at once");
    refuse(100).await;
    assert_eq!(warnings.0.lock().unwrap().len(), 1);
    tokio::time::advance(std::time::Duration::from_secs(60)).await;
    refuse(5).await;
    let warnings = warnings.0.lock().unwrap();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    for part in ["count=101", "webhook secret", "proxy", "another project"] {
        assert!(warnings[1].contains(part), "{part} is not in {}", warnings[1]);
    }
}
