//! `GET /v1/clients` and `GET /v1/clients/{id}`.

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;

use super::pages::{AdminContext, Name};
use super::response::{ApiError, json_response};
use barnabas_base::InstanceId;
use barnabas_pipeline::clients::{ClientFilter, DEFAULT_AND_MAX_LIMIT};

pub(super) async fn list(State(context): State<AdminContext>, uri: Uri) -> Result<Response, ApiError> {
    let filter = filter(uri.query().unwrap_or_default())?;
    let looked = tokio::task::spawn_blocking(move || context.source.clients(&filter)).await;
    let list = looked.map_err(|_| ApiError::internal("the host failed while it listed its clients"))?;
    Ok(json_response(StatusCode::OK, &list))
}

pub(super) async fn describe(State(context): State<AdminContext>, Name(text): Name) -> Result<Response, ApiError> {
    let id = InstanceId::parse_any(&text).map_err(ApiError::bad_request)?;
    let client = context.source.client(id).ok_or_else(|| {
        ApiError::not_found(format!(
            "no client instance {id} is known here: it has not asked this host, or was silent for three intervals; \
             `barnabas client list` shows those that are"
        ))
    })?;
    Ok(json_response(StatusCode::OK, &client))
}

/// Parses the query; each key may occur once.
fn filter(query: &str) -> Result<ClientFilter, ApiError> {
    let (mut filter, mut limit) = (ClientFilter::default(), None);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = percent_decode(value).filter(|value| !value.is_empty()).ok_or_else(|| bad_query(pair))?;
        let place = match key {
            "limit" => &mut limit,
            "software" => &mut filter.software,
            "client-id" => &mut filter.client_id,
            "subscription" => &mut filter.subscription,
            _ => return Err(bad_query(pair)),
        };
        if place.replace(value).is_some() {
            return Err(ApiError::bad_request(format!("`{key}` occurs twice; give it once")));
        }
    }
    if let Some(text) = limit {
        let number = text.parse().ok().filter(|number| (1..=DEFAULT_AND_MAX_LIMIT.1).contains(number));
        filter.limit = number.ok_or_else(|| bad_query(&format!("limit={text}")))?;
    }
    Ok(filter)
}

fn bad_query(pair: &str) -> ApiError {
    ApiError::bad_request(format!(
        "`{pair}` is not a valid query parameter; use `limit=` with 1 to {}, `software=`, `client-id=` or `subscription=` \
         and some text",
        DEFAULT_AND_MAX_LIMIT.1
    ))
}

/// Decodes percent-encoding, and `+` to a space (WHATWG URL, application/x-www-form-urlencoded). `None` if the result
/// is not UTF-8.
fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut plain = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'+' => b' ',
            b'%' => digit(bytes.next()?)? << 4 | digit(bytes.next()?)?,
            other => other,
        });
    }
    String::from_utf8(plain).ok()
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_filters_clients() {
        assert_eq!(filter("").unwrap(), ClientFilter::default());
        let all = filter("limit=7&software=java%204.0&client-id=a+b%2Bc&subscription=%C3%A9").unwrap();
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            all,
            ClientFilter { limit: 7, software: text("java 4.0"), client_id: text("a b+c"), subscription: text("é") }
        );
    }

    #[test]
    fn limit_of_clients_obeyed() {
        assert_eq!(
            (filter("limit=1").unwrap().limit, filter("limit=10000").unwrap().limit),
            (1, DEFAULT_AND_MAX_LIMIT.1)
        );
    }

    #[test]
    fn limit_of_clients_violated() {
        for query in ["limit=0", "limit=10001", "limit=-1", "limit=", "limit=x"] {
            assert!(filter(query).is_err(), "{query}");
        }
    }

    #[test]
    fn invalid_queries_are_rejected() {
        let queries =
            ["last=3", "software", "software=", "software=%f", "software=%zz", "software=%ff", "limit=1&limit=1"];
        for query in queries {
            assert!(filter(query).is_err(), "{query}");
        }
    }
}
