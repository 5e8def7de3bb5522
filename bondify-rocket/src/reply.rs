use std::io::Cursor;

use bondify_core::Reply;
use rocket::{Response, http::Status};

pub(crate) fn write(reply: Reply, response: &mut Response<'_>) {
    response.set_status(Status::new(reply.status()));
    for &(name, value) in reply.headers() {
        response.set_raw_header(name, value);
    }
    response.set_sized_body(reply.body().len(), Cursor::new(reply.body()));
}

pub(crate) fn response_to(reply: Reply) -> Response<'static> {
    let mut response = Response::new();
    write(reply, &mut response);
    response
}
