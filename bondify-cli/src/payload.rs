//! The bodies of deliveries, fields in the order that Bondify sends them.

use serde::Serialize;

#[derive(Serialize)]
pub(crate) struct Confirmed<'a> {
    pub(crate) event: &'a str,
    pub(crate) session_token: &'a str,
    pub(crate) telegram_id: &'a str,
    pub(crate) telegram_name: &'a str,
    pub(crate) telegram_username: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) telegram_phone: Option<&'a str>,
    pub(crate) confirmed_at: u64,
}

#[derive(Serialize)]
pub(crate) struct Cancelled<'a> {
    pub(crate) event: &'a str,
    pub(crate) session_token: &'a str,
    pub(crate) cancelled_at: u64,
}
