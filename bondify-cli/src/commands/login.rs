mod shown;

use bondify_client::{ProofVerifier, SessionStatus};

use self::shown::{Begun, Ended};
use crate::{
    api::{ApiArgs, explained},
    exit::Exit,
    output::Output,
    secret::SecretArgs,
    values,
};

const EXAMPLES: &str = "\
Examples:
  bondify login --project proj_abc123
  bondify login --project proj_local --api-url http://127.0.0.1:4680";

/// Log in through Telegram: show the link and its QR code, wait, and verify the proof
///
/// Succeeds if the user confirms and the webhook secret signed the proof. The project needs its
/// public access enabled.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The project to log in to
    #[arg(long, value_name = "ID", value_parser = values::text)]
    project: String,

    #[command(flatten)]
    api: ApiArgs,

    #[command(flatten)]
    secret: SecretArgs,
}

impl Args {
    pub(crate) async fn run(self, mut output: Output) -> anyhow::Result<Exit> {
        let proofs = ProofVerifier::new(self.secret.secret()?).project(&self.project);
        let sessions = self.api.client()?.sessions(self.project);
        let session = sessions.generate().await.map_err(explained)?;
        output.show(&Begun::new(&session)?)?;
        let ended = match sessions.wait(&session).await.map_err(explained)? {
            SessionStatus::Confirmed(login) | SessionStatus::Used(Some(login)) => {
                match proofs.verify(login.proof()) {
                    Ok(proof) => Ended::proven(&proof, login.proof()),
                    Err(error) => Ended::Unproven { error: error.to_string() },
                }
            }
            SessionStatus::Cancelled { .. } => Ended::Cancelled,
            SessionStatus::Expired => Ended::Expired,
            _ => Ended::Used,
        };
        output.show(&ended)?;
        Ok(matches!(ended, Ended::Confirmed { .. }).into())
    }
}
