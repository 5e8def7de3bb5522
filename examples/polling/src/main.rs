//! A login without a webhook: shows the link into Telegram, as text and as a QR code, waits
//! until the user has decided, and prints who logged in.
//!
//! Run it with `BONDIFY_PROJECT_ID=proj_… cargo run -p example-polling`. With
//! `BONDIFY_WEBHOOK_SECRET=whsec_…` as well, the proof is verified and its claims are printed.
//! `BONDIFY_API_URL` is `https://api.bondify.dev` unless set.

#![expect(clippy::print_stdout, reason = "the output of a program")]

use std::env;

use bondify_client::{Client, ConfirmedSession, ProofVerifier, Secret, SecretError, SessionStatus};
use example_support::usage;
use qrcode::{QrCode, render::unicode::Dense1x2};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let project_id = env::var("BONDIFY_PROJECT_ID")
        .unwrap_or_else(|_| usage("the environment variable BONDIFY_PROJECT_ID is not set"));
    let proofs = match Secret::from_env("BONDIFY_WEBHOOK_SECRET") {
        Ok(secret) => Some(ProofVerifier::new(secret).project(&project_id)),
        Err(SecretError::Unset(_)) => None,
        Err(error) => usage(error),
    };
    let url = env::var("BONDIFY_API_URL").unwrap_or_else(|_| Client::DEFAULT_BASE_URL.to_owned());
    let client = Client::builder().base_url(url).build().unwrap_or_else(usage);
    let sessions = client.sessions(project_id);

    let session = sessions.generate().await?;
    println!("{}", qr_code(session.deeplink())?);
    println!("To log in, scan this or open {}", session.deeplink());

    match sessions.wait(&session).await? {
        // The session is `used` if the first answer with the proof was lost.
        SessionStatus::Confirmed(login) | SessionStatus::Used(Some(login)) => {
            greet(&login, proofs)?
        }
        SessionStatus::Cancelled { .. } => println!("cancelled"),
        SessionStatus::Expired => println!("expired"),
        _ => println!("this login was completed before"),
    }
    Ok(())
}

fn greet(login: &ConfirmedSession, proofs: Option<ProofVerifier>) -> anyhow::Result<()> {
    let (name, id) = (login.user().name(), login.user().id());
    match proofs {
        Some(proofs) => {
            let proof = proofs.verify(login.proof())?;
            let (name, id) = (proof.user().name(), proof.user().id());
            println!("{name:?} logged in, user {id}; the proof is valid");
        }
        None => println!("{name:?} logged in, user {id}; the proof was not verified"),
    }
    Ok(())
}

/// Draws the code for a terminal with light text on a dark background.
fn qr_code(text: &str) -> anyhow::Result<String> {
    let code = QrCode::new(text)?;
    let mut picture = code.render::<Dense1x2>();
    Ok(picture.dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build())
}
