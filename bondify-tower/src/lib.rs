#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod event;
mod ext;
mod layer;
#[cfg(feature = "proof")]
mod user;

#[cfg(feature = "client")]
pub use bondify_client as client;
#[cfg(any(unix, windows))]
pub use bondify_core::Shutdown;
pub use bondify_core::{
    self, Bondify, BuildError, Builder, Cancelled, Claimed, Confirmed, DedupeStore, DrainTimedOut,
    Event, EventKey, HandleError, Handled, LeaseToken, MemoryStore, Projects, Reply, Secret,
    SecretError, StoreError, TelegramId, TelegramUser, Unknown, Verifier, async_trait,
};
#[cfg(feature = "proof")]
pub use bondify_core::{Proof, ProofError, ProofVerifier};
#[cfg(feature = "redis")]
pub use bondify_redis as redis;
#[cfg(any(feature = "mysql", feature = "postgres", feature = "sqlite"))]
pub use bondify_sqlx as sqlx;

#[cfg(feature = "proof")]
pub use crate::user::{BondifyUserLayer, BondifyUserService};
pub use crate::{
    event::{BondifyEvent, BondifyRejection},
    ext::BondifyExt,
    layer::{BondifyLayer, BondifyService},
};
