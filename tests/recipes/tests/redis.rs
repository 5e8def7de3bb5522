//! The store on connections like those of a pool.

use std::time::Duration;

use bondify_core::{Claimed, DedupeStore, EventKey};
use bondify_redis::RedisStore;
use bondify_testkit::engine_url;
use test_engines::{Engine, Stop};

fn on_deadpool(url: &str) -> RedisStore {
    let config = deadpool_redis::Config::from_url(url);
    let pool = config.create_pool(Some(deadpool_redis::Runtime::Tokio1)).expect("a URL");
    recipe_tests::deadpool::store(pool)
}

fn on_bb8(url: &str) -> RedisStore {
    recipe_tests::bb8::store(bb8_redis::RedisConnectionManager::new(url).expect("a URL"))
}

mod deadpool {
    bondify_testkit::dedupe_store_suite!(optional async || {
        Some(super::on_deadpool(&super::engine_url("BONDIFY_TEST_REDIS_URL")?))
    });
}

mod bb8 {
    bondify_testkit::dedupe_store_suite!(optional async || {
        Some(super::on_bb8(&super::engine_url("BONDIFY_TEST_REDIS_URL")?))
    });
}

#[tokio::test]
async fn a_restart_of_redis_causes_no_error() {
    let lease = Duration::from_secs(60);
    for store in [on_deadpool, on_bb8] {
        let Some(mut redis) = Engine::redis() else { return };
        let store = store(redis.url());
        for session in ["before", "after"] {
            let claimed = store.claim(&EventKey::new("auth.confirmed", session), lease).await;
            assert!(matches!(claimed, Ok(Claimed::Acquired(_))), "{session}: {claimed:?}");
            redis.stop(Stop::Crash);
            redis.start_again();
        }
    }
}
