use std::{io::Write, process::Command};

use bondify_sqlx::{
    PostgresStore,
    sqlx::{postgres::PgPoolOptions, query},
};
use tempfile::NamedTempFile;
use tokio::runtime;

use super::rates::{LEASE, Outcome, RETENTION, compare, fresh_keys, rate};
use crate::{report::Row, rounds::Plan};

const IN_FLIGHT: usize = 32;
const TABLE: &str = "bondify_bench";

pub(super) fn measure(plan: &Plan, url: &str) -> Outcome<Vec<Row>> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let pool = PgPoolOptions::new()
        .min_connections(IN_FLIGHT as u32)
        .max_connections(IN_FLIGHT as u32)
        .test_before_acquire(false);
    let pool = runtime.block_on(pool.connect(url))?;
    let store = PostgresStore::with_table(pool.clone(), TABLE)?;
    runtime.block_on(store.migrate())?;
    let prepared = store.clone().prepared_statements();

    let calls = plan.choose(10_000, 320);
    let script = script(store.claim_and_complete())?;
    let rate_of = |store| runtime.block_on(rate(store, &fresh_keys(calls), IN_FLIGHT));
    let theirs = || {
        let output = Command::new("pgbench")
            .args(["--no-vacuum", "--protocol=prepared", "--jobs=1"])
            .arg(format!("--client={IN_FLIGHT}"))
            .arg(format!("--transactions={}", calls / IN_FLIGHT))
            .arg("--file")
            .arg(script.path())
            .arg(url)
            .output()?;
        let output = String::from_utf8_lossy(&output.stdout).into_owned();
        let rate = output.lines().find_map(|line| line.strip_prefix("tps = "));
        Ok(rate.and_then(|rate| rate.split(' ').next()).ok_or("no rate")?.parse()?)
    };
    let measure = format!("PostgreSQL, {IN_FLIGHT} in flight / pgbench");
    let rounds = plan.choose(8, 2);
    let engine = compare(rounds, measure, || rate_of(&prepared), theirs);
    let measure = format!("PostgreSQL, {IN_FLIGHT} in flight, as is / prepared statements");
    let pooler = compare(rounds, measure, || rate_of(&store), || rate_of(&prepared));
    runtime.block_on(query("DROP TABLE bondify_bench").execute(&pool))?;
    Ok(vec![engine?.at_least(0.6), pooler?])
}

/// The statements for pgbench, which takes digits for the key's bytes.
fn script(statements: [&str; 2]) -> Outcome<NamedTempFile> {
    let mut file = NamedTempFile::new()?;
    writeln!(file, r"\set key random(1, 9223372036854775807)")?;
    writeln!(file, r"\set token random(1, 9223372036854775807)")?;
    for (statement, duration) in statements.into_iter().zip([LEASE, RETENTION]) {
        let statement = statement.replace("$1", ":key").replace("$2", ":token");
        writeln!(file, "{};", statement.replace("$3", &duration.as_millis().to_string()))?;
    }
    Ok(file)
}
