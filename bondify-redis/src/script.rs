use redis::{
    Cmd, ErrorKind, FromRedisValue, RedisResult, ServerErrorKind, aio::ConnectionLike, cmd,
};

/// A Lua script over one key, which Redis is expected to know.
pub(crate) struct Script {
    code: String,
    digest: String,
}

impl Script {
    pub(crate) fn new(code: String) -> Self {
        let digest = redis::Script::new(&code).get_hash().to_owned();
        Self { code, digest }
    }

    /// Runs it in one round trip, or in two when Redis does not know it: after a
    /// restart, a failover or a `SCRIPT FLUSH`.
    pub(crate) async fn call<T: FromRedisValue>(
        &self,
        connection: &mut impl ConnectionLike,
        key: &str,
        arguments: &[&[u8]],
    ) -> RedisResult<T> {
        let by_digest = command("EVALSHA", &self.digest, key, arguments);
        match by_digest.query_async(connection).await {
            // `EVAL` teaches the script to the one node that has the key. The usual
            // `SCRIPT LOAD` goes to all nodes of a cluster and fails if one is down.
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
