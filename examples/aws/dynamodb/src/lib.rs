//! A dedupe store on DynamoDB: an item for each event, a conditional write for each call.

use std::{
    error::Error,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_config::{SdkConfig, timeout::TimeoutConfig};
use aws_sdk_dynamodb::{
    Client,
    config::Builder,
    error::SdkError,
    operation::{delete_item::DeleteItemError, update_item::UpdateItemError},
    types::{AttributeValue, ReturnValuesOnConditionCheckFailure::AllOld},
};
use bondify_core::{Claimed, DedupeStore, EventKey, LeaseToken, StoreError, async_trait};

/// A dedupe store in a table whose partition key is `id`, a string, and whose TTL attribute is `delete_at`.
///
/// The guide has the commands that create it.
///
/// The conditions of DynamoDB know no time, so an expiry is judged by the clocks of the instances. A lease has to be
/// longer than these differ by.
#[derive(Clone, Debug)]
pub struct DynamoStore {
    client: Client,
    table: String,
}

impl DynamoStore {
    /// Creates a store on `table`, with the region and the credentials of `config`.
    pub fn new(config: &SdkConfig, table: impl Into<String>) -> Self {
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(Duration::from_millis(1500))
            .operation_timeout(Duration::from_secs(4));
        let config = Builder::from(config).timeout_config(timeouts.build()).build();
        Self { client: Client::from_conf(config), table: table.into() }
    }

    /// Lets `token` hold or complete the key for `duration`, if `condition` is true.
    async fn update(
        &self,
        key: &EventKey,
        token: LeaseToken,
        duration: Duration,
        (condition, change): (&str, &str),
    ) -> Result<(), SdkError<UpdateItemError>> {
        let now = now_ms();
        let expires = now + duration.as_millis() as u64 + 1; // both were rounded down
        let update = self.client.update_item().table_name(&self.table).key("id", id(key));
        let update = update
            .condition_expression(condition)
            .update_expression(format!("SET expires_ms = :expires, delete_at = :delete{change}"))
            .expression_attribute_values(":token", number(token.get()))
            .expression_attribute_values(":now", number(now))
            .expression_attribute_values(":expires", number(expires))
            .expression_attribute_values(":delete", number(expires / 1000 + 1))
            .return_values_on_condition_check_failure(AllOld);
        update.send().await.map(drop)
    }
}

const HOLD: &str = ", holder = :token";
const COMPLETE: &str = " REMOVE holder";
/// The condition of all changes by the holder of a lease.
const HELD: &str = "holder = :token AND expires_ms > :now";

#[async_trait]
impl DedupeStore for DynamoStore {
    async fn claim(&self, key: &EventKey, lease: Duration) -> Result<Claimed, StoreError> {
        // From the system: SnapStart would copy the state of a generator in this process to others.
        let token = LeaseToken::new(getrandom::u64().map_err(StoreError::new)?);
        let free = "attribute_not_exists(id) OR expires_ms <= :now";
        let Err(error) = self.update(key, token, lease, (free, HOLD)).await else {
            return Ok(Claimed::Acquired(token));
        };
        let Some(UpdateItemError::ConditionalCheckFailedException(found)) =
            error.as_service_error()
        else {
            return Err(StoreError::new(error));
        };
        let item = found.item().ok_or_else(|| StoreError::new("the item was not returned"))?;
        Ok(match item.get("holder") {
            None => Claimed::Completed,
            // The SDK has repeated a call whose answer was lost.
            Some(holder) if *holder == number(token.get()) => Claimed::Acquired(token),
            Some(_) => Claimed::InFlight,
        })
    }

    async fn renew(
        &self,
        key: &EventKey,
        token: &LeaseToken,
        lease: Duration,
    ) -> Result<bool, StoreError> {
        let renewed = self.update(key, *token, lease, (HELD, HOLD)).await;
        is_held(renewed, UpdateItemError::is_conditional_check_failed_exception)
    }

    async fn complete(
        &self,
        key: &EventKey,
        token: &LeaseToken,
        retention: Duration,
    ) -> Result<bool, StoreError> {
        let completed = self.update(key, *token, retention, (HELD, COMPLETE)).await;
        is_held(completed, UpdateItemError::is_conditional_check_failed_exception)
    }

    async fn release(&self, key: &EventKey, token: &LeaseToken) -> Result<bool, StoreError> {
        let delete = self.client.delete_item().table_name(&self.table).key("id", id(key));
        let delete = delete
            .condition_expression(HELD)
            .expression_attribute_values(":token", number(token.get()))
            .expression_attribute_values(":now", number(now_ms()));
        is_held(delete.send().await, DeleteItemError::is_conditional_check_failed_exception)
    }
}

/// `false` if the condition was not true.
fn is_held<T, E>(
    written: Result<T, SdkError<E>>,
    is_condition: fn(&E) -> bool,
) -> Result<bool, StoreError>
where
    E: Error + Send + Sync + 'static,
{
    match written {
        Ok(_) => Ok(true),
        Err(error) if error.as_service_error().is_some_and(is_condition) => Ok(false),
        Err(error) => Err(StoreError::new(error)),
    }
}

fn id(key: &EventKey) -> AttributeValue {
    AttributeValue::S(key.to_string())
}

fn number(value: u64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.as_millis() as u64
}
