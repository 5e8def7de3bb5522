//! Connections to the engines that are tested against.

use std::time::Duration;

use bondify_redis::{
    RedisStore,
    redis::{
        Client, Cmd, FromRedisValue, IntoConnectionInfo,
        aio::{ConnectionManager, ConnectionManagerConfig},
    },
};
use bondify_testkit::engines::{Engine, Proxy, Upstream};

/// The time-out where none is wanted, on machines so busy that Redis is not quick.
pub(crate) const PATIENT: Duration = Duration::from_secs(30);

/// A store that makes its own connections.
pub(crate) fn open(url: impl IntoConnectionInfo) -> RedisStore {
    RedisStore::open(Client::open(url).expect("the URL is one of Redis")).timeout(PATIENT)
}

/// A connection that reconnects quickly, and leaves it to the store to time out early.
pub(crate) async fn connect(url: impl IntoConnectionInfo) -> ConnectionManager {
    let config = ConnectionManagerConfig::new()
        .set_response_timeout(Some(PATIENT))
        .set_max_delay(Duration::from_millis(100))
        .set_number_of_retries(100);
    let client = Client::open(url).expect("the URL is one of Redis");
    client.get_connection_manager_with_config(config).await.expect("Redis is up")
}

/// Sends a command that only tests need.
pub(crate) async fn tell<T: FromRedisValue>(connection: &ConnectionManager, command: &str) -> T {
    let mut cmd = Cmd::new();
    cmd.arg(command.split(' ').collect::<Vec<_>>());
    cmd.query_async(&mut connection.clone()).await.expect("Redis does as told")
}

pub(crate) async fn proxy(engine: &Engine) -> Proxy {
    Proxy::start(upstream(engine)).await.expect("there is a free port")
}

pub(crate) fn upstream(engine: &Engine) -> Upstream {
    let socket = engine.url().strip_prefix("redis+unix://").expect("it has a Unix socket");
    Upstream::Unix(socket.into())
}

pub(crate) fn url_of(proxy: &Proxy) -> String {
    format!("redis://{}", proxy.address())
}
