use std::time::{Duration, SystemTime};

use bondify_core::Verifier;
use redis::{
    ErrorKind, FromRedisValue, RedisError, RedisResult, ServerErrorKind::NoPerm, Value,
    aio::ConnectionLike, cmd,
};

use crate::rights;

/// Returns a sentence for each right that is missing and each setting that would lose or double events.
pub(crate) async fn check(
    connection: &mut impl ConnectionLike,
    prefix: &str,
) -> RedisResult<Vec<String>> {
    let mut advice = Vec::new();
    match rights::check(connection, &format!("{prefix}check"), prefix).await {
        Err(error) if is_denied(&error) => advice.push(error.to_string()),
        checked => checked?,
    }
    match cmd("INFO").query_async(connection).await {
        Err(error) if is_denied(&error) => advice.push(
            "Redis's settings could not be checked, because INFO is denied: allow it, for example \
             with ACL SETUSER <user> +info"
                .to_owned(),
        ),
        info => {
            let now = SystemTime::now();
            for (node, info) in nodes(info?)? {
                advice.extend(faults(&info, now).map(|fault| format!("{node}{fault}")));
            }
        }
    }
    Ok(advice)
}

fn is_denied(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(NoPerm)
}

/// The answers of the primaries of a cluster, after their addresses, or of the only server.
fn nodes(info: Value) -> RedisResult<Vec<(String, String)>> {
    let Value::Map(nodes) = info else {
        return Ok(vec![(String::new(), String::from_redis_value(info)?)]);
    };
    let read = |(node, info)| {
        let node = String::from_redis_value(node)?;
        Ok((format!("{node}: "), String::from_redis_value(info)?))
    };
    nodes.into_iter().map(read).collect()
}

/// The faults of a server whose `INFO` is `info` at that time. A missing field is not a fault.
fn faults(info: &str, now: SystemTime) -> impl Iterator<Item = String> {
    let field = |name: &str| {
        info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    };
    let evicts = field("maxmemory_policy").filter(|&policy| policy != "noeviction").map(|policy| {
        format!(
            "maxmemory-policy is {policy}: when Redis is full, it forgets handled events, which \
             are then handled again; set maxmemory-policy noeviction"
        )
    });
    let forgets = field("aof_enabled").filter(|&enabled| enabled == "0").map(|_| {
        "appendonly is no: after a restart, events that were handled since the last snapshot are \
         handled again; set appendonly yes"
            .to_owned()
    });
    let clock = field("server_time_usec").and_then(|time| time.parse().ok());
    let clock = clock.map(|time| SystemTime::UNIX_EPOCH + Duration::from_micros(time));
    let differs = clock.map(|clock| distance(clock, now)).filter(|&by| by > Verifier::SKEW);
    let differs = differs.map(|by| {
        let seconds = by.as_secs();
        format!("the clocks of Redis and of this machine differ by {seconds} s: synchronize both")
    });
    [evicts, forgets, differs].into_iter().flatten()
}

fn distance(one: SystemTime, other: SystemTime) -> Duration {
    one.duration_since(other).unwrap_or_else(|earlier| earlier.duration())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_is_reported_with_its_remedy() {
        let told = |info: &str, now| {
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(now);
            faults(info, now).collect::<Vec<_>>().join("\n")
        };
        let good = "# Server\r\nserver_time_usec:1000000000\r\n# Memory\r\n\
            maxmemory_policy:noeviction\r\naof_enabled:1\r\n";
        for now in [1_000, 700, 1_300] {
            assert_eq!(told(good, now), "");
        }
        assert_eq!(told("# Valkey tells less some day\r\n", 0), "");
        for now in [699, 1_301] {
            assert!(told(good, now).contains("differ by 301 s: synchronize"));
        }
        let evicts = told(&good.replace("noeviction", "volatile-lru"), 1_000);
        assert!(evicts.starts_with("maxmemory-policy is volatile-lru: "), "{evicts}");
        assert!(evicts.ends_with("; set maxmemory-policy noeviction"), "{evicts}");
        let forgets = told(&good.replace("aof_enabled:1", "aof_enabled:0"), 1_000);
        assert!(forgets.ends_with("; set appendonly yes"), "{forgets}");
    }
}
