use std::pin::Pin;

use actix_web::{FromRequest, HttpMessage, HttpRequest, dev::Payload, web};
use bondify_core::{ProofVerifier, Reply, define_bondify_user};

use crate::{Rejection, headers::ActixHeaders};

define_bondify_user! {
    /// Extracts the user whose proof a request carries, in `Authorization: Bearer …` or
    /// else in a cookie.
    ///
    /// Anybody else is answered 401. `Option<BondifyUser>` lets guests in, as whom it
    /// counts everybody whose proof is not accepted, for whatever reason.
    ///
    /// The [`ProofVerifier`] is the application's data: `App::new().app_data(proofs.clone())`,
    /// or a [`web::Data`] of it. Without it, 500 `MISCONFIGURED` is the answer and the log
    /// says what to add.
}

impl FromRequest for BondifyUser {
    type Error = Rejection;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Rejection>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let proofs = proofs(&request).ok_or_else(|| Rejection(Reply::misconfigured(ADVICE)))?;
            let headers = ActixHeaders(request.headers());
            let authenticated = proofs.authenticate(&headers, request.extensions().get());
            let proof = authenticated.await.map_err(Rejection)?;
            request.extensions_mut().insert(proof.clone());
            Ok(Self(proof))
        })
    }
}

fn proofs(request: &HttpRequest) -> Option<&ProofVerifier> {
    let shared = || request.app_data::<web::Data<ProofVerifier>>().map(web::Data::get_ref);
    request.app_data().or_else(shared)
}

const ADVICE: &str = "add `.app_data(proofs.clone())` to the application";
