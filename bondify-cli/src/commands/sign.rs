use std::fmt::{self, Display};

use serde::Serialize;

use crate::{body::BodyArgs, exit::Exit, output::Output, secret::SecretArgs};

const EXAMPLES: &str = "\
Examples:
  bondify sign --body body.json
  bondify sign < body.json";

/// Print the signature of a body, as in the header X-Bondify-Signature
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    body: BodyArgs,

    #[command(flatten)]
    secret: SecretArgs,
}

impl Args {
    pub(crate) fn run(self, mut output: Output) -> anyhow::Result<Exit> {
        let secret = self.secret.secret()?;
        let signature = secret.sign(&self.body.read()?).to_string();
        output.show(&Signed { signature })?;
        Ok(Exit::Success)
    }
}

#[derive(Serialize)]
struct Signed {
    signature: String,
}

impl Display for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.signature)
    }
}
