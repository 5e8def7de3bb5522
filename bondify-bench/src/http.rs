//! Servers with Bondify attached, with the full semantics on fresh signed events, against a bare
//! handler of the same framework that reads the body and answers 200. Each server is a separate process
//! on the first core; the load generator is this process, on the second core.

mod express;
mod load;
mod process;
mod server;
mod wrk;

use std::{io, path::PathBuf, time::Duration};

pub(crate) use self::server::{Framework, Handler, serve};
use self::{
    load::{Load, Turn},
    process::Server,
};
use crate::{
    report::{Report, Row, skipped},
    rounds::{Plan, Variant, interleave, median},
};

pub(crate) fn measure(plan: &Plan, only: Option<Framework>, report: &mut Report) {
    let load = match Load::new(plan.choose(32, 4), plan.choose(2.0, 0.1)) {
        Ok(load) => load,
        Err(error) => return skipped("http", &error),
    };
    let rounds = plan.choose(8, 2);
    let mut rows = Vec::new();
    for framework in Framework::ALL {
        if only.is_some_and(|only| only != framework) {
            continue;
        }
        match against_bare(rounds, &load, framework) {
            Ok(measured) => rows.extend(measured),
            Err(error) => skipped(framework.name(), &error),
        }
    }
    if only.is_some() {
        return report.suite("http", &rows);
    }
    match against_express(rounds, &load) {
        Ok(row) => rows.push(row),
        Err(error) => skipped("Express", &error),
    }
    match against_wrk(rounds, &load) {
        Ok(row) => rows.push(row),
        Err(error) => skipped("wrk", &error),
    }
    report.suite("http", &rows);
}

/// Lets this program and others take turns.
pub(crate) fn measure_beside(
    plan: &Plan,
    only: Option<Framework>,
    programs: &[PathBuf],
    report: &mut Report,
) -> io::Result<()> {
    let load = Load::new(plan.choose(32, 4), plan.choose(0.5, 0.1))?;
    let mut rows = Vec::new();
    for framework in Framework::ALL {
        if only.is_none_or(|only| only == framework) {
            rows.extend(beside(plan.choose(24, 2), &load, framework, programs)?);
        }
    }
    report.suite("http, beside other versions", &rows);
    Ok(())
}

fn beside(
    rounds: usize,
    load: &Load,
    framework: Framework,
    programs: &[PathBuf],
) -> io::Result<Vec<Row>> {
    let bare = Server::of(framework, Handler::Bare)?;
    let this = Server::of(framework, Handler::Bondify)?;
    let others = programs.iter();
    let others = others.map(|program| Server::of_program(program, framework, Handler::Bondify));
    let others: Vec<Server> = others.collect::<io::Result<_>>()?;
    let servers: Vec<&Server> = [&bare, &this].into_iter().chain(&others).collect();
    let turns = compare(rounds, load, &servers);
    let rates: Vec<Vec<f64>> = turns.iter().map(|turns| rates(turns)).collect();
    let [bare, this, others @ ..] = rates.as_slice() else { return Ok(Vec::new()) };
    let name = framework.name();
    let mut rows = vec![Row::ratio(format!("{name}: requests/s / bare"), this, bare)];
    for (program, rate) in programs.iter().zip(others) {
        let program = program.display();
        rows.push(Row::ratio(format!("{name}: requests/s of {program} / bare"), rate, bare));
        rows.push(Row::ratio(format!("{name}: requests/s / {program}"), this, rate));
    }
    Ok(rows)
}

fn against_bare(rounds: usize, load: &Load, framework: Framework) -> io::Result<[Row; 3]> {
    let bondify = Server::of(framework, Handler::Bondify)?;
    let bare = Server::of(framework, Handler::Bare)?;
    let [bondify, bare] = compare_two(rounds, load, [&bondify, &bare]);
    let row = |what: &str, of: fn(&Turn) -> f64| {
        let (bondify, bare) = (figures(&bondify, of), figures(&bare, of));
        let (ours, theirs) = (median(&bondify), median(&bare));
        (Row::ratio(format!("{}: {what}", framework.name()), &bondify, &bare), ours, theirs)
    };
    let (rate, ours, theirs) = row("requests/s / bare", |turn| turn.rate);
    let busy = 100.0 * median(&figures(&bare, |turn| turn.busy));
    let rate = rate.at_least(0.80).detail(format!(
        "{ours:.0}/s / {theirs:.0}/s; bare, the server has {busy:.0} % of its core"
    ));
    let (cpu, ours, theirs) = row("CPU time per request / bare", |turn| turn.cpu);
    let cpu = cpu.at_most(1.25).detail(format!("{ours:.2} µs / {theirs:.2} µs"));
    let (p99, ours, theirs) = row("p99 latency / bare", |turn| turn.p99);
    let p99 = p99.at_most(1.3).detail(format!("{ours:.0} µs / {theirs:.0} µs"));
    Ok([rate, cpu, p99])
}

fn against_express(rounds: usize, load: &Load) -> io::Result<Row> {
    let (axum, express) = (Server::of(Framework::Axum, Handler::Bondify)?, express::start()?);
    let [ours, theirs] = compare_two(rounds, load, [&axum, &express.server]);
    let (ours, theirs) = (rates(&ours), rates(&theirs));
    let row = Row::ratio("axum with Bondify / Express with the SDK's algorithm", &ours, &theirs);
    let (ours, theirs) = (median(&ours), median(&theirs));
    Ok(row.at_least(12.0).detail(format!("{ours:.0}/s / {theirs:.0}/s")))
}

/// Compares the load generator with `wrk`.
fn against_wrk(rounds: usize, load: &Load) -> io::Result<Row> {
    let server = Server::of(Framework::Axum, Handler::Bare)?;
    let script = wrk::script()?;
    wrk::rate(load, &server, script.path())?;
    let variants: &mut [Variant<'_, f64>] = &mut [
        Box::new(|| load.turn(&server).rate),
        Box::new(|| wrk::rate(load, &server, script.path()).unwrap_or(f64::NAN)),
    ];
    let samples = interleave(rounds, variants);
    let (ours, theirs) = (median(&samples[0]), median(&samples[1]));
    Ok(Row::ratio("bare axum: requests/s by our load generator / wrk", &samples[0], &samples[1])
        .detail(format!("{ours:.0}/s / {theirs:.0}/s")))
}

fn compare_two(rounds: usize, load: &Load, servers: [&Server; 2]) -> [Vec<Turn>; 2] {
    let mut turns = compare(rounds, load, &servers).into_iter();
    [turns.next().unwrap_or_default(), turns.next().unwrap_or_default()]
}

/// Puts load on servers in turn.
fn compare(rounds: usize, load: &Load, servers: &[&Server]) -> Vec<Vec<Turn>> {
    for server in servers {
        load.lasting(Duration::from_millis(500)).turn(server); // warm-up
    }
    let turns =
        servers.iter().map(|server| -> Variant<'_, Turn> { Box::new(|| load.turn(server)) });
    interleave(rounds, &mut turns.collect::<Vec<_>>())
}

fn rates(turns: &[Turn]) -> Vec<f64> {
    figures(turns, |turn| turn.rate)
}

fn figures(turns: &[Turn], of: fn(&Turn) -> f64) -> Vec<f64> {
    turns.iter().map(of).collect()
}
