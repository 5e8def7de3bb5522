use std::{env, fs, path::PathBuf};

use anyhow::Context as _;
use bondify_core::Secret;
use clap::Args;
use zeroize::Zeroizing;

const VARIABLE: &str = "BONDIFY_WEBHOOK_SECRET";

/// Where the webhook secret comes from. Not `Debug`, and clap is never to judge the
/// secret itself: it repeats a value that it refuses.
#[derive(Args)]
#[command(next_help_heading = "Secret, else from BONDIFY_WEBHOOK_SECRET")]
pub(crate) struct SecretArgs {
    /// File that holds the webhook secret; a line end after it does not count
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,

    /// The webhook secret; whoever may list this machine's processes can read it there
    #[arg(long, conflicts_with = "secret_file")]
    secret: Option<String>,
}

impl SecretArgs {
    /// The secret, ready to sign and verify.
    pub(crate) fn secret(&self) -> anyhow::Result<Secret> {
        Ok(Secret::new(&*self.bytes()?)?)
    }

    /// The secret's bytes.
    pub(crate) fn bytes(&self) -> anyhow::Result<Zeroizing<Vec<u8>>> {
        let bytes = if let Some(secret) = &self.secret {
            secret.clone().into_bytes()
        } else if let Some(path) = &self.secret_file {
            let content = fs::read(path)
                .with_context(|| format!("cannot read the secret from {}", path.display()))?;
            without_line_end(content)
        } else {
            env::var_os(VARIABLE)
                .with_context(|| {
                    format!("no secret: set {VARIABLE}, or use --secret-file or --secret")
                })?
                .into_encoded_bytes()
        };
        Ok(Zeroizing::new(bytes))
    }
}

/// Editors and `echo` end a file with one.
fn without_line_end(mut content: Vec<u8>) -> Vec<u8> {
    if content.ends_with(b"\n") {
        content.pop();
        if content.ends_with(b"\r") {
            content.pop();
        }
    }
    content
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_end_does_not_count() {
        let cases =
            [("a", "a"), ("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("a\r", "a\r"), ("", "")];
        for (content, secret) in cases {
            assert_eq!(without_line_end(content.into()), secret.as_bytes(), "{content:?}");
        }
    }
}
