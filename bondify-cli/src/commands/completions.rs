use clap::CommandFactory as _;
use clap_complete::{Shell, generate};

use crate::{Exit, cli::Cli, output::Output};

/// Print a shell's completions
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The shell to print them for
    shell: Shell,
}

impl Args {
    pub(crate) fn run(self, mut output: Output) -> anyhow::Result<Exit> {
        // Into memory first, since `generate` panics if it cannot write.
        let mut script = Vec::new();
        generate(self.shell, &mut Cli::command(), "bondify", &mut script);
        output.write(&script)?;
        Ok(Exit::Yes)
    }
}
