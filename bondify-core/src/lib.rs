#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod adapter;
mod bondify;
mod event;
mod headers;
mod lease;
mod limits;
mod pipeline;
#[cfg(feature = "proof")]
mod proof;
mod reply;
mod settings;
mod signature;
mod store;
mod telemetry;

pub use async_trait::async_trait;

pub use crate::{
    bondify::{Bondify, Builder},
    event::{
        Cancelled, Confirmed, Event, MalformedTelegramId, ParseError, TelegramId, TelegramUser,
        Unknown,
    },
    pipeline::{DrainTimedOut, HandleError, Handled},
    reply::Reply,
    settings::BuildError,
    signature::{
        MalformedSignature, SIGNATURE_HEADER, Secret, SecretError, Signature, Verifier, VerifyError,
    },
    store::{Claimed, DedupeStore, EventKey, ImmediateStore, LeaseToken, MemoryStore, StoreError},
};

#[cfg(feature = "proof")]
#[cfg_attr(docsrs, doc(cfg(feature = "proof")))]
pub use crate::proof::{Proof, ProofError, ProofVerifier};
