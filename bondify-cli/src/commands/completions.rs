use clap::Command;
use clap_complete::{Shell, generate};

use crate::{exit::Exit, output::Output};

const EXAMPLES: &str = "\
Examples:
  bondify completions bash > ~/.local/share/bash-completion/completions/bondify
  bondify completions fish > ~/.config/fish/completions/bondify.fish";

/// Print a shell's completions
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The shell to print them for
    shell: Shell,
}

impl Args {
    /// Prints the completions of `bondify`, the whole command.
    pub(crate) fn run(self, mut bondify: Command, mut output: Output) -> anyhow::Result<Exit> {
        // Into memory first, since `generate` panics if it cannot write.
        let mut script = Vec::new();
        generate(self.shell, &mut bondify, "bondify", &mut script);
        output.write(&script)?;
        Ok(Exit::Success)
    }
}
