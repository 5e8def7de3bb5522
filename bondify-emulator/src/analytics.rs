use std::{
    collections::{BTreeMap, HashSet},
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};
use time::{Date, OffsetDateTime};

use crate::{Confirmation, Session};

/// The figures of the dashboard: the sessions that were created in the last `days` days (UTC),
/// including today. The conversion rate is the percentage of confirmed sessions, to one decimal
/// place.
pub(crate) fn analytics(sessions: &[Session], days: u16, now: SystemTime) -> Value {
    let days = (0..days).map(|ago| now - Duration::from_secs(24 * 60 * 60) * ago.into());
    let mut daily: BTreeMap<_, Vec<_>> = days.map(|day| (date(day), Vec::new())).collect();
    for session in sessions {
        if let Some(day) = daily.get_mut(&date(session.created_at)) {
            day.push(session);
        }
    }
    let all: Vec<_> = daily.values().flatten().copied().collect();
    let (total, confirmed) = (all.len(), confirmations(&all).count());
    let ended = |name| all.iter().filter(|session| session.status.name() == name).count();
    let day = |(date, sessions): (&Date, &Vec<&Session>)| {
        json!({
            "date": date.to_string(),
            "sessions": sessions.len(),
            "confirmed": confirmations(sessions).count(),
            "unique_users": unique_users(sessions),
        })
    };
    json!({
        "total_sessions": total,
        "confirmed_sessions": confirmed,
        "unique_users": unique_users(&all),
        "conversion_rate": percentage(confirmed, total),
        "daily": daily.iter().map(day).collect::<Vec<_>>(),
        "funnel": {
            "requested": total,
            "confirmed": confirmed,
            "expired": ended("expired"),
            "cancelled": ended("cancelled"),
        },
    })
}

fn confirmations<'a>(sessions: &[&'a Session]) -> impl Iterator<Item = &'a Confirmation> {
    sessions.iter().filter_map(|session| session.confirmation())
}

fn unique_users(sessions: &[&Session]) -> usize {
    confirmations(sessions).map(|by| &by.persona.telegram_id).collect::<HashSet<_>>().len()
}

fn date(time: SystemTime) -> Date {
    OffsetDateTime::from(time).date()
}

fn percentage(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { (part as f64 / whole as f64 * 1000.0).round() / 10.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Persona, SessionStatus};

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
        SessionStatus::Confirmed(Confirmation {
            persona: Persona::new(id, "Ada"),
            confirmed_at: at,
        })
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
        let analytics = analytics(&sessions, 7, now);
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
