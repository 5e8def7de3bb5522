#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod adapter;
mod bondify;
mod builder;
mod claim;
mod clock;
mod delivery;
mod event;
mod home;
mod key;
mod keyring;
mod memory;
mod payload;
#[cfg(feature = "proof")]
mod proof;
mod receive;
mod renewal;
mod reply;
mod request;
mod secret;
mod signature;
mod store;
mod telemetry;
mod verifier;

pub use async_trait::async_trait;

pub use crate::{
    bondify::{Bondify, DrainTimedOut},
    builder::{BuildError, Builder},
    claim::{Claim, Settle},
    delivery::{Delivery, Handling, Run},
    event::{Cancelled, Confirmed, Event, ParseError, TelegramId, Unknown},
    key::EventKey,
    memory::MemoryStore,
    receive::Receive,
    reply::Reply,
    request::Headers,
    secret::{Secret, SecretError},
    signature::{MalformedSignature, SIGNATURE_HEADER, Signature},
    store::{Claimed, DedupeStore, LeaseToken, StoreError},
    verifier::{Verifier, VerifyError},
};

#[cfg(feature = "proof")]
#[cfg_attr(docsrs, doc(cfg(feature = "proof")))]
pub use crate::proof::{Authentication, Proof, ProofError, ProofVerifier};
