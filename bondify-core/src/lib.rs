#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![allow(clippy::test_attr_in_doctest, reason = "the README shows a test of an application")]

#[cfg(all(feature = "pipeline", target_family = "wasm", target_os = "unknown"))]
compile_error!(
    "bondify-core's feature `pipeline` needs a clock and timers, which this target does not have: \
     set `default-features = false`"
);

#[cfg(feature = "pipeline")]
pub mod adapter;
#[cfg(feature = "pipeline")]
mod body;
#[cfg(feature = "pipeline")]
mod bondify;
#[cfg(feature = "pipeline")]
mod cookies;
#[cfg(feature = "pipeline")]
mod deadlines;
mod event;
#[cfg(feature = "pipeline")]
mod head;
#[cfg(feature = "pipeline")]
mod headers;
#[cfg(feature = "pipeline")]
mod in_time;
#[cfg(feature = "pipeline")]
mod lease;
#[cfg_attr(not(feature = "pipeline"), expect(dead_code, reason = "most limit the pipeline"))]
mod limits;
#[cfg(feature = "pipeline")]
mod pipeline;
#[cfg(feature = "pipeline")]
mod projects;
#[cfg(feature = "proof")]
mod proof;
#[cfg(feature = "pipeline")]
mod rate_limited;
#[cfg(feature = "pipeline")]
mod receive;
#[cfg(feature = "pipeline")]
mod reply;
#[cfg(feature = "pipeline")]
mod settings;
#[cfg(all(feature = "pipeline", any(unix, windows)))]
mod shutdown;
mod signature;
mod store;
#[cfg(feature = "pipeline")]
mod telemetry;

#[cfg(feature = "pipeline")]
pub use async_trait::async_trait;

pub use crate::{
    event::{
        Cancelled, Confirmed, Event, MalformedTelegramId, ParseError, TelegramId, TelegramUser,
        Unknown,
    },
    signature::{
        MalformedSignature, SIGNATURE_HEADER, Secret, SecretError, Signature, Verifier, VerifyError,
    },
    store::EventKey,
};

#[cfg(feature = "pipeline")]
pub use crate::{
    bondify::{Bondify, Builder, DrainTimedOut},
    projects::Projects,
    receive::{HandleError, Handled},
    reply::Reply,
    settings::BuildError,
    store::{Claimed, DedupeStore, LeaseToken, MemoryStore, MemoryWakeups, StoreError, Wakeups},
};

#[cfg(all(feature = "pipeline", any(unix, windows)))]
pub use crate::shutdown::Shutdown;

#[cfg(feature = "proof")]
pub use crate::proof::{Proof, ProofError, ProofVerifier};
