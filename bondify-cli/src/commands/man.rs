use std::{
    fmt::{self, Display},
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::{
    Command,
    builder::{PossibleValuesParser, TypedValueParser},
};
use clap_mangen::Man;
use serde::Serialize;

use crate::{exit::Exit, output::Output};

const EXAMPLES: &str = "\
Examples:
  bondify man | man -l -
  bondify man trigger | man -l -
  bondify man --install ~/.local/share/man/man1";

/// Print a man page, e.g. for `bondify man | man -l -`, or install all of them
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The command whose page to print, instead of the page of `bondify` itself
    #[arg(conflicts_with = "install")]
    command: Option<String>,

    /// Write all pages to this folder, e.g. ~/.local/share/man/man1
    #[arg(long, value_name = "FOLDER")]
    install: Option<PathBuf>,
}

/// Adds the names of all pages to the argument of `bondify man`, for errors and completions.
pub(crate) fn with_names(bondify: Command) -> Command {
    let mut built = without_help(bondify.clone());
    built.build();
    let names: Vec<_> = pages(&built).into_iter().filter_map(|page| short(&page)).collect();
    bondify.mut_subcommand("man", |man| {
        man.mut_arg("command", |arg| {
            arg.value_parser(PossibleValuesParser::new(names).map(String::from))
                .hide_possible_values(true)
        })
    })
}

impl Args {
    /// Prints the page of `bondify`, the whole command, or of one of its commands; or writes all.
    pub(crate) fn run(self, bondify: Command, mut output: Output) -> anyhow::Result<Exit> {
        let mut bondify = without_help(bondify);
        bondify.build();
        let pages = pages(&bondify);
        if let Some(folder) = &self.install {
            let installed = install(&pages, folder)
                .with_context(|| format!("cannot write to {}", folder.display()))?;
            output.show(&installed)?;
            return Ok(Exit::Success);
        }
        let wanted = |page: &Command| short(page) == self.command;
        let page = pages.into_iter().find(wanted).context("there is no such page")?;
        output.write(&render(&page)?)?;
        Ok(Exit::Success)
    }
}

/// The command and all commands below it, each named like its page: `bondify-projects-list`.
fn pages(command: &Command) -> Vec<Command> {
    let mut pages = vec![command.clone()];
    for below in command.get_subcommands() {
        pages.extend(self::pages(below));
    }
    pages
}

/// The command without `help`, which has no page.
fn without_help(command: Command) -> Command {
    command.disable_help_subcommand(true).mut_subcommands(without_help)
}

/// The name of the page without `bondify-`; `None` for the page of `bondify`.
fn short(page: &Command) -> Option<String> {
    page.get_display_name()?.strip_prefix("bondify-").map(str::to_owned)
}

fn render(page: &Command) -> std::io::Result<Vec<u8>> {
    let mut roff = Vec::new();
    Man::new(page.clone()).render(&mut roff)?;
    Ok(roff)
}

fn install(pages: &[Command], folder: &Path) -> std::io::Result<Installed> {
    fs::create_dir_all(folder)?;
    for page in pages {
        let name = page.get_display_name().unwrap_or("bondify");
        fs::write(folder.join(format!("{name}.1")), render(page)?)?;
    }
    Ok(Installed { installed: pages.len(), folder: folder.to_owned() })
}

#[derive(Serialize)]
struct Installed {
    installed: usize,
    folder: PathBuf,
}

impl Display for Installed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} pages written to {}", self.installed, self.folder.display())
    }
}
