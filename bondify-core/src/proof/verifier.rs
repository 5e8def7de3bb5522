use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

#[cfg(feature = "pipeline")]
use tokio::runtime::Handle;

use super::{
    claims::{Proof, ProofError},
    jwt,
};
#[cfg(feature = "pipeline")]
use crate::{
    Claimed, DedupeStore, StoreError,
    limits::{STORE_TIMEOUT, TEN_YEARS},
    store::within,
};
use crate::{
    Secret, Verifier, limits,
    signature::{Clock, Keyring},
};

/// Verifies proofs: signature first, then claims, then time and project.
///
/// It is a handle: clones share everything. Create one and clone it, rather than creating one for each
/// request: the extractors of one request recognise a clone, and mark a proof as used once.
/// [`verify`](Self::verify) is local and synchronous. [`verify_once`](Self::verify_once) also asks the
/// store of [`single_use`](Self::single_use) whether the proof was used before, and marks it as used.
///
/// ```
/// use bondify_core::{ProofError, ProofVerifier, Secret};
///
/// let proofs = ProofVerifier::new(Secret::new("whsec_5f2b0c9d")?).project("proj_1");
///
/// let token = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.\
///     eyJzZXNzaW9uX3Rva2VuIjoic2Vzc18xIiwidGVsZWdyYW1faWQiOiI3MTIzNDU2Nzg5IiwidGVsZWdyYW1fbmFtZSI6\
///     IkFkYSIsInByb2plY3RfaWQiOiJwcm9qXzEiLCJpYXQiOjE3MDAwMDAwMDAsImV4cCI6NDA3MDkwODgwMH0.\
///     MoXzuPpXt-oLQfFmtizj2mcA8xCaKBqYDVunOWl8jIU";
/// let proof = proofs.verify(token)?;
/// assert_eq!(proof.user().id().as_str(), "7123456789");
///
/// let forged = token.replace('.', "_");
/// assert!(matches!(proofs.verify(&forged), Err(ProofError::Malformed)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct ProofVerifier(pub(super) Arc<Settings>);

#[derive(Clone)]
pub(super) struct Settings {
    secrets: Arc<Keyring>,
    clock: Clock,
    leeway: Duration,
    project: Option<String>,
    #[cfg(feature = "pipeline")]
    used: Option<Arc<dyn DedupeStore>>,
    #[cfg(feature = "pipeline")]
    pub(super) cookie: String,
}

impl ProofVerifier {
    /// The difference between clocks that is accepted, unless [`leeway`](Self::leeway) sets
    /// another: 30 seconds.
    pub const DEFAULT_LEEWAY: Duration = limits::DEFAULT_LEEWAY;

    /// The name of the cookie that a proof may be in, unless [`cookie`](Self::cookie) sets
    /// another.
    #[cfg(feature = "pipeline")]
    pub const DEFAULT_COOKIE: &str = "bondify_proof";

    /// Creates a verifier that accepts proofs that `secret` signed: the project's webhook secret, which also
    /// signs proofs.
    pub fn new(secret: Secret) -> Self {
        Self::of(&Verifier::new(secret))
    }

    pub(crate) fn of(verifier: &Verifier) -> Self {
        Self(Arc::new(Settings {
            secrets: verifier.secrets.clone(),
            clock: verifier.clock.clone(),
            leeway: Self::DEFAULT_LEEWAY,
            project: None,
            #[cfg(feature = "pipeline")]
            used: None,
            #[cfg(feature = "pipeline")]
            cookie: Self::DEFAULT_COOKIE.into(),
        }))
    }

    /// Also accepts proofs that `old` signed: the secret before a rotation, until its proofs have expired.
    /// The verifier then has secrets of its own: those of the clones and of the `Bondify` that it came from
    /// do not change.
    pub fn old_secret(mut self, old: Secret) -> Self {
        self.settings().secrets = Arc::new(self.0.secrets.with(old));
        self
    }

    /// Accepts a difference of `leeway` between clocks: a proof is accepted for that time after its expiry,
    /// and if its issue time is up to that time in the future.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use bondify_core::{ProofVerifier, Secret};
    ///
    /// /// On a server whose clock NTP keeps exact.
    /// fn strict(secret: Secret) -> ProofVerifier {
    ///     ProofVerifier::new(secret).leeway(Duration::from_secs(2))
    /// }
    /// ```
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.settings().leeway = leeway;
        self
    }

    /// Refuses proofs of other projects.
    ///
    /// ```
    /// use bondify_core::{ProofVerifier, Secret};
    ///
    /// fn verifier(secret: Secret) -> ProofVerifier {
    ///     ProofVerifier::new(secret).project("proj_1")
    /// }
    /// ```
    pub fn project(mut self, project_id: impl Into<String>) -> Self {
        self.settings().project = Some(project_id.into());
        self
    }

    /// Makes [`verify_once`](Self::verify_once) accept one proof of each session, once. `store` remembers the use until
    /// the proof expires. It can be the store of the events.
    ///
    /// ```
    /// use bondify_core::{MemoryStore, ProofVerifier, Secret};
    ///
    /// fn verifier(secret: Secret) -> ProofVerifier {
    ///     ProofVerifier::new(secret).project("proj_1").single_use(MemoryStore::new())
    /// }
    /// ```
    #[cfg(feature = "pipeline")]
    pub fn single_use(mut self, store: impl DedupeStore) -> Self {
        self.settings().used = Some(Arc::new(store));
        self
    }

    /// Sets the name of the cookie in which a request's proof is looked for, if it is not in the
    /// `Authorization` header.
    ///
    /// ```
    /// use bondify_core::{ProofVerifier, Secret};
    ///
    /// fn verifier(secret: Secret) -> ProofVerifier {
    ///     ProofVerifier::new(secret).cookie("session_proof")
    /// }
    /// ```
    #[cfg(feature = "pipeline")]
    pub fn cookie(mut self, name: impl Into<String>) -> Self {
        self.settings().cookie = name.into();
        self
    }

    /// Reads the time from `clock` instead of [`SystemTime::now`]. It has to be set on
    /// wasm32-unknown-unknown, as [`Verifier::clock`] shows.
    pub fn clock(mut self, clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.settings().clock = Clock::new(clock);
        self
    }

    /// Replaces the secrets: from now on only proofs that `secret` or one of `old` signed are accepted.
    ///
    /// ```
    /// use bondify_core::{ProofVerifier, Secret, SecretError};
    ///
    /// fn on_new_secret(proofs: &ProofVerifier, new: &str, old: &str) -> Result<(), SecretError> {
    ///     proofs.rotate(Secret::new(new)?, [Secret::new(old)?]);
    ///     Ok(())
    /// }
    /// ```
    pub fn rotate(&self, secret: Secret, old: impl IntoIterator<Item = Secret>) {
        self.0.secrets.rotate(secret, old);
    }

    /// Verifies a proof, without checking whether it was used before.
    ///
    /// ```
    /// use bondify_core::{ProofError, ProofVerifier};
    ///
    /// fn user_id(proofs: &ProofVerifier, token: &str) -> Result<String, ProofError> {
    ///     Ok(proofs.verify(token)?.user().id().to_string())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// The first check that fails, in this order:
    ///
    /// - [`ProofError::Malformed`] if the token is not a JWT that is signed with HS256.
    /// - [`ProofError::InvalidSignature`] if none of the secrets signed it.
    /// - [`ProofError::MissingField`] if it lacks a claim.
    /// - [`ProofError::Expired`] or [`ProofError::NotYetValid`] if it is not valid now.
    /// - [`ProofError::WrongProject`] if it is not for the [`project`](Self::project).
    pub fn verify(&self, token: &str) -> Result<Proof, ProofError> {
        let (claims, signed_by) = jwt::verify(&self.0.secrets, token)?;
        let proof = Proof::parse(claims, signed_by)?;
        let now = self.0.clock.now().ok_or(ProofError::NoClock)?;
        if self.usable_for(&proof, now).is_zero() {
            return Err(ProofError::Expired);
        }
        if proof.valid_from.duration_since(now).is_ok_and(|ahead| ahead > self.0.leeway) {
            return Err(ProofError::NotYetValid);
        }
        if self.0.project.as_deref().is_some_and(|project| project != proof.project_id()) {
            return Err(ProofError::WrongProject);
        }
        Ok(proof)
    }

    /// Verifies a proof as [`verify`](Self::verify) does and, if [`single_use`](Self::single_use) is set, marks
    /// it as used, so that it is accepted once. Of several concurrent calls exactly one succeeds.
    ///
    /// ```
    /// use bondify_core::{DedupeStore, ProofError, ProofVerifier, Secret};
    ///
    /// /// The store can be the one that events are in.
    /// fn verifier(secret: Secret, store: impl DedupeStore) -> ProofVerifier {
    ///     ProofVerifier::new(secret).project("proj_1").single_use(store)
    /// }
    ///
    /// /// Exchanges a proof for a session of the application.
    /// async fn exchange(proofs: &ProofVerifier, token: &str) -> Result<String, ProofError> {
    ///     let proof = proofs.verify_once(token).await?;
    ///     Ok(format!("session of user {}", proof.user().id()))
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`verify`](Self::verify), then [`ProofError::Used`] if the proof, or another proof of its
    /// session, was used before, and [`ProofError::Store`] if the store does not answer. A proof stays
    /// marked as used even if the caller is cancelled.
    #[cfg(feature = "pipeline")]
    pub async fn verify_once(&self, token: &str) -> Result<Proof, ProofError> {
        let proof = self.verify(token)?;
        let Some(store) = &self.0.used else { return Ok(proof) };
        // A lease that outlasts the proof: one call, with no later settlement.
        let now = self.0.clock.now().ok_or(ProofError::NoClock)?;
        let lease = self.usable_for(&proof, now).saturating_add(Verifier::SKEW);
        let (key, lease) = (proof.key(), lease.min(TEN_YEARS));
        Handle::try_current().map_err(StoreError::new).map_err(ProofError::Store)?;
        match within(STORE_TIMEOUT, async { store.claim(&key, lease).await }).await {
            Ok(Claimed::Acquired(_)) => Ok(proof),
            Ok(Claimed::InFlight | Claimed::Completed) => Err(ProofError::Used),
            Err(error) => Err(ProofError::Store(error)),
        }
    }

    fn settings(&mut self) -> &mut Settings {
        Arc::make_mut(&mut self.0)
    }

    fn usable_for(&self, proof: &Proof, now: SystemTime) -> Duration {
        let end = proof.expires_at().checked_add(self.0.leeway).unwrap_or(proof.expires_at());
        end.duration_since(now).unwrap_or_default()
    }
}

impl fmt::Debug for ProofVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProofVerifier")
            .field("secrets", &self.0.secrets)
            .field("leeway", &self.0.leeway)
            .field("project", &self.0.project)
            .finish_non_exhaustive()
    }
}
