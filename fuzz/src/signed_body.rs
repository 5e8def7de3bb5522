use std::{
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use bondify_core::{Event, EventKey, ParseError, Secret, Verifier, VerifyError};

use crate::{
    event::{FIELDS, Fields, is_time},
    json::{Whole, mended},
    sha256::{SECRET, hex_hmac},
    shape,
};

static SECRET_KEY: LazyLock<Secret> = LazyLock::new(|| Secret::new(SECRET).expect("is one"));

/// A clock and a tolerance with which no event is refused for its age.
static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| {
    let end = SystemTime::UNIX_EPOCH + Duration::from_millis(u64::MAX);
    Verifier::new(SECRET_KEY.clone()).tolerance(Duration::MAX).clock(move || end)
});

/// A signed body is an event if and only if an independent reader accepts it with the same fields. A body
/// that is unsigned or changed is refused for its signature.
pub fn signed_body(data: &[u8]) {
    let body = shape::body(data, FIELDS);
    let signature = hex_hmac(&body);
    assert_eq!(SECRET_KEY.sign(&body).to_string(), signature);
    let verified = VERIFIER.verify(body.clone(), &signature);
    match (&verified, expected(&body)) {
        (Ok(event), Ok(check)) => check(event, &body),
        (Err(VerifyError::Parse(ParseError::NotAnObject)), Err(Wrong::NotAnObject)) => {}
        (Err(VerifyError::Parse(ParseError::Field { name, .. })), Err(Wrong::Field(field))) => {
            assert_eq!(*name, field);
        }
        // If rounding decides, it may be a time or not.
        (Err(VerifyError::Parse(ParseError::Field { name, .. })), Ok(_)) => {
            let fields = Fields::read(&body).expect("is an object");
            assert_eq!(fields.whole(name), Whole::Unsure, "`{name}` is refused");
        }
        (_, Ok(_)) => panic!("the event is refused: {verified:?}"),
        (_, Err(wrong)) => panic!("{wrong:?} is expected, not {verified:?}"),
    }
    never_verifies_changed(&body, &signature);
}

#[derive(Debug)]
enum Wrong {
    NotAnObject,
    Field(&'static str),
}

type Check = Box<dyn FnOnce(&Event, &[u8])>;

/// The check of the event in `body`, or the error of a body that is not an event.
fn expected(body: &[u8]) -> Result<Check, Wrong> {
    let fields = Fields::read(body).ok_or(Wrong::NotAnObject)?;
    let required = |name| fields.text(name).ok_or(Wrong::Field(name));
    let time = |name| match fields.whole(name) {
        Whole::No => Err(Wrong::Field(name)),
        whole => Ok(whole),
    };
    let event_name = required("event")?;
    let token = fields.text("session_token");
    match &*event_name {
        "auth.confirmed" => {
            let token = required("session_token")?;
            let id = fields.id("telegram_id").ok_or(Wrong::Field("telegram_id"))?;
            let name = fields.name("telegram_name").ok_or(Wrong::Field("telegram_name"))?;
            let username = fields.name("telegram_username").filter(|name| !name.is_empty());
            let phone = fields.text("telegram_phone");
            let at = time("confirmed_at")?;
            Ok(Box::new(move |event, body| {
                let Event::Confirmed(login) = event else { panic!("{event:?}") };
                assert_eq!(login.session_token(), token);
                assert_eq!(login.user().id().as_str(), id);
                assert_eq!(mended(login.user().name()), name);
                assert_eq!(login.user().username().map(mended), username);
                assert_eq!(login.user().phone(), phone.as_deref());
                assert!(is_time(at, Some(login.confirmed_at()), Duration::from_millis));
                assert_eq!(event.occurred_at(), Some(login.confirmed_at()));
                check_common(event, "auth.confirmed", Some(&token), body);
            }))
        }
        "auth.cancelled" => {
            let token = required("session_token")?;
            let at = time("cancelled_at")?;
            Ok(Box::new(move |event, body| {
                let Event::Cancelled(cancelled) = event else { panic!("{event:?}") };
                assert_eq!(cancelled.session_token(), token);
                assert!(is_time(at, Some(cancelled.cancelled_at()), Duration::from_millis));
                assert_eq!(event.occurred_at(), Some(cancelled.cancelled_at()));
                check_common(event, "auth.cancelled", Some(&token), body);
            }))
        }
        _ => {
            let times = [fields.whole("confirmed_at"), fields.whole("cancelled_at")];
            Ok(Box::new(move |event, body| {
                let Event::Unknown(unknown) = event else { panic!("{event:?}") };
                assert_eq!(unknown.occurred_at(), event.occurred_at());
                let later = match times {
                    [Whole::Unsure, _] | [_, Whole::Unsure] => Whole::Unsure,
                    [Whole::Exactly(one), Whole::Exactly(other)] => Whole::Exactly(one.max(other)),
                    [Whole::No, time] | [time, Whole::No] => time,
                };
                assert!(is_time(later, event.occurred_at(), Duration::from_millis));
                check_common(event, &event_name, token.as_deref(), body);
            }))
        }
    }
}

fn check_common(event: &Event, name: &str, token: Option<&str>, body: &[u8]) {
    assert_eq!(event.name(), name);
    assert_eq!(event.session_token(), token);
    assert_eq!(event.raw(), body);
    match token {
        Some(token) => assert_eq!(event.key(), EventKey::new(name, token)),
        None => assert_eq!(event.key(), EventKey::new(name, body)),
    }
}

fn never_verifies_changed(body: &[u8], signature: &str) {
    let refused = |body: &[u8], signature: &str| {
        let verified = VERIFIER.verify(body.to_vec(), signature);
        assert_eq!(verified.err(), Some(VerifyError::InvalidSignature));
    };
    // The signature chooses the bit to change, which is as good as a random choice.
    let chance = usize::from(signature.as_bytes()[0]) * 256 + usize::from(signature.as_bytes()[1]);
    if !body.is_empty() {
        let mut changed = body.to_vec();
        changed[chance % body.len()] ^= 1 << (chance % 8);
        refused(&changed, signature);
        refused(&body[..body.len() - 1], signature);
    }
    refused(&[body, b" "].concat(), signature);
    let mut changed = signature.to_owned().into_bytes();
    let digit = &mut changed[chance % 64];
    *digit = if *digit == b'0' { b'1' } else { b'0' };
    refused(body, &String::from_utf8_lossy(&changed));
    refused(body, &signature[1..]);
    refused(body, "");
}
