#![doc = include_str!("../README.md")]

#[doc = include_str!("../when-the-server-was-away.md")]
pub mod when_the_server_was_away {}

#[doc = include_str!("../reverse-proxies.md")]
pub mod reverse_proxies {}
