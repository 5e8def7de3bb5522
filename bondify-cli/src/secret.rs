use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    str::Utf8Error,
};

use anyhow::{Context as _, ensure};
use bondify_core::Secret;
use clap::Args;
use zeroize::Zeroizing;

use crate::file;

const SECRET: &str = "BONDIFY_WEBHOOK_SECRET";

/// The options for the webhook secret. They are not `Debug`, and clap must not validate the
/// secret, because clap prints a value that it refuses.
#[derive(Args)]
#[command(next_help_heading = "Secret, else from BONDIFY_WEBHOOK_SECRET")]
pub(crate) struct SecretArgs {
    /// File with the webhook secret; a line end after it is ignored
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,

    /// The webhook secret; visible to everybody who can list this machine's processes
    #[arg(long, conflicts_with = "secret_file")]
    secret: Option<String>,
}

impl SecretArgs {
    /// The secret as a key to sign and verify with.
    pub(crate) fn secret(&self) -> anyhow::Result<Secret> {
        Ok(Secret::new(&*self.bytes()?)?)
    }

    /// The secret's bytes.
    pub(crate) fn bytes(&self) -> anyhow::Result<Zeroizing<Vec<u8>>> {
        self.given()?
            .with_context(|| format!("no secret: set {SECRET}, or use --secret-file or --secret"))
    }

    /// The secret's bytes, if there is one.
    pub(crate) fn given(&self) -> anyhow::Result<Option<Zeroizing<Vec<u8>>>> {
        read(self.secret.as_deref(), self.secret_file.as_deref(), SECRET)
    }
}

const TOKEN: &str = "BONDIFY_DEVELOPER_TOKEN";

/// The options for the token of the developer API.
#[derive(Args)]
#[command(next_help_heading = "Developer token, else from BONDIFY_DEVELOPER_TOKEN")]
pub(crate) struct TokenArgs {
    /// File with the developer token; a line end after it is ignored
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// The developer token; visible to everybody who can list this machine's processes
    #[arg(long, global = true, conflicts_with = "token_file")]
    token: Option<String>,
}

impl TokenArgs {
    pub(crate) fn token(&self) -> anyhow::Result<Zeroizing<String>> {
        let token = self.given()?;
        token.with_context(|| {
            format!("no developer token: set {TOKEN}, or use --token-file or --token")
        })
    }

    /// The token, if there is one.
    pub(crate) fn given(&self) -> anyhow::Result<Option<Zeroizing<String>>> {
        let bytes = read(self.token.as_deref(), self.token_file.as_deref(), TOKEN)?;
        let token = bytes
            .map(|bytes| utf8(&bytes))
            .transpose()
            .context("the developer token is not valid UTF-8")?;
        let is_empty = token.as_ref().is_some_and(|token| token.trim().is_empty());
        ensure!(!is_empty, "the developer token is empty");
        Ok(token)
    }
}

/// Reads a value from the command line, a file or the environment, in this order.
fn read(
    value: Option<&str>,
    file: Option<&Path>,
    variable: &str,
) -> anyhow::Result<Option<Zeroizing<Vec<u8>>>> {
    let bytes = match (value, file) {
        (Some(value), _) => Some(value.into()),
        (None, Some(path)) => Some(without_line_end(file::read(path)?)),
        (None, None) => env::var_os(variable).map(OsString::into_encoded_bytes),
    };
    Ok(bytes.map(Zeroizing::new))
}

pub(crate) fn utf8(bytes: &[u8]) -> Result<Zeroizing<String>, Utf8Error> {
    str::from_utf8(bytes).map(|text| Zeroizing::new(text.to_owned()))
}

/// Removes one line end, which editors and `echo` write at the end of a file.
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
    fn one_line_end_is_ignored() {
        let cases =
            [("a", "a"), ("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("a\r", "a\r"), ("", "")];
        for (content, secret) in cases {
            assert_eq!(without_line_end(content.into()), secret.as_bytes(), "{content:?}");
        }
    }
}
