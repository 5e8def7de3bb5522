//! Connections to the engines under test.

use std::time::Duration;

use bondify_redis::{
    RedisStore,
    redis::{
        Client, Cmd, FromRedisValue, IntoConnectionInfo,
        aio::{ConnectionManager, ConnectionManagerConfig},
    },
};
use test_engines::{Engine, Proxy, Upstream};

/// A time-out that does not expire on a busy machine, for tests that are not about time-outs.
pub(crate) const PATIENT: Duration = Duration::from_secs(30);

/// A store that makes its own connections.
pub(crate) fn open(url: impl IntoConnectionInfo) -> RedisStore {
    RedisStore::open(Client::open(url).expect("a Redis URL")).timeout(PATIENT)
}

/// A connection that reconnects quickly and whose response time-out is longer than the store's.
pub(crate) async fn connect(url: impl IntoConnectionInfo) -> ConnectionManager {
    let config = ConnectionManagerConfig::new()
        .set_response_timeout(Some(PATIENT))
        .set_max_delay(Duration::from_millis(100))
        .set_number_of_retries(100);
    let client = Client::open(url).expect("a Redis URL");
    client.get_connection_manager_with_config(config).await.expect("Redis is up")
}

/// Sends a command of a test.
pub(crate) async fn tell<T: FromRedisValue>(connection: &ConnectionManager, command: &str) -> T {
    let mut cmd = Cmd::new();
    cmd.arg(command.split(' ').collect::<Vec<_>>());
    cmd.query_async(&mut connection.clone()).await.expect("the command succeeds")
}

pub(crate) async fn proxy(engine: &Engine) -> Proxy {
    proxy_to(upstream(engine)).await
}

pub(crate) async fn proxy_to(upstream: Upstream) -> Proxy {
    Proxy::start(upstream).await.expect("there is a free port")
}

pub(crate) fn upstream(engine: &Engine) -> Upstream {
    let socket = engine.url().strip_prefix("redis+unix://").expect("it has a Unix socket");
    Upstream::Unix(socket.into())
}

pub(crate) fn url_of(proxy: &Proxy) -> String {
    format!("redis://{}", proxy.address())
}
