//! The consumer of a queue, compiled to WebAssembly: verifies deliveries and says
//! who logged in.
//!
//! It depends on `bondify-core` without its default feature, so on no runtime. Each line of the input
//! is a delivery as a function at the edge put it into the queue: the value of the header
//! `X-Bondify-Signature`, a space, and the body as it was received.
//!
//! ```sh
//! scripts/wasm
//! ```
//!
//! compiles it for `wasm32-wasip1` and runs it under Node. A queue delivers more than once: whoever
//! acts on an event stores its key in the same transaction.

use std::io::{self, Write};

use anyhow::Context;
use bondify_core::{Event, Secret, Verifier};

fn main() -> anyhow::Result<()> {
    let secret = Secret::from_env("BONDIFY_WEBHOOK_SECRET")?;
    let verifier = Verifier::new(secret);
    let mut out = io::stdout().lock();
    for delivery in io::stdin().lines() {
        match verify(&verifier, &delivery?) {
            Ok(Event::Confirmed(confirmed)) => {
                writeln!(out, "user {} logged in", confirmed.user().id())?;
            }
            Ok(event) => writeln!(out, "{}", event.name())?,
            Err(error) => writeln!(out, "refused: {error}")?,
        }
    }
    Ok(())
}

fn verify(verifier: &Verifier, delivery: &str) -> anyhow::Result<Event> {
    let (signature, body) = delivery.split_once(' ').context("there is no signature")?;
    Ok(verifier.verify(body.to_owned(), signature)?)
}
