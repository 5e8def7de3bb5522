use std::{
    collections::{BTreeMap, HashSet},
    time::{Duration, SystemTime},
};

use serde::Serialize;
use time::{Date, OffsetDateTime};

use crate::{Session, SessionStatus};

/// The figures of the dashboard, for some days up to today (UTC).
#[derive(Debug, Serialize)]
pub(crate) struct Analytics {
    total_sessions: usize,
    confirmed_sessions: usize,
    pub(crate) unique_users: usize,
    /// The percentage of sessions that were confirmed, to one decimal place.
    conversion_rate: f64,
    daily: Vec<Day>,
    funnel: Funnel,
}

#[derive(Debug, Serialize)]
struct Day {
    date: String,
    sessions: usize,
    confirmed: usize,
    unique_users: usize,
}

#[derive(Debug, Default, Serialize)]
struct Funnel {
    requested: usize,
    confirmed: usize,
    expired: usize,
    cancelled: usize,
}

#[derive(Default)]
struct Tally<'a> {
    sessions: usize,
    confirmed: usize,
    users: HashSet<&'a str>,
}

impl<'a> Tally<'a> {
    fn count(&mut self, session: &'a Session) {
        self.sessions += 1;
        if let Some(login) = session.login() {
            self.confirmed += 1;
            self.users.insert(&login.persona.telegram_id);
        }
    }
}

impl Analytics {
    /// Counts the sessions that were created in the last `days` days, including today.
    pub(crate) fn of(sessions: &[Session], days: u16, now: SystemTime) -> Self {
        let daily = (0..days).rev().map(|ago| now - Duration::from_secs(24 * 60 * 60) * ago.into());
        let mut daily: BTreeMap<Date, Tally<'_>> =
            daily.map(|day| (date(day), Tally::default())).collect();
        let (mut total, mut funnel) = (Tally::default(), Funnel::default());
        for session in sessions {
            let Some(day) = daily.get_mut(&date(session.created_at)) else { continue };
            day.count(session);
            total.count(session);
            match session.status {
                SessionStatus::Expired => funnel.expired += 1,
                SessionStatus::Cancelled { .. } => funnel.cancelled += 1,
                _ => {}
            }
        }
        funnel.requested = total.sessions;
        funnel.confirmed = total.confirmed;
        Self {
            total_sessions: total.sessions,
            confirmed_sessions: total.confirmed,
            unique_users: total.users.len(),
            conversion_rate: percentage(total.confirmed, total.sessions),
            daily: daily.into_iter().map(Day::from).collect(),
            funnel,
        }
    }
}

impl From<(Date, Tally<'_>)> for Day {
    fn from((date, tally): (Date, Tally<'_>)) -> Self {
        Self {
            date: date.to_string(),
            sessions: tally.sessions,
            confirmed: tally.confirmed,
            unique_users: tally.users.len(),
        }
    }
}

fn date(time: SystemTime) -> Date {
    OffsetDateTime::from(time).date()
}

fn percentage(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { (part as f64 / whole as f64 * 1000.0).round() / 10.0 }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Login, Persona};

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn session(created_at: SystemTime, status: SessionStatus) -> Session {
        Session {
            token: String::new(),
            project_id: String::new(),
            created_at,
            expires_at: created_at,
            status,
        }
    }

    fn confirmed(id: &str, at: SystemTime) -> SessionStatus {
        SessionStatus::Confirmed(Login { persona: Persona::new(id, "Ada"), confirmed_at: at })
    }

    #[test]
    fn counts_by_day_and_by_outcome() {
        // 2023-11-14, 22:13:20 UTC.
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let midnight = now - Duration::from_secs(22 * 3600 + 13 * 60 + 20);
        let just_before = midnight - Duration::from_millis(1);
        let sessions = [
            session(now, confirmed("1", now)),
            session(midnight, confirmed("1", now)),
            session(just_before, confirmed("2", now)),
            session(just_before, SessionStatus::Expired),
            session(just_before, SessionStatus::Cancelled { cancelled_at: now }),
            session(now - DAY * 6, SessionStatus::Pending),
            session(now - DAY * 7, confirmed("3", now)),
        ];
        let analytics = json!(Analytics::of(&sessions, 7, now));
        assert_eq!(
            analytics["funnel"],
            json!({"requested": 6, "confirmed": 3, "expired": 1, "cancelled": 1})
        );
        assert_eq!(analytics["unique_users"], 2);
        assert_eq!(analytics["conversion_rate"], 50.0);
        let daily = analytics["daily"].as_array().unwrap();
        assert_eq!(daily.len(), 7);
        assert_eq!(
            daily[0],
            json!({"date": "2023-11-08", "sessions": 1, "confirmed": 0, "unique_users": 0})
        );
        assert_eq!(
            daily[5],
            json!({"date": "2023-11-13", "sessions": 3, "confirmed": 1, "unique_users": 1})
        );
        assert_eq!(
            daily[6],
            json!({"date": "2023-11-14", "sessions": 2, "confirmed": 2, "unique_users": 1})
        );
    }

    #[test]
    fn the_conversion_rate_without_sessions_is_zero() {
        assert_eq!(percentage(0, 0), 0.0);
        assert_eq!(percentage(1, 3), 33.3);
    }
}
