//! x
/// x
#[derive(Debug, Default)]
pub struct MemoryStore;
impl MemoryStore {
    /// x
    pub fn new() -> Self {
        Self
    }
}
#[crate::async_trait]
impl crate::DedupeStore for MemoryStore {
    async fn claim(
        &self,
        _: &crate::EventKey,
        _: std::time::Duration,
    ) -> Result<crate::Claimed, crate::StoreError> {
        todo!()
    }
    async fn renew(
        &self,
        _: &crate::EventKey,
        _: &crate::LeaseToken,
        _: std::time::Duration,
    ) -> Result<bool, crate::StoreError> {
        todo!()
    }
    async fn complete(
        &self,
        _: &crate::EventKey,
        _: &crate::LeaseToken,
        _: std::time::Duration,
    ) -> Result<bool, crate::StoreError> {
        todo!()
    }
    async fn release(
        &self,
        _: &crate::EventKey,
        _: &crate::LeaseToken,
    ) -> Result<bool, crate::StoreError> {
        todo!()
    }
}
