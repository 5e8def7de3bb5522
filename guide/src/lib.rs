#![doc = include_str!("../README.md")]

#[doc = include_str!("../first-login.md")]
pub mod first_login {}

#[doc = include_str!("../signing-in.md")]
pub mod signing_in {}

#[doc = include_str!("../users-and-sessions.md")]
pub mod users_and_sessions {}

#[doc = include_str!("../proofs.md")]
pub mod proofs {}

#[doc = include_str!("../choosing-a-store.md")]
pub mod choosing_a_store {}

#[doc = include_str!("../several-instances.md")]
pub mod several_instances {}

#[doc = include_str!("../reverse-proxies.md")]
pub mod reverse_proxies {}

#[doc = include_str!("../containers.md")]
pub mod containers {}

#[doc = include_str!("../systemd.md")]
pub mod systemd {}

#[doc = include_str!("../lambda.md")]
pub mod lambda {}

#[doc = include_str!("../workers.md")]
pub mod workers {}

#[doc = include_str!("../graceful-shutdown.md")]
pub mod graceful_shutdown {}

#[doc = include_str!("../secrets.md")]
pub mod secrets {}

#[doc = include_str!("../testing.md")]
pub mod testing {}

#[doc = include_str!("../after-an-outage.md")]
pub mod after_an_outage {}

#[doc = include_str!("../monitoring.md")]
pub mod monitoring {}

#[doc = include_str!("../troubleshooting.md")]
pub mod troubleshooting {}

#[doc = include_str!("../coming-from-node.md")]
pub mod coming_from_node {}

#[doc = include_str!("../how-it-works.md")]
pub mod how_it_works {}

#[doc = include_str!("../inspector.md")]
pub mod inspector {}

#[doc = include_str!("../reference.md")]
pub mod reference {}

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
mod first_page {}
