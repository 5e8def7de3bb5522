use anyhow::Context as _;
use clap::Command;
use clap_mangen::Man;

use crate::{exit::Exit, output::Output};

/// Print the man page, e.g. for `bondify man | man -l -`
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The command whose page to print, instead of the page of `bondify` itself
    command: Option<String>,
}

impl Args {
    /// Prints the page of `bondify`, the whole command, or of one of its commands.
    pub(crate) fn run(self, mut bondify: Command, mut output: Output) -> anyhow::Result<Exit> {
        bondify.build();
        let page = match &self.command {
            None => bondify,
            Some(name) => {
                let command = bondify.find_subcommand(name);
                command.with_context(|| format!("unknown command `{name}`"))?.clone()
            }
        };
        let mut roff = Vec::new();
        Man::new(page).render(&mut roff)?;
        output.write(&roff)?;
        Ok(Exit::Success)
    }
}
