//! A webhook on AWS Lambda: takes Bondify's deliveries at `POST /webhooks/bondify` of a function URL or an HTTP API,
//! and prints a line for each event it handles.
//!
//! The function needs the environment variable `BONDIFY_WEBHOOK_SECRET`, and the table of `example-dynamodb`. Behind
//! an HTTP API whose stage is not `$default`, it needs `AWS_LAMBDA_HTTP_IGNORE_STAGE_IN_PATH=true`, too.
//! `scripts/places` tests it without an account.

#![expect(clippy::print_stdout, reason = "the output of a program")]

use axum::{Router, http::StatusCode};
use bondify_axum::{Bondify, BondifyEvent, BondifyExt, Secret};
use example_dynamodb::DynamoStore;
use lambda_http::{Error, tracing};
use on_lambda::on_lambda;

#[tokio::main]
async fn main() -> Result<(), Error> {
    tracing::init_default_subscriber();
    let config = aws_config::load_from_env().await;
    let secret = Secret::from_env("BONDIFY_WEBHOOK_SECRET")?;
    let store = DynamoStore::new(&config, "bondify_events");
    let bondify = Bondify::builder(secret).store(store).build()?;
    let routes = Router::new().route("/webhooks/bondify", bondify.post(on_event));
    lambda_http::run(on_lambda(&bondify, routes)?).await
}

async fn on_event(event: BondifyEvent) -> StatusCode {
    // Upsert the user here, and await everything that the event causes: what is spawned is frozen.
    println!("handled {event}");
    StatusCode::NO_CONTENT
}
