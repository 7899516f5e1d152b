//! Answers to what a receiver sends, given by the test.

use std::cell::RefCell;

use crate::http::{Error, Request, Response, Url};

type Answer = Box<dyn FnMut(&Request) -> Result<Response, Error>>;

thread_local! {
    static ANSWER: RefCell<Option<Answer>> = const { RefCell::new(None) };
    static REQUESTS: RefCell<Vec<Request>> = const { RefCell::new(Vec::new()) };
}

/// From now on, requests of this thread are answered so. Without it every request is denied, as by a host that granted
/// nothing.
pub fn answer(answer: impl FnMut(&Request) -> Result<Response, Error> + 'static) {
    ANSWER.set(Some(Box::new(answer)));
}

/// The requests sent from this thread since the last call.
pub fn requests() -> Vec<Request> {
    REQUESTS.take()
}

pub(crate) fn send(request: &Request, _: &Url) -> Result<Response, Error> {
    REQUESTS.with_borrow_mut(|requests| requests.push(request.clone()));
    ANSWER.with_borrow_mut(|answer| match answer {
        Some(answer) => answer(request),
        None => Err(Error::Denied("no answer was arranged: call testing::http::answer first".to_owned())),
    })
}
