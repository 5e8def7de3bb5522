use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_mangen::Man;

use crate::{Exit, cli::Cli, output::Output};

/// Print the man page, e.g. for `bondify man | man -l -`
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The command whose page to print, instead of that of `bondify` itself
    command: Option<String>,
}

impl Args {
    pub(crate) fn run(self, mut output: Output) -> anyhow::Result<Exit> {
        let mut bondify = Cli::command();
        bondify.build();
        let page = match &self.command {
            None => bondify,
            Some(name) => {
                let command = bondify.find_subcommand(name);
                command.with_context(|| format!("there is no command `{name}`"))?.clone()
            }
        };
        let mut roff = Vec::new();
        Man::new(page).render(&mut roff)?;
        output.write(&roff)?;
        Ok(Exit::Yes)
    }
}
