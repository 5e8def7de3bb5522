//! Measures Bondify for Rust against what it is built on, and against its peers.
//!
//! `cargo run --release -p bondify-bench -- all` prints a table for each suite;
//! `BENCHMARKS.md` shows one such run and says what the figures mean. Every figure is a ratio
//! within one run: the variants take turns, for several rounds.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the output of a program")]
#![cfg_attr(
    not(all(feature = "http", feature = "memory", feature = "peers", feature = "stores")),
    allow(dead_code, reason = "only all suites together need all of it")
)]

mod events;
mod machine;
mod report;
mod rounds;
mod verify;

use clap::{Parser, ValueEnum};

use crate::{report::Report, rounds::Plan};

/// Measures Bondify for Rust against what it is built on, and against its peers.
#[derive(Parser)]
struct Arguments {
    /// What to measure.
    #[arg(value_enum)]
    suite: Suite,
    /// Prints one JSON object per row instead of tables.
    #[arg(long)]
    json: bool,
    /// Takes a few short rounds: shows that everything runs, and no figure worth quoting.
    #[arg(long)]
    quick: bool,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Suite {
    /// Signature checks and parsing, against their parts and a naive composition.
    Verify,
    /// All of them.
    All,
}

fn main() {
    let arguments = Arguments::parse();
    let plan = if arguments.quick { Plan::QUICK } else { Plan::FULL };
    let mut report = Report::new(arguments.json);
    let asked_for = |suite| arguments.suite == suite || arguments.suite == Suite::All;

    if asked_for(Suite::Verify) {
        verify::measure(&plan, &mut report);
    }
}
