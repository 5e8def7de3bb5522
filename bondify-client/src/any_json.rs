//! Property tests: no response of the API makes the client panic.

use proptest::{
    collection::{btree_map, vec},
    prelude::*,
};
use reqwest::{StatusCode, header::HeaderMap};
use serde_json::Value;

use crate::{
    Account, Analytics, Error, Project,
    project::SecretResponse,
    record::RecordResponse,
    session::{GenerateResponse, VerifyResponse},
};

/// Runs all parsers on a body.
fn parse_all(body: &[u8]) {
    fn parse<T: serde::de::DeserializeOwned>(body: &[u8]) -> Option<T> {
        let parsed: Result<T, _> = serde_json::from_slice(body);
        parsed.map_err(|error| Error::malformed(&error).to_string()).ok()
    }

    let _ = parse::<VerifyResponse>(body).map(|answer| answer.into_status("sess_1"));
    let _ = parse::<GenerateResponse>(body).map(|answer| answer.into_session(None));
    let _ = parse::<SecretResponse>(body).map(|answer| answer.into_project(""));
    let _ = parse::<SecretResponse>(body).map(SecretResponse::into_key);
    let _ = parse::<SecretResponse>(body).map(SecretResponse::into_webhook_secret);
    let _ = parse::<Project>(body);
    let _ = parse::<Account>(body);
    let _ = parse::<RecordResponse>(body).map(RecordResponse::into_event);
    let _ = parse::<Analytics>(body);
    let _ = Error::refused(StatusCode::FORBIDDEN, &HeaderMap::new(), body).code_by_status();
}

/// The names of the fields that a parser reads, and any other name.
const FIELD: &str = "status|session_token|deeplink|telegram_(id|name|username|phone)|proof|\
    (expires|confirmed|cancelled|created)_at|(project_)?id|(project_)?name|(is_)?active|\
    webhook_(url|secret)|secret(_key|_preview)?|developer(_id)?|email|mau|error|code|.*";

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
        "pending|confirmed|cancelled|expired|used".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 48, 12, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map(FIELD, inner, 0..12).prop_map(Value::from_iter),
        ]
    })
}

proptest! {
    #[test]
    fn no_json_response_makes_the_client_panic(json in any_json()) {
        parse_all(json.to_string().as_bytes());
    }

    #[test]
    fn no_bytes_make_the_client_panic(bytes in vec(any::<u8>(), 0..200)) {
        parse_all(&bytes);
    }
}
