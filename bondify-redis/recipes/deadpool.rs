use bondify_redis::{
    Connect, RedisStore,
    redis::{RedisFuture, aio::MultiplexedConnection},
};
use deadpool::managed::Manager;
use deadpool_redis::Pool;

/// Returns a store that opens its connection with the manager of the pool: to the same server, as the
/// same user, with the same time-outs. The connection does not count towards the size of the pool.
pub fn store(pool: Pool) -> RedisStore {
    RedisStore::open(Deadpool(pool))
}

struct Deadpool(Pool);

impl Connect for Deadpool {
    type Connection = MultiplexedConnection;

    fn connect(&mut self) -> RedisFuture<'_, MultiplexedConnection> {
        Box::pin(self.0.manager().create())
    }
}
