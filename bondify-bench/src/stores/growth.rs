//! The growth of the SQL stores: calls on a table of many keys, and beside a purge, against calls
//! on an empty table of the same engine.

mod tables;

use std::{
    thread,
    time::{Duration, Instant},
};

use self::tables::{MariaDb, PostgreSql, Sqlite, Table, Tables};
use super::{
    engines::Engines,
    rates::{LEASE, Outcome, RETENTION, fresh_keys},
};
use crate::{
    plot::{Line, Plot},
    report::{Report, Row, Unit, skipped},
    rounds::{Plan, Spread, Variant, interleave, median, quantile},
};

pub(crate) fn measure(plan: &Plan, report: &mut Report) {
    let sizes = plan.choose(&[10_000, 1_000_000, 10_000_000][..], &[1_000, 10_000]);
    let mut rows = Vec::new();
    let mut curves = Vec::new();
    let mut add = |name, measured: Outcome<(Vec<Row>, Vec<f64>)>| match measured {
        Ok((measured, curve)) => {
            rows.extend(measured);
            curves.push(Line { name, values: curve });
        }
        Err(error) => skipped(name, &error),
    };
    match Engines::start() {
        Ok(engines) => {
            add("PostgreSQL", growth::<PostgreSql>(plan, &engines.postgres, sizes));
            add("MariaDB", growth::<MariaDb>(plan, &engines.mariadb, sizes));
        }
        Err(error) => skipped("PostgreSQL and MariaDB", &error),
    }
    add("SQLite", sqlite(plan, sizes));
    report.suite("growth", &rows);
    let plot = Plot {
        title: "p99 of claim and complete against an empty table, by keys in the table".to_owned(),
        steps: sizes.iter().map(u64::to_string).collect(),
        lines: curves,
    };
    report.plot("growth", &plot);
}

fn sqlite(plan: &Plan, sizes: &[u64]) -> Outcome<(Vec<Row>, Vec<f64>)> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("events.db");
    growth::<Sqlite>(plan, &file.to_string_lossy(), sizes)
}

/// The rows of an engine, and the ratio at each size.
fn growth<T: Tables>(plan: &Plan, url: &str, sizes: &[u64]) -> Outcome<(Vec<Row>, Vec<f64>)> {
    let tables = T::connect(url)?;
    let mut rows = Vec::new();
    let mut curve = Vec::new();
    for &size in sizes {
        let full = tables.create("bondify_full")?;
        let bytes_before = full.bytes()?;
        full.fill(size, Expiry::Later)?;
        let bytes = (full.bytes()? - bytes_before) / size as f64;
        let ratio = p99_against_empty(plan, &tables, &full)?;
        let measure = format!("{}: p99 of claim and complete, {size} keys / 0", T::NAME);
        let row = Row::ratio(measure, &ratio[0], &ratio[1]).at_most(1.5);
        rows.push(row.detail(micros(&ratio)));
        let measure = format!("{}: bytes per key at {size} keys", T::NAME);
        rows.push(Row::new(measure, Unit::Bytes, Spread::exactly(bytes)));
        curve.push(Spread::ratio(&ratio[0], &ratio[1]).median);
        full.remove()?;
    }
    rows.push(beside_a_purge(plan, &tables)?);
    Ok((rows, curve))
}

/// The p99 of each round, in microseconds: on the full table, and on an empty one.
fn p99_against_empty<T: Tables>(
    plan: &Plan,
    tables: &T,
    full: &T::Table,
) -> Outcome<[Vec<f64>; 2]> {
    let empty = tables.create("bondify_empty")?;
    let calls = plan.choose(2000, 100);
    let turn = |table: &'_ T::Table| p99(&mut times(table, calls)?);
    turn(full)?; // to warm up
    let variants: &mut [Variant<'_, Outcome<f64>>] =
        &mut [Box::new(|| turn(full)), Box::new(|| turn(&empty))];
    let samples = interleave(plan.choose(8, 2), variants);
    empty.remove()?;
    let [full, empty] = samples.try_into().map_err(|_| "two variants have two samples")?;
    Ok([full.into_iter().collect::<Outcome<_>>()?, empty.into_iter().collect::<Outcome<_>>()?])
}

fn beside_a_purge<T: Tables>(plan: &Plan, tables: &T) -> Outcome<Row> {
    let expired = plan.choose(1_000_000, 10_000);
    let calls = plan.choose(2000, 100);
    let table = tables.create("bondify_purged")?;
    let mut samples = [Vec::new(), Vec::new()];
    for _ in 0..plan.choose(3, 1) {
        samples[1].push(p99(&mut times(&table, calls)?)?);
        table.fill(expired, Expiry::Past)?;
        samples[0].push(thread::scope(|scope| {
            let purge = scope.spawn(|| table.purge().map_err(|error| error.to_string()));
            let mut beside = Vec::new();
            while !purge.is_finished() {
                beside.extend(times(&table, 10)?);
            }
            purge.join().map_err(|_| "the purge panicked")??;
            p99(&mut beside)
        })?);
    }
    table.remove()?;
    let measure = format!("{}: the same beside a purge of {expired} rows / 0", T::NAME);
    Ok(Row::ratio(measure, &samples[0], &samples[1]).at_most(2.0).detail(micros(&samples)))
}

/// The times of claiming and completing fresh keys, one after another.
fn times(table: &impl Table, calls: usize) -> Outcome<Vec<Duration>> {
    let time = |key| {
        let start = Instant::now();
        table.claim_and_complete(key, LEASE, RETENTION)?;
        Ok(start.elapsed())
    };
    fresh_keys(calls).iter().map(time).collect()
}

fn p99(times: &mut [Duration]) -> Outcome<f64> {
    if times.is_empty() {
        return Err("nothing was measured".into());
    }
    times.sort();
    let micros: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1e6).collect();
    Ok(quantile(&micros, 0.99))
}

fn micros([of, by]: &[Vec<f64>; 2]) -> String {
    format!("{:.0} µs / {:.0} µs", median(of), median(by))
}

/// The expiry of rows that a table is filled with.
#[derive(Clone, Copy)]
enum Expiry {
    Past,
    Later,
}
