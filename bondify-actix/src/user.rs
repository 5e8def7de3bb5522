use std::pin::Pin;

use actix_web::{FromRequest, HttpMessage, HttpRequest, dev::Payload, web};
use bondify_core::{
    ProofVerifier,
    adapter::{define_bondify_user, misconfigured},
};

use crate::{BondifyRejection, head::ActixHead};

define_bondify_user! {
    /// Extracts the user whose proof the request carries, in `Authorization: Bearer …` or, if it is not
    /// there, in the cookie `bondify_proof`. A proof is the signed statement that polling ends with.
    ///
    /// Without an accepted proof the response is 401, or 503 if the store of used proofs cannot
    /// be reached. `Option<BondifyUser>` is `None` without an accepted proof.
    ///
    /// The [`ProofVerifier`] is the application's data: `App::new().app_data(proofs.clone())`,
    /// or a [`web::Data`] of it. Without it, `BondifyUser` answers 500 `MISCONFIGURED` and logs
    /// what to add.
    ///
    /// ```
    /// use actix_web::web::{self, ServiceConfig};
    /// use bondify_actix::{BondifyUser, ProofVerifier};
    ///
    /// async fn me(user: BondifyUser) -> String {
    ///     format!("hello {}", user.name())
    /// }
    ///
    /// async fn home(user: Option<BondifyUser>) -> &'static str {
    ///     if user.is_some() { "welcome back" } else { "please log in" }
    /// }
    ///
    /// fn routes(config: &mut ServiceConfig, proofs: ProofVerifier) {
    ///     config.app_data(proofs).route("/me", web::get().to(me)).route("/", web::get().to(home));
    /// }
    /// ```
    ///
    /// A proof lasts for 5 minutes. Exchange it for a session of your own, and set
    /// [`ProofVerifier::single_use`], so that it is exchanged once.
}

impl FromRequest for BondifyUser {
    type Error = BondifyRejection;
    type Future = Pin<Box<dyn Future<Output = Result<Self, BondifyRejection>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let asked = proofs(request).map(|proofs| {
            let asked = proofs.authenticate(&ActixHead(request), request.extensions().get());
            request.extensions_mut().insert(asked.clone());
            asked
        });
        Box::pin(async {
            let asked = asked.ok_or_else(|| BondifyRejection(misconfigured(ADVICE)))?;
            asked.await.map(Self).map_err(BondifyRejection)
        })
    }
}

fn proofs(request: &HttpRequest) -> Option<&ProofVerifier> {
    let shared = || request.app_data::<web::Data<ProofVerifier>>().map(web::Data::get_ref);
    request.app_data().or_else(shared)
}

const ADVICE: &str = "add `.app_data(proofs.clone())` to the application";
