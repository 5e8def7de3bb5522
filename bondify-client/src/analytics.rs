use serde::Deserialize;

use crate::wire;

/// How many days back [`Analytics`] look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Days {
    /// The last 7 days.
    Seven,
    /// The last 30 days.
    Thirty,
    /// The last 90 days.
    Ninety,
}

impl Days {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Seven => "7",
            Self::Thirty => "30",
            Self::Ninety => "90",
        }
    }
}

/// How many logins were asked for, and how they ended.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Analytics {
    /// Sessions that were generated.
    pub total_sessions: u64,
    /// Sessions that were confirmed.
    pub confirmed_sessions: u64,
    /// Telegram accounts that confirmed one.
    pub unique_users: u64,
    /// The share of sessions that were confirmed, as the API gives it.
    pub conversion_rate: f64,
    /// Day by day.
    pub daily: Vec<Day>,
    /// How far sessions came.
    pub funnel: Funnel,
    /// The projects that can be asked about.
    pub projects: Vec<ProjectName>,
}

/// One day of [`Analytics`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Day {
    /// The day as the API writes it, e.g. `2025-01-31`.
    pub date: String,
    /// Sessions that were generated.
    pub sessions: u64,
    /// Sessions that were confirmed.
    pub confirmed: u64,
    /// Telegram accounts that confirmed one.
    pub unique_users: u64,
}

/// How far the sessions of [`Analytics`] came.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Funnel {
    /// Sessions that were generated.
    pub requested: u64,
    /// Sessions that were confirmed.
    pub confirmed: u64,
    /// Sessions that nobody reacted to.
    pub expired: u64,
    /// Sessions that were cancelled.
    pub cancelled: u64,
}

/// A project as [`Analytics`] name it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct ProjectName {
    /// Its id.
    pub id: String,
    /// Its name.
    #[serde(deserialize_with = "wire::text")]
    pub name: String,
}
