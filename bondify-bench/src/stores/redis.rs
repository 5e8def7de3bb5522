use std::process::Command;

use bondify_redis::{
    RedisStore,
    redis::{self, Client, aio::MultiplexedConnection, cmd},
};
use futures_util::StreamExt;
use tokio::runtime;

use super::rates::{Outcome, compare, fresh_keys, rate};
use crate::{report::Row, rounds::Plan};

pub(super) fn measure(plan: &Plan, url: &str) -> Outcome<Vec<Row>> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let client = Client::open(url)?;
    let connection = runtime.block_on(client.get_multiplexed_async_connection())?;
    let store = RedisStore::open(client.clone());
    let commands = runtime.block_on(Commands::recorded(&client, &store))?;

    let row = |in_flight: usize, calls: usize| {
        let ours = || runtime.block_on(rate(&store, &fresh_keys(calls), in_flight));
        let theirs = || {
            let claims =
                commands.rate(url, &commands.claim, in_flight, calls, u32::MAX as usize)?;
            runtime.block_on(commands.hold(connection.clone(), 4 * calls))?;
            let completes = commands.rate(url, &commands.complete, in_flight, calls, 4 * calls)?;
            Ok(1.0 / (1.0 / claims + 1.0 / completes))
        };
        let measure = format!("Redis, {in_flight} in flight / redis-benchmark");
        Ok(compare(plan.choose(8, 2), measure, ours, theirs)?.at_least(0.8))
    };
    let calls = |full| plan.choose(full, 1000);
    [row(1, calls(20_000)), row(64, calls(100_000))].into_iter().collect()
}

/// The commands that the store sends for one event, with another key and token.
struct Commands {
    prefix: String,
    claim: Vec<String>,
    complete: Vec<String>,
}

/// The same eight bytes, printable.
const TOKEN: &str = "-token-!";
const DIGITS: usize = 12;

impl Commands {
    async fn recorded(client: &Client, store: &RedisStore) -> Outcome<Self> {
        rate(store, &fresh_keys(1), 1).await?; // loads the script into Redis
        let monitor = client.get_async_monitor().await?;
        let mut lines = monitor.into_on_message::<String>();
        rate(store, &fresh_keys(1), 1).await?;
        let mut words = async || -> Outcome<Vec<String>> {
            let line = lines.next().await.ok_or("the monitor ended")?;
            let (_, command) = line.split_once('"').ok_or("no command")?;
            Ok(command.trim_end_matches('"').split(r#"" ""#).map(str::to_owned).collect())
        };
        let (mut claim, mut complete) = (words().await?, words().await?);
        // SET key token NX GET PX lease, and EVALSHA digest 1 key token retention.
        let digits = "0".repeat(32 - DIGITS);
        let prefix = format!("bondify:{digits}");
        for (command, key) in [(&mut claim, 1), (&mut complete, 3)] {
            if command.get(key).is_none_or(|key| !key.starts_with("bondify:")) {
                return Err(format!("unexpected command: {command:?}").into());
            }
            command[key] = format!("{prefix}__rand_int__");
            command[key + 1] = TOKEN.to_owned();
        }
        Ok(Self { prefix, claim, complete })
    }

    /// Stores leases for the first `keys` keys, which the completions then end.
    async fn hold(
        &self,
        mut connection: MultiplexedConnection,
        keys: usize,
    ) -> redis::RedisResult<()> {
        const SCRIPT: &str = "for number = ARGV[2], ARGV[3] do
            redis.call('SET', KEYS[1] .. string.format('%012d', number), ARGV[1], 'PX', 60000)
        end";
        // Few enough keys at a time that Redis answers before the time-out.
        const BATCH: usize = 10_000;
        for first in (0..keys).step_by(BATCH) {
            let mut eval = cmd("EVAL");
            eval.arg(SCRIPT).arg(1).arg(&self.prefix).arg(TOKEN).arg(first).arg(first + BATCH);
            eval.exec_async(&mut connection).await?;
        }
        Ok(())
    }

    /// The rate of `command` in redis-benchmark, on `keys` random keys.
    fn rate(
        &self,
        url: &str,
        command: &[String],
        in_flight: usize,
        calls: usize,
        keys: usize,
    ) -> Outcome<f64> {
        let output = Command::new("redis-benchmark")
            .args(["-u", url, "--csv", "-c", &in_flight.to_string(), "-n", &calls.to_string()])
            .args(["-r", &keys.to_string()])
            .args(command)
            .output()?;
        let output = String::from_utf8_lossy(&output.stdout);
        // "command","rps" and six latencies
        let rate = output.lines().last().and_then(|line| line.rsplit(',').nth(6));
        Ok(rate.ok_or("no rate")?.trim_matches('"').parse()?)
    }
}
