//! The dedupe stores against their engines: claim and complete, against the same commands in the
//! engine's own benchmark. Engines run on the first core, everything else
//! on the second.

mod engines;
pub(crate) mod growth;
mod postgres;
mod rates;
mod redis;
mod sqlite;

use self::{engines::Engines, rates::Outcome};
use crate::{
    report::{Report, Row, skipped},
    rounds::Plan,
};

pub(crate) fn measure(plan: &Plan, report: &mut Report) {
    let mut rows = Vec::new();
    match Engines::start() {
        Ok(engines) => {
            add(&mut rows, "Redis", redis::measure(plan, &engines.redis));
            add(&mut rows, "PostgreSQL", postgres::measure(plan, &engines.postgres));
        }
        Err(error) => skipped("Redis and PostgreSQL", &error),
    }
    add(&mut rows, "SQLite", sqlite::measure(plan));
    report.suite("stores", &rows);
}

fn add(rows: &mut Vec<Row>, engine: &str, measured: Outcome<Vec<Row>>) {
    match measured {
        Ok(measured) => rows.extend(measured),
        Err(error) => skipped(engine, &error),
    }
}
