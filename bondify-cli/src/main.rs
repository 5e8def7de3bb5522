#![doc = include_str!("../README.md")]

mod api;
mod body;
mod cli;
mod commands;
mod emulator_api;
mod exit;
mod file;
mod host;
mod http;
mod interrupt;
mod outcome;
mod output;
mod progress;
mod secret;
mod tls;
mod values;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use crate::{cli::Cli, exit::Exit, output::BAD};

#[tokio::main]
async fn main() -> ExitCode {
    let exit = match Cli::from_command_line().run().await {
        Ok(exit) => exit,
        Err(error) if is_broken_pipe(&error) => Exit::BrokenPipe,
        Err(error) => {
            // A write to a closed standard error is ignored: there is no other output.
            let _ = writeln!(anstream::stderr(), "{BAD}error:{BAD:#} {error:#}");
            Exit::Error
        }
    };
    ExitCode::from(exit as u8)
}

/// Whether the reader of standard output closed it.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
