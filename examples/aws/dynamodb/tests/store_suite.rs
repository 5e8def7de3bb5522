//! The store on an engine with DynamoDB's API. `scripts/places` starts one, and creates the table there.

use std::time::Duration;

use bondify_core::{Claimed, DedupeStore, EventKey};
use bondify_testkit::engine_url;
use example_dynamodb::DynamoStore;

async fn store() -> Option<DynamoStore> {
    let url = engine_url("BONDIFY_TEST_DYNAMODB_URL")?;
    let config = aws_config::from_env().endpoint_url(url).load().await;
    Some(DynamoStore::new(&config, "bondify_events"))
}

bondify_testkit::dedupe_store_suite!(optional store);

#[tokio::test]
async fn a_missing_table_is_an_error_that_names_the_cause() {
    let Some(url) = engine_url("BONDIFY_TEST_DYNAMODB_URL") else { return };
    let config = aws_config::from_env().endpoint_url(url).load().await;
    let store = DynamoStore::new(&config, "a_missing_table");
    let key = EventKey::new("auth.confirmed", "sess_1");
    let claimed: Result<Claimed, _> = store.claim(&key, Duration::from_secs(1)).await;
    let error = claimed.expect_err("there is no table");
    assert!(format!("{error:?}").contains("ResourceNotFoundException"), "{error:?}");
}
