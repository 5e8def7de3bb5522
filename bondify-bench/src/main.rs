//! Measures Bondify for Rust against the parts that it is built on, and against similar libraries.
//!
//! `cargo run --release -p bondify-bench -- all` prints a table for each suite;
//! `BENCHMARKS.md` shows one such run and explains the figures. Every figure is a ratio
//! within one run: the variants take turns, for several rounds.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the output of a program")]
#![cfg_attr(
    not(all(feature = "http", feature = "memory", feature = "peers", feature = "stores")),
    allow(dead_code, reason = "only all suites together use all of it")
)]

#[cfg(any(feature = "http", feature = "stores"))]
mod cores;
mod events;
#[cfg(feature = "http")]
mod http;
mod machine;
#[cfg(feature = "memory")]
mod memory;
mod number;
#[cfg(feature = "peers")]
mod peers;
mod plot;
mod report;
mod rounds;
#[cfg(feature = "memory")]
mod scale;
#[cfg(feature = "stores")]
mod stores;
mod verify;

use std::io;

use clap::{Parser, ValueEnum};

use crate::{report::Report, rounds::Plan};

/// Measures Bondify for Rust against the parts that it is built on, and against similar libraries.
#[derive(Parser)]
struct Arguments {
    /// The suite to measure.
    #[arg(value_enum, default_value = "all")]
    suite: Suite,
    /// Prints one JSON object per row instead of tables.
    #[arg(long)]
    json: bool,
    /// Takes a few short rounds, to test that everything runs. Do not quote the figures.
    #[arg(long)]
    quick: bool,
    /// Writes the run into `BENCHMARKS.md`, and its plots.
    #[arg(long)]
    write: bool,
    /// Measures this framework only, in the HTTP suite.
    #[cfg(feature = "http")]
    #[arg(long)]
    framework: Option<http::Framework>,
    /// Measures this program and others that were built of other versions in turn, in place of the suites:
    /// requests per second, with one bare server for all. Can be given several times.
    #[cfg(feature = "http")]
    #[arg(long, value_name = "PROGRAM")]
    beside: Vec<std::path::PathBuf>,
    /// Runs a server of this framework. For the benchmark's own server processes.
    #[cfg(feature = "http")]
    #[arg(long, hide = true)]
    serve: Option<http::Framework>,
    #[cfg(feature = "http")]
    #[arg(long, hide = true, default_value = "bondify")]
    handler: http::Handler,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Suite {
    /// Signature checks and parsing, against their parts and a naive composition.
    Verify,
    /// The same work in libraries for other webhooks.
    #[cfg(feature = "peers")]
    Peers,
    /// Servers with Bondify attached, against bare ones.
    #[cfg(feature = "http")]
    Http,
    /// The dedupe stores, against their engines.
    #[cfg(feature = "stores")]
    Stores,
    /// The SQL stores, by the number of keys in their tables.
    #[cfg(feature = "stores")]
    Growth,
    /// The in-memory store: its size, its stalls, and moka instead.
    #[cfg(feature = "memory")]
    Memory,
    /// The growth of figures with live keys, running handlers and duplicates.
    #[cfg(feature = "memory")]
    Scale,
    /// All suites.
    All,
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    #[cfg(feature = "http")]
    if let Some(framework) = arguments.serve {
        return http::serve(framework, arguments.handler);
    }
    let plan = if arguments.quick { Plan::QUICK } else { Plan::FULL };
    let mut report = Report::new(arguments.json);
    #[cfg(feature = "http")]
    if !arguments.beside.is_empty() {
        return http::measure_beside(&plan, arguments.framework, &arguments.beside, &mut report);
    }
    let asked_for = |suite| arguments.suite == suite || arguments.suite == Suite::All;

    if asked_for(Suite::Verify) {
        verify::measure(&plan, &mut report);
    }
    #[cfg(feature = "peers")]
    if asked_for(Suite::Peers) {
        peers::measure(&plan, &mut report);
    }
    #[cfg(feature = "http")]
    if asked_for(Suite::Http) {
        http::measure(&plan, arguments.framework, &mut report);
    }
    #[cfg(feature = "stores")]
    if asked_for(Suite::Stores) {
        stores::measure(&plan, &mut report);
    }
    #[cfg(feature = "stores")]
    if asked_for(Suite::Growth) {
        stores::growth::measure(&plan, &mut report);
    }
    #[cfg(feature = "memory")]
    if asked_for(Suite::Memory) {
        memory::measure(&plan, &mut report);
    }
    #[cfg(feature = "memory")]
    if asked_for(Suite::Scale) {
        scale::measure(&plan, &mut report);
    }
    if arguments.write {
        report.write()?;
    }
    Ok(())
}
