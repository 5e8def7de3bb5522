//! The examination of a webhook endpoint.

use std::time::{Duration, SystemTime};

use bondify_core::{SIGNATURE_HEADER, Secret};
use bondify_emulator::{EventBody, Fault};
use reqwest::{StatusCode, header::CONTENT_TYPE};
use tokio::time::{Instant, sleep, timeout};

use super::finding::{Finding, Level, Report, clock, failed};
use crate::http::{self, Answer, Endpoint, NoAnswer};

pub(super) struct Examination {
    pub(super) endpoint: Endpoint,
    pub(super) secret: Secret,
    pub(super) timeout: Duration,
}

impl Examination {
    /// Makes each check, and stops at a fault that hides the others.
    pub(super) async fn run(&self, report: &mut Report) -> anyhow::Result<()> {
        let body = cancelled()?;
        let unsigned = match self.send(&body, None).await {
            Ok(answer) => answer,
            Err(reason) => return Ok(report.show(unreachable(reason))?),
        };
        if let Some(finding) = misrouted(&unsigned) {
            return Ok(report.show(finding)?);
        }
        let status = unsigned.status;
        report.show(Finding::ok("reachable", format!("the endpoint answers: {status}")))?;
        report.show(refused("unsigned", "a delivery without a signature", &unsigned))?;

        let other = Secret::new(random()?)?;
        match self.send(&body, Some(&other)).await {
            Ok(answer) => report.show(refused(
                "wrong-signature",
                "a delivery with a wrong signature",
                &answer,
            ))?,
            Err(reason) => return Ok(report.show(unanswered("wrong-signature", reason))?),
        }

        let signed = match self.send(&body, Some(&self.secret)).await {
            Ok(answer) => answer,
            Err(reason) => return Ok(report.show(unanswered("signature", reason))?),
        };
        let accepted = accepted(&signed, &unsigned);
        let is_accepted = accepted.level != Level::Problem;
        report.show(accepted)?;
        if let Some(finding) = clock(&signed) {
            report.show(finding)?;
        }
        if !is_accepted {
            return Ok(());
        }
        report.show(time(&signed))?;
        report.show(duplicate(self.send(&body, Some(&self.secret)).await))?;
        report.show(unusual(self.send(&unusual_form()?, Some(&self.secret)).await))?;
        let unknown = EventBody::cancelled(&token()?, SystemTime::now())
            .named(Fault::UNKNOWN_EVENT)
            .to_json();
        report.show(unknown_event(self.send(&unknown, Some(&self.secret)).await))?;
        report.show(hung_up(self.send_and_hang_up().await?))?;
        Ok(())
    }

    async fn send(&self, body: &str, secret: Option<&Secret>) -> Result<Answer, NoAnswer> {
        let request = self.endpoint.post().header(CONTENT_TYPE, "application/json");
        let request = match secret {
            Some(secret) => {
                request.header(SIGNATURE_HEADER, secret.sign(body.as_bytes()).to_string())
            }
            None => request,
        };
        http::send(request.body(body.to_owned())).await
    }

    /// Ends the connection of a delivery early, and sends the delivery again until it is answered with
    /// anything but 409.
    async fn send_and_hang_up(&self) -> anyhow::Result<Result<Answer, NoAnswer>> {
        const PAUSE: Duration = Duration::from_millis(50);
        let body = cancelled()?;
        let _answer = timeout(PAUSE, self.send(&body, Some(&self.secret))).await;
        let end = Instant::now() + self.timeout;
        loop {
            let again = self.send(&body, Some(&self.secret)).await;
            let is_in_flight =
                again.as_ref().is_ok_and(|answer| answer.status == StatusCode::CONFLICT);
            if !is_in_flight || Instant::now() >= end {
                return Ok(again);
            }
            sleep(Duration::from_millis(500)).await;
        }
    }
}

fn random() -> anyhow::Result<String> {
    Ok(format!("{:016x}", getrandom::u64()?))
}

fn token() -> anyhow::Result<String> {
    Ok(format!("sess_doctor_{}", random()?))
}

/// A cancellation of a session that does not exist: of all events the one with the least effect.
fn cancelled() -> anyhow::Result<String> {
    Ok(EventBody::cancelled(&token()?, SystemTime::now()).to_json())
}

/// The same event with spaces, a line end, escapes and an unknown field.
fn unusual_form() -> anyhow::Result<String> {
    let plain = cancelled()?;
    let fields = plain.strip_prefix('{').unwrap_or(&plain);
    Ok(format!("{{ \"note\" : \"\\u00e9 \\/ é\",\n  {}", fields.replace(':', " : ")))
}

fn unreachable(reason: NoAnswer) -> Finding {
    match reason {
        NoAnswer::TimedOut => Finding::problem(
            "reachable",
            "no answer in time",
            "check that the server runs and that no firewall drops the connection",
        ),
        NoAnswer::Failed(reason) => Finding::problem(
            "reachable",
            format!("no answer: {reason}"),
            "check the host, the port and the certificate of the URL, and that the server runs",
        ),
    }
}

/// The fault of an endpoint that has answered before.
fn unanswered(check: &'static str, reason: NoAnswer) -> Finding {
    match reason {
        NoAnswer::TimedOut => Finding::problem(
            "time",
            "no answer in time: Bondify waits for 10 s and then counts the delivery as failed",
            ANSWER_FIRST,
        ),
        reason => {
            failed(check, "the delivery is not answered", Err(reason), "see the server's log")
        }
    }
}

const ANSWER_FIRST: &str = "answer first, and do slow work in a job queue: Bondify waits for 10 s";

/// The fault of an answer that does not come from the receiver.
fn misrouted(answer: &Answer) -> Option<Finding> {
    let advice = match answer.status.as_u16() {
        400 if answer.body.windows(5).any(|text| text == b"HTTPS") => {
            "begin the URL with https://: the port speaks TLS"
        }
        404 => "check the path of the URL, and that the proxy passes it on unchanged",
        405 => "mount the handler for POST",
        300..400 => {
            "register the URL that the redirect leads to: Bondify does not follow redirects"
        }
        502 | 504 => "check the upstream of the proxy: it does not reach the server",
        413 => "raise the proxy's limit of a body: an event has less than 64 KiB",
        415 => "let the proxy pass on the header Content-Type",
        _ => return None,
    };
    Some(Finding::problem("reachable", format!("the endpoint answers: {}", answer.status), advice))
}

/// A delivery that must be refused.
fn refused(check: &'static str, delivery: &str, answer: &Answer) -> Finding {
    let status = answer.status;
    if status.is_success() {
        Finding::problem(
            check,
            format!("{delivery} is accepted: {status}"),
            "verify the signature of every delivery: everybody who knows the URL can log in as anybody",
        )
    } else if status.is_client_error() {
        Finding::ok(check, format!("{delivery} is refused: {status}"))
    } else {
        Finding::warning(
            check,
            format!("{delivery} is refused with {status}"),
            "refuse it with 401: a status of 5xx looks like a fault of the server",
        )
    }
}

fn accepted(answer: &Answer, unsigned: &Answer) -> Finding {
    let (status, code) = (answer.status, answer.code());
    let text = match &code {
        Some(code) => format!("a signed delivery is refused: {status} ({code})"),
        None => format!("a signed delivery is refused: {status}"),
    };
    let advice = match (status.as_u16(), code.as_deref()) {
        (200..300, _) => {
            return Finding::ok("signature", format!("a signed delivery is accepted: {status}"));
        }
        (_, Some("STALE_EVENT")) => "set the server's clock: it judges the age of events",
        (_, Some("STORE_UNAVAILABLE")) => "start the dedupe store, or correct its address",
        (_, Some("MISSING_SIGNATURE")) => {
            "let the proxy pass on the header X-Bondify-Signature: it does not arrive"
        }
        (400 | 401 | 403, None) if status == unsigned.status => {
            "exclude the webhook's path from logins, CSRF protection and firewalls, which refuse every \
             delivery; or, if the receiver has refused it, give it the same webhook secret as this command"
        }
        (400 | 401 | 403, _) => {
            "give the receiver the same webhook secret as this command, and let it verify the raw \
             body: neither a proxy nor the framework may rebuild it"
        }
        (429, _) => "exclude the webhook's path from the rate limit",
        _ => "see the receiver's log for the error of the handler",
    };
    Finding::problem("signature", text, advice)
}

fn time(answer: &Answer) -> Finding {
    const SLOW: Duration = Duration::from_secs(3);
    let text = format!("the answer takes {:.1} ms", answer.latency.as_secs_f64() * 1000.0);
    if answer.latency < SLOW {
        Finding::ok("time", text)
    } else {
        Finding::warning("time", text, ANSWER_FIRST)
    }
}

fn duplicate(answer: Result<Answer, NoAnswer>) -> Finding {
    match answer {
        Ok(answer) if answer.status.is_success() && answer.is_duplicate() => {
            Finding::ok("duplicate", "the same delivery again is known")
        }
        Ok(answer) if answer.status.is_success() => Finding::warning(
            "duplicate",
            "the answer to the same delivery does not say that it is a duplicate",
            "make sure that an event that arrives twice takes effect once: Bondify sends an event up to \
             four times",
        ),
        answer => failed(
            "duplicate",
            "the same delivery again is not accepted",
            answer,
            "answer a duplicate with 200: Bondify counts every other answer as a failure",
        ),
    }
}

fn unusual(answer: Result<Answer, NoAnswer>) -> Finding {
    match answer {
        Ok(answer) if answer.status.is_success() => {
            Finding::ok("body", "a body with spaces, escapes and a new field is accepted")
        }
        answer => failed(
            "body",
            "a body with spaces, escapes and a new field is not accepted",
            answer,
            "verify the bytes as they arrive: a proxy or the framework parses the JSON and writes it \
             again",
        ),
    }
}

fn unknown_event(answer: Result<Answer, NoAnswer>) -> Finding {
    match answer {
        Ok(answer) if answer.status.is_success() => {
            Finding::ok("unknown-event", "an event with an unknown name is accepted")
        }
        Ok(answer) => Finding::warning(
            "unknown-event",
            format!("an event with an unknown name is refused: {}", answer.status),
            "answer events that you do not know with 204: Bondify may add events",
        ),
        answer => failed("unknown-event", "an event with an unknown name", answer, "see the log"),
    }
}

fn hung_up(answer: Result<Answer, NoAnswer>) -> Finding {
    match answer {
        Ok(answer) if answer.status.is_success() => Finding::ok(
            "hang-up",
            "a delivery whose connection ends early is accepted when it is sent again",
        ),
        answer => failed(
            "hang-up",
            "a delivery whose connection ends early is not accepted when it is sent again",
            answer,
            "let the handler continue when the client disconnects, or release what it holds",
        ),
    }
}
