//! What a browser asks when a page stands on another origin than the hub, and what it may then read.

use crate::support::hub::{Somebody, TestHub};
use awc::ClientResponse;
use awc::http::Method;
use awc::http::header::HeaderMap;

const SHOP: &str = "https://shop.example";

async fn preflight(hub: &TestHub, path: &str, origin: &str) -> (u16, HeaderMap) {
    let request = awc::Client::default()
        .request(Method::OPTIONS, hub.url(path))
        .insert_header(("origin", origin))
        .insert_header(("access-control-request-method", "PATCH"))
        .insert_header(("access-control-request-headers", "authorization,content-type,x-socket-id"));
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.headers().clone())
}

async fn products(hub: &TestHub, token: &str, origin: &str) -> (u16, HeaderMap) {
    let request = awc::Client::default().get(hub.url("/api/v1/products")).bearer_auth(token);
    let response: ClientResponse<_> = request.insert_header(("origin", origin)).send().await.unwrap();
    (response.status().as_u16(), response.headers().clone())
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap())
}

#[actix_rt::test]
async fn a_page_of_an_allowed_origin_may_ask_and_read() {
    let hub = TestHub::start_with(|c| c.apps[0].allowed_origins = vec![SHOP.into()]).await;
    let ana: Somebody = hub.somebody("Ana").await;
    for path in ["/broadcasting/auth", "/api/v1/products", "/api/v1/orders/1"] {
        let (status, headers) = preflight(&hub, path, SHOP).await;
        assert_eq!((status, header(&headers, "access-control-allow-origin")), (204, Some(SHOP)), "{path}");
        let allowed = header(&headers, "access-control-allow-headers").unwrap();
        assert_eq!(allowed, "authorization,content-type,x-socket-id");
        assert!(header(&headers, "access-control-allow-methods").unwrap().contains("PATCH"));
        assert_eq!(header(&headers, "access-control-allow-credentials"), None);
    }
    for (token, expected) in [(ana.token.as_str(), 200), ("1|wrong", 401)] {
        let (status, headers) = products(&hub, token, SHOP).await;
        assert_eq!((status, header(&headers, "access-control-allow-origin")), (expected, Some(SHOP)));
        assert!(header(&headers, "vary").unwrap().contains("Origin"));
    }
    hub.stop().await;
}

#[actix_rt::test]
async fn a_page_of_another_origin_may_neither_ask_nor_read() {
    let hub = TestHub::start_with(|c| c.apps[0].allowed_origins = vec![SHOP.into()]).await;
    let ana = hub.somebody("Ana").await;
    let (status, headers) = preflight(&hub, "/broadcasting/auth", "https://evil.example").await;
    assert_eq!((status, header(&headers, "access-control-allow-origin")), (403, None));
    let (_, headers) = products(&hub, &ana.token, "https://evil.example").await;
    assert_eq!(header(&headers, "access-control-allow-origin"), None);
    hub.stop().await;
}

#[actix_rt::test]
async fn without_a_list_any_page_may_ask_and_no_page_what_back_ends_sign() {
    let hub = TestHub::start().await;
    let (status, headers) = preflight(&hub, "/api/v1/products", SHOP).await;
    assert_eq!((status, header(&headers, "access-control-allow-origin")), (204, Some(SHOP)));
    let (_, headers) = preflight(&hub, "/apps/app-id/events", SHOP).await;
    assert_eq!(header(&headers, "access-control-allow-origin"), None);
    hub.stop().await;
}
