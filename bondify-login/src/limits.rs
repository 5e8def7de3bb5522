//! Every duration and size that is a decision of ours, with its reason.

use std::time::Duration;

/// The shortest cookie key: the input of HKDF has to be as strong as the AES-256 key.
pub(crate) const MIN_KEY_BYTES: usize = 32;

/// The time after the end of a session in which a login that was confirmed at the last moment
/// can still be finished, and in which the page can say that the login has expired.
pub(crate) const FINISH_GRACE: Duration = Duration::from_secs(60);

/// The longest lifetime of the cookie. Bondify's sessions last 10 minutes.
pub(crate) const MAX_LIFETIME: Duration = Duration::from_secs(60 * 60);

/// A poll and a wake-up per waiting connection and its memory, some 10 kB: a small server can
/// hold these.
pub(crate) const DEFAULT_MAX_WAITING: usize = 1024;

/// Browsers open six connections to a host on HTTP/1.1. Further tabs refresh the page instead.
pub(crate) const MAX_WAITING_PER_LOGIN: usize = 3;

/// The pause between polls where webhooks tell of decisions: a login of a minute costs 5 requests
/// instead of 30, and one whose webhook is lost is finished while its user still looks at the page.
pub(crate) const WEBHOOK_POLL_INTERVAL: Duration = Duration::from_secs(15);

/// Shorter than the idle time-outs of proxies, often 60 s. A connection whose client has
/// disappeared is noticed by the next comment.
pub(crate) const DEFAULT_KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The pause before a browser opens a lost event stream again.
pub(crate) const RECONNECT_AFTER: Duration = Duration::from_secs(3);

/// The maximum size of a form, in bytes. A proof has less than 4 KiB.
pub const MAX_FORM_BYTES: usize = 16 * 1024;

/// The cookie, whose limit is 4 KiB, contains the path.
pub(crate) const MAX_RETURN_TO_BYTES: usize = 512;
