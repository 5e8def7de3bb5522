#![doc = include_str!("../README.md")]

mod api;
mod body;
mod cli;
mod commands;
mod http;
mod interrupt;
mod outcome;
mod output;
mod payload;
mod secret;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Parser as _;

use crate::{cli::Cli, output::BAD};

#[tokio::main]
async fn main() -> ExitCode {
    let exit = match Cli::parse().run().await {
        Ok(exit) => exit,
        Err(error) if is_broken_pipe(&error) => Exit::BrokenPipe,
        Err(error) => {
            // Nobody is left to tell if standard error is closed as well.
            let _ = writeln!(anstream::stderr(), "{BAD}error:{BAD:#} {error:#}");
            Exit::Trouble
        }
    };
    ExitCode::from(exit as u8)
}

/// How the command ends; `--help` and the README say the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    Yes = 0,
    No = 1,
    Trouble = 2,
    Interrupted = 130,
    BrokenPipe = 141,
}

impl From<bool> for Exit {
    fn from(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }
}

/// Whoever read standard output has seen enough.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
