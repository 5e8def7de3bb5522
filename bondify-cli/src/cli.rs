use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::{
    commands::{
        analytics, catch_up, completions, deliveries, doctor, emulate, listen, login, man, me,
        projects, resend, sessions, sign, trigger, verify,
    },
    exit::Exit,
    output::Output,
};

/// Develop and test Bondify webhooks from the command line.
#[derive(Parser)]
#[command(name = "bondify", version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    /// Print results as JSON, one object a line
    #[arg(long, global = true)]
    json: bool,

    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0    done: every answer was 2xx, the signature is valid, the login is confirmed
  1    an answer was not 2xx, the signature is not valid, the login is not confirmed
  2    an error: wrong usage, no secret, an unreadable file, a port in use, an API that
       refuses
  130  interrupted before the end
  141  standard output was closed

Environment:
  BONDIFY_WEBHOOK_SECRET   the webhook secret, unless --secret or --secret-file is given
  BONDIFY_DEVELOPER_TOKEN  the developer token, unless --token or --token-file is given
  BONDIFY_API_URL          the API's base URL, unless --api-url is given
  NO_COLOR                 no colours, on a terminal either

Examples:
  bondify emulate --webhook-url http://127.0.0.1:3000/webhooks/bondify
  bondify trigger auth.confirmed --url http://127.0.0.1:3000/webhooks/bondify";

#[derive(Subcommand)]
enum Command {
    Emulate(emulate::Args),
    Trigger(trigger::Args),
    Listen(listen::Args),
    Sign(sign::Args),
    Verify(verify::Args),
    Doctor(doctor::Args),
    Login(login::Args),
    Me(me::Args),
    Projects(projects::Args),
    Sessions(sessions::Args),
    Analytics(analytics::Args),
    CatchUp(catch_up::Args),
    Deliveries(deliveries::Args),
    Resend(resend::Args),
    Completions(completions::Args),
    Man(man::Args),
}

impl Cli {
    /// Parses the command line, or ends the process with an error or the help.
    pub(crate) fn from_command_line() -> Self {
        let matches = Self::complete().get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }

    /// The whole command.
    fn complete() -> clap::Command {
        man::with_names(Self::command())
    }

    pub(crate) async fn run(self) -> anyhow::Result<Exit> {
        let output = Output::new(self.json);
        match self.command {
            Command::Emulate(args) => args.run(output).await,
            Command::Trigger(args) => args.run(output).await,
            Command::Listen(args) => args.run(output).await,
            Command::Sign(args) => args.run(output),
            Command::Verify(args) => args.run(output),
            Command::Doctor(args) => args.run(output).await,
            Command::Login(args) => args.run(output).await,
            Command::Me(args) => args.run(output).await,
            Command::Projects(args) => args.run(output).await,
            Command::Sessions(args) => args.run(output).await,
            Command::Analytics(args) => args.run(output).await,
            Command::CatchUp(args) => args.run(output).await,
            Command::Deliveries(args) => args.run(output).await,
            Command::Resend(args) => args.run(output).await,
            Command::Completions(args) => args.run(Self::complete(), output),
            Command::Man(args) => args.run(Self::complete(), output),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_of_each_command_has_an_example() {
        fn check(command: &clap::Command) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let name = command.get_name();
            assert!(help.contains("Examples:\n  bondify"), "{name}: {help}");
            let commands = command.get_subcommands().filter(|command| command.get_name() != "help");
            commands.for_each(check);
        }
        check(&Cli::complete());
    }

    #[test]
    fn the_arguments_do_not_contradict_each_other() {
        Cli::complete().debug_assert();
    }
}
