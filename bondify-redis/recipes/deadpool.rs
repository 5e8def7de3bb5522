use bondify_redis::{
    Connect, RedisStore,
    redis::{RedisFuture, aio::MultiplexedConnection},
};
use deadpool::managed::Manager;
use deadpool_redis::Pool;

/// Returns a store whose connection is made as those of the pool are: to the same server, by the
/// same user, with the same time-outs. It takes no place in the pool.
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
