//! `Bondify::for_project`: several projects that share a store.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bondify_core::{Bondify, MemoryStore, Projects, Reply, Secret};
use bondify_testkit::{Payload, ProbeStore, WebhookRequest, within_a_minute};
use tokio::{runtime::Handle, sync::Notify, time::Instant};

fn secret(of: &str) -> Secret {
    Secret::new(format!("whsec_{of}")).unwrap()
}

fn platform() -> Bondify {
    Bondify::builder(secret("platform")).build().unwrap()
}

fn project(platform: &Bondify, id: &str) -> Bondify {
    platform.for_project(id, secret(id), [])
}

/// The one delivery of a session, as `signer` signs it.
fn delivery(signer: &str) -> WebhookRequest {
    Payload::confirmed().session_token("sess_1").signed_with(&secret(signer))
}

async fn handle(bondify: &Bondify, request: &WebhookRequest) -> Result<u16, Reply> {
    let delivery = request.receive_by(bondify).await?;
    delivery.run_to_completion(async |_| 200, |&status| status).await
}

#[tokio::test]
async fn a_secret_signs_for_its_own_project_only() {
    let platform = platform();
    let (shop, blog) = (project(&platform, "shop"), project(&platform, "blog"));
    for (bondify, signer) in [(&shop, "shop"), (&blog, "blog"), (&platform, "platform")] {
        for other in ["shop", "blog", "platform"].iter().filter(|&&other| other != signer) {
            assert_eq!(handle(bondify, &delivery(other)).await, Err(Reply::InvalidSignature));
        }
        assert_eq!(handle(bondify, &delivery(signer)).await, Ok(200), "one session in each");
        assert_eq!(handle(bondify, &delivery(signer)).await, Err(Reply::Duplicate));
    }
}

#[tokio::test]
async fn a_project_derived_again_remembers_its_events() {
    let platform = platform();
    assert_eq!(handle(&project(&platform, "shop"), &delivery("shop")).await, Ok(200));
    let again = handle(&project(&platform, "shop"), &delivery("shop")).await;
    assert_eq!(again, Err(Reply::Duplicate));
}

#[tokio::test]
async fn a_project_has_the_keys_of_its_namespace_within_its_parents() {
    let store = Arc::new(MemoryStore::new());
    let builder = |of| Bondify::builder(secret(of)).store(store.clone());
    let derived = project(&builder("platform").build().unwrap(), "shop");
    assert_eq!(handle(&derived, &delivery("shop")).await, Ok(200));
    let alone = builder("shop").namespace("shop").build().unwrap();
    assert_eq!(handle(&alone, &delivery("shop")).await, Err(Reply::Duplicate));
    let staging = project(&builder("platform").namespace("staging").build().unwrap(), "shop");
    assert_eq!(handle(&staging, &delivery("shop")).await, Ok(200));
}

#[tokio::test]
async fn a_project_rotates_its_own_secrets() {
    let platform = platform();
    let shop = platform.for_project("shop", secret("new"), [secret("old")]);
    assert_eq!(handle(&shop, &delivery("old")).await, Ok(200));
    assert_eq!(handle(&shop, &delivery("new")).await, Err(Reply::Duplicate));
    shop.rotate(secret("newer"), []);
    assert_eq!(handle(&shop, &delivery("new")).await, Err(Reply::InvalidSignature));
    assert_eq!(handle(&platform, &delivery("platform")).await, Ok(200));
}

#[tokio::test]
async fn a_project_keeps_the_settings() {
    let builder = Bondify::builder(secret("platform")).body_limit(10);
    let shop = project(&builder.build().unwrap(), "shop");
    assert_eq!(shop.body_limit(), 10);
    assert_eq!(handle(&shop, &delivery("shop")).await, Err(Reply::PayloadTooLarge));
    let past = Bondify::builder(secret("platform")).clock(|| std::time::UNIX_EPOCH);
    let shop = project(&past.build().unwrap(), "shop");
    assert_eq!(handle(&shop, &delivery("shop")).await, Err(Reply::StaleEvent));
}

#[tokio::test]
async fn draining_covers_dropped_projects() {
    let platform = platform();
    let resume = Arc::new(Notify::new());
    let resumed = resume.clone();
    let delivery = delivery("shop").receive_by(&project(&platform, "shop")).await.unwrap();
    let handler = async move |_| {
        resumed.notified().await;
        200
    };
    drop(delivery.run_to_completion(handler, |&status| status));
    let late = platform.drain(Duration::from_millis(10)).await.unwrap_err();
    assert_eq!(late.running, 1);
    resume.notify_one();
    within_a_minute(platform.drain(Duration::from_secs(30))).await.unwrap();
}

#[tokio::test]
async fn a_project_is_chosen_by_the_head_of_a_delivery_and_of_no_other_request() {
    let platform = platform();
    let (asked, shop) = (Arc::new(AtomicUsize::new(0)), project(&platform, "shop"));
    let counted = asked.clone();
    let projects = Projects::new(&platform, move |head| {
        counted.fetch_add(1, Ordering::SeqCst);
        assert_eq!((head.method(), head.path()), ("POST", "/webhooks/shop"));
        let mut signed = 0;
        head.visit("x-bondify-signature", &mut |_| signed += 1);
        assert_eq!(signed, 1);
        let shop = shop.clone();
        async move { Ok(shop) }
    });
    let (mut head, _) = delivery("shop").to_http("/webhooks/shop?page=1", |body| body).into_parts();
    let chosen = projects.choose(&head).await.unwrap();
    assert_eq!(handle(&chosen, &delivery("shop")).await, Ok(200));
    // The `Bondify` refuses it.
    head.method = http::Method::GET;
    projects.choose(&head).await.unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_choice_that_takes_too_long_is_answered_with_503() {
    let slow = Projects::new(&platform(), |_| pending());
    let start = Instant::now();
    let refused = slow.choose(&delivery("shop")).await.unwrap_err();
    assert_eq!((refused, start.elapsed().as_secs()), (Reply::StoreUnavailable, 5));
}

#[tokio::test]
async fn ten_thousand_projects_leave_no_tasks_behind() {
    let store = ProbeStore::new(MemoryStore::new()); // its calls need a runtime
    let platform = Bondify::builder(secret("platform")).store(store).build().unwrap();
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let (before, delivery) = (tasks(), delivery("any"));
    for id in 0..10_000 {
        let project = platform.for_project(id.to_string(), secret("any"), []);
        assert_eq!(handle(&project, &delivery).await, Ok(200));
    }
    assert_eq!(tasks(), before);
}
