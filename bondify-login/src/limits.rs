//! The durations and sizes that this crate decides, with the reasons.

use std::time::Duration;

/// The minimum length of the cookie key: the input of HKDF must be as strong as the AES-256 key.
pub(crate) const MIN_KEY_BYTES: usize = 32;

/// The time after the end of a session. A login that was confirmed at the last moment can still be
/// finished in it, and the page can show that the login has expired.
pub(crate) const FINISH_GRACE: Duration = Duration::from_secs(60);

/// The maximum lifetime of the cookie. Bondify's sessions last 10 minutes.
pub(crate) const MAX_LIFETIME: Duration = Duration::from_secs(60 * 60);

/// The default number of waiting connections. Each needs a poll, a timer and about 10 kB of memory, so a
/// small server can hold these.
pub(crate) const DEFAULT_MAX_WAITING: usize = 1024;

/// The maximum number of waiting connections of one login, because browsers open at most six HTTP/1.1
/// connections to a host. Other tabs ask for the state instead.
pub(crate) const MAX_WAITING_PER_LOGIN: usize = 3;

/// The pause between polls where webhooks tell of decisions: a login of a minute costs 5 requests
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
