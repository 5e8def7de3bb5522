use std::fmt::{self, Display};

use bondify_client::Account;
use serde::Serialize;

use crate::{
    api::{DeveloperArgs, explained},
    exit::Exit,
    output::{BAD, Output, Printable, rfc3339},
};

const EXAMPLES: &str = "\
Examples:
  bondify me
  bondify me --json";

/// Show the account that the developer token belongs to
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    api: DeveloperArgs,
}

impl Args {
    pub(crate) async fn run(self, mut output: Output) -> anyhow::Result<Exit> {
        let developer = self.api.developer()?;
        let account = developer.me().await.map_err(explained)?;
        output.show(&Shown::from(account))?;
        Ok(Exit::Success)
    }
}

#[derive(Serialize)]
struct Shown {
    developer_id: String,
    email: Option<String>,
    plan: Option<String>,
    mau: Option<Users>,
    /// RFC 3339.
    created_at: Option<String>,
}

/// The users of this month.
#[derive(Serialize)]
struct Users {
    current: u64,
    limit: Option<u64>,
    over: bool,
}

impl From<Account> for Shown {
    fn from(account: Account) -> Self {
        let Account { developer_id, email, plan, mau, created_at, .. } = account;
        let mau = mau.map(|mau| Users { current: mau.current, limit: mau.limit, over: mau.over });
        let created_at = created_at.map(rfc3339);
        Self { developer_id, email, plan, mau, created_at }
    }
}

impl Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { developer_id, email, plan, mau, .. } = self;
        write!(f, "{}", Printable(developer_id))?;
        if let Some(email) = email {
            write!(f, "  {}", Printable(email))?;
        }
        if let Some(plan) = plan {
            write!(f, "\nplan: {}", Printable(plan))?;
        }
        let Some(Users { current, limit, over }) = mau else { return Ok(()) };
        write!(f, "\nusers this month: {current}")?;
        if let Some(limit) = limit {
            write!(f, " of {limit}")?;
        }
        if *over { write!(f, ", {BAD}over the limit{BAD:#}") } else { Ok(()) }
    }
}
