use bb8_redis::{RedisConnectionManager, bb8::ManageConnection};
use bondify_redis::{
    Connect, RedisStore,
    redis::{RedisFuture, aio::MultiplexedConnection},
};

/// Returns a store that opens its connection with the manager of a pool.
pub fn store(manager: RedisConnectionManager) -> RedisStore {
    RedisStore::open(Bb8(manager))
}

struct Bb8(RedisConnectionManager);

impl Connect for Bb8 {
    type Connection = MultiplexedConnection;

    fn connect(&mut self) -> RedisFuture<'_, MultiplexedConnection> {
        Box::pin(self.0.connect())
    }
}
