//! Rules for the Markdown pages of this repository, so that each link leads somewhere wherever the
//! page is read: on GitHub, in the package registry, and as rustdoc. `tests/pages.rs` checks every page.

mod page;
mod quotes;
mod repository;
mod slug;

pub use crate::repository::{Fault, Report, Repository};
