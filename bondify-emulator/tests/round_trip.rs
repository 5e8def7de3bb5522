//! A login from its session to a receiver of ours.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use axum::{Router, http::StatusCode};
use bondify_axum::{Bondify, BondifyEvent, BondifyExt, Event};
use bondify_emulator::{DeliveryState, Emulator, Persona, ProjectSettings};
use bondify_testkit::within_a_minute;
use tokio::{net::TcpListener, sync::mpsc};

#[tokio::test]
async fn a_confirmation_reaches_the_handler() {
    within_a_minute(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/webhooks/bondify", listener.local_addr().unwrap());
        let settings = ProjectSettings::new().id("proj_shop").webhook_url(url);
        let emulator = Emulator::builder().project(settings).start().await.unwrap();

        let project = emulator.project("proj_shop").unwrap();
        let bondify = Bondify::builder(project.secret().clone()).build().unwrap();
        let (handled, mut events) = mpsc::unbounded_channel();
        let on_event = async move |event: BondifyEvent| {
            handled.send(event.0).unwrap();
            StatusCode::NO_CONTENT
        };
        let app = Router::new().route("/webhooks/bondify", bondify.post(on_event));
        tokio::spawn(async { axum::serve(listener, app).await.unwrap() });

        let session = emulator.generate("proj_shop").unwrap();
        emulator.confirm(&session.token, Persona::default()).unwrap();
        let delivery = emulator.delivery_of(&session.token).await.unwrap();
        assert_eq!(delivery.state, DeliveryState::Delivered, "{delivery:?}");
        let Event::Confirmed(login) = events.recv().await.unwrap() else { panic!("confirmed") };
        assert_eq!(login.session_token(), session.token);
    })
    .await;
}
