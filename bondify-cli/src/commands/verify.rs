mod diagnosis;

use std::fmt::{self, Display};

use bondify_core::{Event, Secret, Signature, Verifier, VerifyError};
use serde::Serialize;

use self::diagnosis::Diagnosis;
use crate::{
    body::BodyArgs,
    exit::Exit,
    output::{BAD, GOOD, Output, Printable},
    secret::SecretArgs,
};

const EXAMPLES: &str = "\
Examples:
  bondify verify --body body.json --signature 4abd2a1e2b5e92f8…
  bondify verify --signature 4abd2a1e2b5e92f8… < body.json";

/// Verify the signature of a body, and show the likely mistake if it is not valid
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The value of the header X-Bondify-Signature
    #[arg(long, value_name = "HEX", allow_hyphen_values = true)]
    signature: String,

    #[command(flatten)]
    body: BodyArgs,

    #[command(flatten)]
    secret: SecretArgs,
}

impl Args {
    pub(crate) fn run(self, mut output: Output) -> anyhow::Result<Exit> {
        let key = self.secret.bytes()?;
        let secret = Secret::new(&*key)?;
        let body = self.body.read()?;
        let signature = self.signature.parse::<Signature>();
        let verified = signature.is_ok_and(|signature| secret.verifies(&body, &signature));
        if verified {
            output.show(&Verified::new(secret, body, self.signature))?;
        } else {
            output.show(&Refused::new(diagnosis::diagnose(&body, &key, &self.signature)))?;
        }
        Ok(verified.into())
    }
}

/// A valid signature, and a note if a receiver would still refuse the event.
#[derive(Serialize)]
struct Verified {
    verified: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

impl Verified {
    fn new(secret: Secret, body: Vec<u8>, signature: String) -> Self {
        let judged = Verifier::new(secret).verify(body, signature);
        Self {
            verified: true,
            event: judged.as_ref().ok().map(Event::name).map(str::to_owned),
            note: judged.err().map(note),
        }
    }
}

fn note(error: VerifyError) -> String {
    format!("a receiver still refuses it: {error}")
}

impl Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{GOOD}verified{GOOD:#}")?;
        if let Some(event) = &self.event {
            write!(f, ": {}", Printable(event))?;
        }
        if let Some(note) = &self.note {
            write!(f, ", but {note}")?;
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct Refused {
    verified: bool,
    #[serde(flatten)]
    diagnosis: Diagnosis,
}

impl Refused {
    fn new(diagnosis: Diagnosis) -> Self {
        Self { verified: false, diagnosis }
    }
}

impl Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Diagnosis { cause, reason } = &self.diagnosis;
        write!(f, "{BAD}not verified{BAD:#}: the {cause} is likely wrong: {reason}")
    }
}
