//! The functions of the fuzz targets. Each takes arbitrary bytes and panics if a crate breaks a promise.
#![forbid(unsafe_code)]

mod api_answer;
mod emulator;
mod event;
mod json;
mod proof;
mod sha256;
mod shape;
mod signature;
mod signed_body;

pub use crate::{
    api_answer::api_answer,
    emulator::{api::emulator_api, state::emulator_state},
    proof::proof,
    signature::signature,
    signed_body::signed_body,
};

/// The function of a target.
pub type Target = fn(&[u8]);

/// Every target by its name. Its folder in `seeds` has the same name.
pub const TARGETS: [(&str, Target); 6] = [
    ("signed_body", signed_body),
    ("signature", signature),
    ("proof", proof),
    ("api_answer", api_answer),
    ("emulator_state", emulator_state),
    ("emulator_api", emulator_api),
];
