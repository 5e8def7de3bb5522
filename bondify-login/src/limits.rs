//! The durations and sizes that this crate decides, with the reasons.

use std::time::Duration;

use bondify_core::Verifier;

/// The minimum length of the cookie key: that of the cipher's key, which is derived from it.
pub(crate) const MIN_KEY_BYTES: usize = 32;

/// The difference between clocks that is accepted, of instances and of Bondify's API: the same as for
/// webhooks. A login can be finished for that long after the end of its session, so one that was confirmed at
/// the last moment can be finished too.
pub(crate) const CLOCK_SKEW: Duration = Verifier::SKEW;

/// The maximum number of logins of a browser. Each has a cookie of up to 1.5 kB, and servers accept 8 kB of
/// cookies.
pub(crate) const MAX_LOGINS: usize = 5;

/// How long a session's state is shared by all requests: so short that users do not notice it.
pub(crate) const LOOK_FOR: Duration = Duration::from_secs(1);

/// The maximum number of states that are shared.
pub(crate) const MAX_LOOKS: usize = 4096;

/// How long a browser can repeat a finish: for a double click, and to reload after a lost answer.
pub(crate) const KEEP_ANSWER_FOR: Duration = Duration::from_secs(30);

/// The maximum number of answers that are kept.
pub(crate) const MAX_KEPT_ANSWERS: usize = 1024;

/// The maximum size of an answer that is kept. It is a redirect or a little JSON.
pub(crate) const MAX_KEPT_ANSWER_BYTES: usize = 16 * 1024;

/// How long a finished session is known: longer than its proof is accepted.
pub(crate) const KNOW_FINISHED_FOR: Duration = Duration::from_secs(15 * 60);

/// The maximum number of finished sessions that are known, 10 MB.
pub(crate) const MAX_KNOWN_FINISHED: usize = 65_536;

/// The time-out of a form, as of a webhook's body.
pub(crate) const FORM_TIMEOUT: Duration = Duration::from_secs(10);

/// The minimum time between two warnings of one kind, so that they do not fill a log.
pub(crate) const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// The maximum lifetime of the cookie. Bondify's sessions last 10 minutes.
pub(crate) const MAX_LIFETIME: Duration = Duration::from_secs(60 * 60);

/// The default number of waiting connections. Each needs a poll, a timer and about 10 kB of memory, so a
/// small server can hold these.
pub(crate) const DEFAULT_MAX_WAITING: usize = 1024;

/// The maximum number of waiting connections of one login, because browsers open at most six HTTP/1.1
/// connections to a host. A further one takes the place of the oldest.
pub(crate) const MAX_WAITING_PER_LOGIN: usize = 3;

/// The pause between polls if webhooks report decisions: a login of a minute costs 5 requests
/// instead of 30, and one whose webhook is lost is finished while its user still looks at the page.
pub(crate) const WEBHOOK_POLL_INTERVAL: Duration = Duration::from_secs(15);

/// The default pause between two heartbeats: shorter than the idle time-outs of proxies, often 60 s. The
/// server notices at the next heartbeat that a client has disappeared.
pub(crate) const DEFAULT_KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The pause before a browser opens a lost event stream again.
pub(crate) const RECONNECT_AFTER: Duration = Duration::from_secs(3);

/// The maximum size of a form, in bytes. A proof has less than 4 KiB.
pub const MAX_FORM_BYTES: usize = 16 * 1024;

/// The maximum length of `return_to`. The path is in the cookie, whose limit is 4 KiB.
pub(crate) const MAX_RETURN_TO_BYTES: usize = 512;

/// The length that a user agent is cut to. It is in the cookie, and seldom longer.
pub(crate) const MAX_USER_AGENT_BYTES: usize = 200;

/// The maximum number of languages that are read from `Accept-Language`. Browsers send fewer.
pub(crate) const MAX_LANGUAGES: usize = 16;
