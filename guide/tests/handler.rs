//! The page's test of a handler.

use axum::{Router, body::Body, http::StatusCode};
use bondify_axum::{Bondify, BondifyEvent, BondifyExt, Secret};
use bondify_testkit::Payload;
use tower::ServiceExt;

#[tokio::test]
async fn a_login_is_welcomed_once() -> anyhow::Result<()> {
    let secret = Secret::new("whsec_test")?;
    let bondify = Bondify::builder(secret.clone()).build()?;
    let on_event = async |_event: BondifyEvent| StatusCode::NO_CONTENT;
    let app = Router::new().route("/webhooks/bondify", bondify.post(on_event));

    let delivery = Payload::confirmed().telegram_id("7123456789").signed_with(&secret);
    let send = async |request: &bondify_testkit::WebhookRequest| {
        let request = request.to_http("/webhooks/bondify", Body::from);
        app.clone().oneshot(request).await.map(|response| response.status())
    };
    assert_eq!(send(&delivery).await?, StatusCode::NO_CONTENT);
    assert_eq!(send(&delivery).await?, StatusCode::OK); // a duplicate
    assert_eq!(send(&delivery.clone().tampered()).await?, StatusCode::UNAUTHORIZED);
    Ok(())
}
