//! Rules for the Markdown pages of this repository, so that each link leads somewhere wherever the
//! page is read: on GitHub, in the package registry, and as rustdoc. `tests/pages.rs` checks every page.
//!
//! `tests/architecture.rs` compares the drawings of the architecture with the manifests and imports.

mod drawing;
mod imports;
mod page;
mod quantities;
mod quotes;
mod repository;
mod slug;

pub use crate::{
    drawing::{Arrows, arrows},
    imports::{Modules, between_folders, circles, reached},
    quantities::{Constants, Quantity, Stated},
    repository::{Fault, Report, Repository},
};
