use redis::{
    Cmd, ErrorKind, FromRedisValue, RedisResult, ServerErrorKind, aio::ConnectionLike, cmd,
};

/// A Lua script on one key. Redis usually has it in its script cache.
pub(crate) struct Script {
    code: String,
    digest: String,
}

impl Script {
    pub(crate) fn new(code: String) -> Self {
        let digest = redis::Script::new(&code).get_hash().to_owned();
        Self { code, digest }
    }

    /// Runs the script in one round trip, or in two if it is not in Redis's script cache: after a
    /// restart, a failover or a `SCRIPT FLUSH`.
    pub(crate) async fn call<T: FromRedisValue>(
        &self,
        connection: &mut impl ConnectionLike,
        key: &str,
        arguments: &[&[u8]],
    ) -> RedisResult<T> {
        let by_digest = command("EVALSHA", &self.digest, key, arguments);
        match by_digest.query_async(connection).await {
            // `EVAL` caches the script on the node that has the key. The usual `SCRIPT LOAD` goes
            // to all nodes of a cluster and fails if one is down.
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                command("EVAL", &self.code, key, arguments).query_async(connection).await
            }
            answer => answer,
        }
    }
}

fn command(name: &str, script: &str, key: &str, arguments: &[&[u8]]) -> Cmd {
    let mut command = cmd(name);
    command.arg(script).arg(1).arg(key).arg(arguments);
    command
}
