#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod adapter;
mod bondify;
mod clock;
mod event;
mod key;
mod keyring;
mod lease;
mod limits;
mod memory;
mod payload;
mod pipeline;
#[cfg(feature = "proof")]
mod proof;
mod reply;
mod secret;
mod settings;
mod signature;
mod store;
mod telemetry;
mod verifier;

pub use async_trait::async_trait;

pub use crate::{
    bondify::{Bondify, Builder},
    event::{Cancelled, Confirmed, Event, ParseError, TelegramId, Unknown},
    key::EventKey,
    memory::MemoryStore,
    pipeline::{Claim, Delivery, DrainTimedOut, Handling, Headers, Receive, Run, Settle},
    reply::Reply,
    secret::{Secret, SecretError},
    settings::BuildError,
    signature::{MalformedSignature, SIGNATURE_HEADER, Signature},
    store::{Claimed, DedupeStore, LeaseToken, StoreError},
    verifier::{Verifier, VerifyError},
};

#[cfg(feature = "proof")]
#[cfg_attr(docsrs, doc(cfg(feature = "proof")))]
pub use crate::proof::{Authentication, Proof, ProofError, ProofVerifier};
