//! The REST routes as clients meet them: shapes, lists, and every refusal with its status.

use crate::support::rest::{Reply, Rest};
use crate::support::{Shop, TestDb};
use bellwire::config::{Config, Server};
use bellwire::domain::EventId;
use bellwire::storage::outbox;
use diesel_async::RunQueryDsl;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;

on_both_databases!(
    a_product_is_made_shown_changed_and_deleted,
    an_order_is_made_shown_changed_and_deleted,
    a_list_comes_in_laravel_s_shape,
    products_are_filtered_and_sorted,
    orders_are_filtered_and_sorted,
    categories_are_filtered_and_count_their_products,
    clients_that_hang_up_hurt_nobody,
);

const PRODUCTS: &str = "/api/v1/products";
const CATEGORIES: &str = "/api/v1/categories";
const ORDERS: &str = "/api/v1/orders";

async fn sqlite() -> Rest {
    Rest::open(TestDb::sqlite().await).await
}

fn tea(sku: &str) -> Value {
    json!({"name": "Tea", "sku": sku, "price": 950, "stock": 5})
}

async fn a_product_is_made_shown_changed_and_deleted(db: TestDb) {
    let rest = Rest::open(db).await;
    let made = rest.post(PRODUCTS, tea("T-1")).await;
    let path = format!("{PRODUCTS}/{}", made.id());
    let expected = json!({"data": {
        "id": made.id(), "tenant_id": rest.shop.tenant, "category_id": null, "category": null,
        "name": "Tea", "description": null, "sku": "T-1", "barcode": null, "has_barcode": false,
        "price": 950, "cost": null, "currency": "PHP", "unit": "pc",
        "stock": 5, "min_stock": 0, "max_stock": null, "is_low_stock": false,
        "image": null, "is_active": true, "is_ecommerce": false,
        "created_at": "2026-03-01T08:00:00.500000Z", "updated_at": "2026-03-01T08:00:00.500000Z",
        "deleted_at": null,
    }});
    assert_eq!(made.body, expected);
    assert_eq!(rest.get(&path).await.body, made.body);
    let patched = rest.patch(&path, json!({"stock": 4})).await;
    assert_eq!((patched.status, &patched.body["data"]["stock"]), (200, &json!(4)));
    let put = rest.ask("PUT", &path).json(&json!({"name": "Green tea"})).send().await;
    assert_eq!((put.status, &put.body["data"]["sku"]), (200, &json!("T-1")));
    let deleted = rest.delete(&path).await;
    assert_eq!((deleted.status, deleted.bytes.len()), (204, 0));
    for gone in [rest.get(&path).await, rest.patch(&path, json!({})).await, rest.delete(&path).await] {
        assert_eq!((gone.status, gone.message()), (404, "No such product."));
    }
    assert!(rest.get(PRODUCTS).await.column("id").is_empty());
}

async fn an_order_is_made_shown_changed_and_deleted(db: TestDb) {
    let rest = Rest::open(db).await;
    let product = rest.post(PRODUCTS, tea("T-1")).await.id();
    let items = json!([{"product_id": product, "quantity": 2, "unit_price": 900}]);
    let made = rest.post(ORDERS, json!({"items": items, "order_number": "A-1", "customer_name": "Bo"})).await;
    let path = format!("{ORDERS}/{}", made.id());
    let expected = json!({"data": {
        "id": made.id(), "tenant_id": rest.shop.tenant, "user_id": rest.shop.user,
        "customer_name": "Bo", "order_number": "A-1", "status": "pending", "currency": "PHP",
        "items_count": 1, "total": 1800,
        "items": [{"product_id": product, "quantity": 2, "unit_price": 900, "line_total": 1800}],
        "ordered_at": "2026-03-01T08:00:00.500000Z",
        "created_at": "2026-03-01T08:00:00.500000Z", "updated_at": "2026-03-01T08:00:00.500000Z",
    }});
    assert_eq!(made.body, expected);
    assert_eq!(rest.get(&path).await.body, made.body);
    let short = rest.post(ORDERS, json!({"items": [{"product_id": product, "quantity": 4}]})).await;
    assert_eq!(short.status, 409);
    assert!(short.message().contains("Tea"), "{short:?}");
    assert_eq!(rest.delete(&path).await.status, 409);
    assert_eq!(rest.patch(&path, json!({"status": "completed"})).await.status, 409);
    let refused = rest.patch(&path, json!({"status": "lost", "items": [], "total": 0})).await;
    assert_eq!(refused.refusal(), (422, vec!["items", "status", "total"]));
    let cancelled = rest.patch(&path, json!({"status": "cancelled"})).await;
    assert_eq!(cancelled.body["data"]["status"], "cancelled");
    assert_eq!(rest.delete(&path).await.status, 204);
    assert_eq!(rest.get(&path).await.status, 404);
}

async fn a_list_comes_in_laravel_s_shape(db: TestDb) {
    let rest = Rest::open(db).await;
    let path = format!("http://{}{PRODUCTS}", rest.address());
    let empty = rest.get(PRODUCTS).await;
    let expected = json!({
        "data": [],
        "links": {"first": format!("{path}?page=1"), "last": format!("{path}?page=1"), "prev": null, "next": null},
        "meta": {"current_page": 1, "from": null, "last_page": 1, "path": path, "per_page": 15, "to": null, "total": 0},
    });
    assert_eq!(empty.body, expected);
    for n in 1..=5 {
        rest.post(PRODUCTS, tea(&format!("T-{n}"))).await.id();
    }
    let second = rest.get(&format!("{PRODUCTS}?page=2&per_page=2&sort=-sku")).await;
    assert_eq!(second.column("sku"), ["T-3", "T-2"]);
    let link = |page| format!("{path}?per_page=2&sort=-sku&page={page}");
    let links = json!({"first": link(1), "last": link(3), "prev": link(1), "next": link(3)});
    assert_eq!(second.body["links"], links);
    let meta = json!({"current_page": 2, "from": 3, "last_page": 3, "path": path, "per_page": 2, "to": 4, "total": 5});
    assert_eq!(second.body["meta"], meta);
    let beyond = rest.get(&format!("{PRODUCTS}?page=9&per_page=2")).await;
    assert!(beyond.column("sku").is_empty());
    assert_eq!((&beyond.body["meta"]["total"], &beyond.body["links"]["next"]), (&json!(5), &Value::Null));
}

async fn products_are_filtered_and_sorted(db: TestDb) {
    let rest = Rest::open(db).await;
    let shelf = rest.post(CATEGORIES, json!({"name": "Drinks"})).await.id();
    for body in [
        json!({"name": "Green Tea", "sku": "A", "price": 3, "stock": 9, "category_id": shelf, "barcode": "77"}),
        json!({"name": "100% black_tea", "sku": "B", "price": 2, "stock": 1, "min_stock": 1, "is_active": false}),
        json!({"name": "Pot", "sku": "C", "price": 2, "stock": 5, "is_ecommerce": true}),
    ] {
        rest.post(PRODUCTS, body).await.id();
    }
    let skus = async |query: &str| {
        let reply = rest.get(&format!("{PRODUCTS}?{query}")).await;
        reply.column("sku").iter().map(|sku| sku.as_str().unwrap()).collect::<String>()
    };
    for (query, expected) in [
        ("sort=price,-name", "CBA"),
        ("sort=-stock", "ACB"),
        ("filter[name]=TEA", "AB"),
        ("filter[name]=100%25", "B"),
        ("filter[name]=k_t", "B"),
        ("filter[name]=%25_", ""),
        ("filter%5Bsku%5D=B", "B"),
        ("filter[barcode]=77", "A"),
        (&format!("filter[category_id]={shelf}"), "A"),
        ("filter[is_active]=false", "B"),
        ("filter[is_ecommerce]=1", "C"),
        ("filter[is_low_stock]=true", "B"),
        ("filter[is_low_stock]=0&sort=sku", "AC"),
        ("filter[name]=tea&filter[is_active]=true", "A"),
    ] {
        assert_eq!(skus(query).await, expected, "{query}");
    }
    let named = rest.get(&format!("{PRODUCTS}?filter[sku]=A")).await;
    assert_eq!(named.body["data"][0]["category"]["name"], "Drinks");
    let query = "filter[colour]=red&sort=cost&per_page=101&limit=3&filter[is_active]=x";
    let refused = rest.get(&format!("{PRODUCTS}?{query}")).await;
    let faults = vec!["filter[colour]", "filter[is_active]", "limit", "per_page", "sort"];
    assert_eq!(refused.refusal(), (422, faults));
}

async fn orders_are_filtered_and_sorted(db: TestDb) {
    let rest = Rest::open(db).await;
    let product = rest.post(PRODUCTS, tea("T-1")).await.id();
    for (number, customer, day) in [("A", json!("Bo Lee"), 3), ("B", Value::Null, 1), ("C", json!("Jo"), 2)] {
        let body = json!({
            "order_number": number, "customer_name": customer, "ordered_at": format!("2026-02-0{day}T00:00:00Z"),
            "items": [{"product_id": product, "quantity": 1}],
        });
        rest.post(ORDERS, body).await.id();
    }
    let user = rest.shop.user;
    for (query, expected) in [
        ("sort=ordered_at", "BCA"),
        ("sort=-order_number", "CBA"),
        ("filter[status]=pending", "ABC"),
        ("filter[status]=completed", ""),
        ("filter[order_number]=B", "B"),
        ("filter[customer_name]=LEE", "A"),
        (&format!("filter[user_id]={user}"), "ABC"),
        ("filter[ordered_from]=2026-02-02T00:00:00Z&filter[ordered_to]=2026-02-03T00:00:00Z", "C"),
    ] {
        let reply = rest.get(&format!("{ORDERS}?{query}")).await;
        let numbers: String = reply.column("order_number").iter().map(|n| n.as_str().unwrap()).collect();
        assert_eq!(numbers, expected, "{query}");
        assert!(reply.column("items").iter().all(|items| items[0]["quantity"] == 1));
    }
    let wrong =
        rest.get(&format!("{ORDERS}?filter[status]=lost&filter[ordered_from]=yesterday&sort=items")).await;
    assert_eq!(wrong.refusal(), (422, vec!["filter[ordered_from]", "filter[status]", "sort"]));
}

async fn categories_are_filtered_and_count_their_products(db: TestDb) {
    let rest = Rest::open(db).await;
    let drinks = rest.post(CATEGORIES, json!({"name": "Drinks"})).await.id();
    rest.post(CATEGORIES, json!({"name": "Pots", "is_active": false, "icon": "pot"})).await.id();
    for sku in ["A", "B"] {
        let mut body = tea(sku);
        body["category_id"] = json!(drinks);
        rest.post(PRODUCTS, body).await.id();
    }
    let all = rest.get(&format!("{CATEGORIES}?sort=-name")).await;
    assert_eq!(all.column("slug"), ["pots", "drinks"]);
    assert_eq!(all.column("product_count"), [0, 2]);
    assert_eq!(rest.get(&format!("{CATEGORIES}?filter[is_active]=true")).await.column("name"), ["Drinks"]);
    assert_eq!(rest.get(&format!("{CATEGORIES}?filter[slug]=pots")).await.column("icon"), ["pot"]);
    assert_eq!(rest.get(&format!("{CATEGORIES}?filter[name]=rink")).await.column("id"), [drinks]);
    let path = format!("{CATEGORIES}/{drinks}");
    assert_eq!(rest.delete(&path).await.status, 409);
    let renamed = rest.patch(&path, json!({"name": "Hot drinks"})).await;
    assert_eq!(
        (&renamed.body["data"]["slug"], &renamed.body["data"]["product_count"]),
        (&json!("hot-drinks"), &json!(2))
    );
}

#[actix_rt::test]
async fn a_body_that_is_no_json_is_a_400() {
    let rest = sqlite().await;
    for body in ["", "{", "{\"name\": }", "\u{0}", "{}{}", &"[".repeat(10_000)] {
        let reply = rest.ask("POST", PRODUCTS).text("application/json", body).send().await;
        assert_eq!(reply.refusal(), (400, vec![]), "{body:.20}");
        assert!(reply.message().starts_with("The body is not JSON"), "{reply:?}");
    }
    for body in ["[]", "null", "7", "\"x\""] {
        let reply = rest.ask("POST", PRODUCTS).text("application/json", body).send().await;
        assert_eq!((reply.refusal(), reply.message()), ((422, vec![]), "The body must be a JSON object."));
    }
}

#[actix_rt::test]
async fn wrong_types_and_unknown_fields_are_a_422_that_names_them() {
    let rest = sqlite().await;
    let wrong =
        json!({"name": 7, "nmae": "Tea", "price": "950", "stock": 1.5, "currency": "peso", "image": "\u{0}"});
    let reply = rest.post(PRODUCTS, wrong).await;
    assert_eq!(reply.refusal(), (422, vec!["currency", "image", "name", "nmae", "price", "sku", "stock"]));
    assert!(reply.message().ends_with("(and 6 more errors)"), "{reply:?}");
    assert_eq!(rest.post(CATEGORIES, json!({"slug": "x"})).await.refusal(), (422, vec!["name", "slug"]));
    let product = rest.post(PRODUCTS, tea("T-1")).await.id();
    let item = json!({"product_id": product, "quantity": 0, "colour": "red"});
    let order = rest.post(ORDERS, json!({"items": [item], "status": "completed"})).await;
    assert_eq!(order.refusal(), (422, vec!["items.0.colour", "items.0.quantity", "status"]));
    let taken = rest.post(PRODUCTS, tea("T-1")).await;
    assert_eq!(
        taken.body,
        json!({
            "message": "The sku has already been taken.",
            "errors": {"sku": ["The sku has already been taken."]},
        })
    );
    let huge = rest.patch(&format!("{PRODUCTS}/{product}"), json!({"price": 1_000_000_000_001_i64})).await;
    assert_eq!(huge.refusal(), (422, vec!["price"]));
}

#[actix_rt::test]
async fn a_body_of_another_type_is_a_415() {
    let rest = sqlite().await;
    let body = tea("T-1").to_string();
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        let reply = rest.ask("POST", PRODUCTS).text(content_type, &body).send().await;
        assert_eq!(reply.refusal(), (415, vec![]), "{content_type}");
    }
    let unsaid = rest.ask("POST", PRODUCTS).text("", &body).without("content-type").send().await;
    assert_eq!(unsaid.status, 415);
    let charset = rest.ask("POST", PRODUCTS).text("application/json; charset=utf-8", &body).send().await;
    assert_eq!(charset.status, 201);
}

#[actix_rt::test]
async fn a_body_over_the_limit_is_a_413() {
    let server = Server { max_body_bytes: 1_000, ..Server::default() };
    let config = Config { server, ..Config::default() };
    let rest = Rest::open_with(TestDb::sqlite().await, config).await;
    let mut body = tea("T-1");
    body["description"] = json!("x".repeat(2_000));
    let reply = rest.post(PRODUCTS, body).await;
    assert_eq!((reply.refusal(), reply.message()), ((413, vec![]), "The body must be at most 1000 bytes."));
    let head = format!("POST {PRODUCTS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n", rest.token);
    let declared = format!("{head}Content-Type: application/json\r\nContent-Length: 5000000000\r\n\r\n");
    assert_eq!(raw(&rest, declared).await, "HTTP/1.1 413 Payload Too Large");
    let chunk = format!("400\r\n{}\r\n", "x".repeat(1_024));
    let chunked =
        format!("{head}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}");
    assert_eq!(raw(&rest, chunked).await, "HTTP/1.1 413 Payload Too Large");
    assert_eq!(rest.post(PRODUCTS, tea("T-1")).await.status, 201);
}

/// Sends bytes as they are and reads the status line.
async fn raw(rest: &Rest, request: String) -> String {
    let address = rest.address().to_owned();
    let exchange = move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = [0; 1_024];
        let length = stream.read(&mut answer).unwrap();
        String::from_utf8_lossy(&answer[..length]).lines().next().unwrap_or_default().to_owned()
    };
    actix_rt::task::spawn_blocking(exchange).await.unwrap()
}

#[derive(diesel::QueryableByName)]
struct Odd {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    odd: i64,
}

async fn clients_that_hang_up_hurt_nobody(db: TestDb) {
    let rest = Rest::open(db).await;
    let (address, token) = (rest.address().to_owned(), rest.token.clone());
    let hang_up = move |n: usize| {
        let body = tea(&format!("T-{n}")).to_string();
        let request = format!(
            "POST {PRODUCTS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        // Some leave at once, some in the middle of the work.
        std::thread::sleep(std::time::Duration::from_micros(100 * (n as u64 % 30)));
    };
    actix_rt::task::spawn_blocking(move || (0..150).for_each(hang_up)).await.unwrap();
    rest.post(PRODUCTS, tea("last")).await.id();
    // In one statement, as some of the work may still be under way.
    let count = "SELECT COUNT(*) - (SELECT COUNT(*) FROM products) AS odd FROM events";
    let mut conn = rest.db.read().await.unwrap();
    let odd: Odd = on_conn!(&mut conn, c => diesel::sql_query(count).get_result(c).await).unwrap();
    assert_eq!(odd.odd, 0, "each change that was committed has its event");
}

#[actix_rt::test]
async fn a_caller_nobody_knows_is_a_401() {
    let rest = sqlite().await;
    let revoked = rest.shop.token(&["*"]).await;
    rest.db
        .transaction(async |conn| bellwire::auth::token::revoke(conn, bellwire::domain::TokenId(2)).await)
        .await
        .unwrap();
    let refused = |reply: &Reply| {
        assert_eq!((reply.refusal(), reply.message()), ((401, vec![]), "Unauthenticated."));
        assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
    };
    refused(&rest.ask("GET", PRODUCTS).without("authorization").send().await);
    refused(&rest.ask("GET", PRODUCTS).header("authorization", "Basic eDp5").send().await);
    for token in ["", "x", "1|wrong", &revoked] {
        refused(&rest.ask("GET", PRODUCTS).token(token).send().await);
    }
    // Before anything is read of the body.
    refused(&rest.ask("POST", PRODUCTS).without("authorization").text("text/plain", "x").send().await);
    assert_eq!(rest.get(&format!("{PRODUCTS}?token={}", rest.token.replace('|', "%7C"))).await.status, 422);
}

#[actix_rt::test]
async fn a_token_without_the_ability_is_a_403_that_names_it() {
    let rest = sqlite().await;
    let product = rest.post(PRODUCTS, tea("T-1")).await.id();
    let category = rest.post(CATEGORIES, json!({"name": "Drinks"})).await.id();
    let order = rest.post(ORDERS, json!({"items": [{"product_id": product, "quantity": 1}]})).await.id();
    for (room, path, id) in
        [("products", PRODUCTS, product), ("categories", CATEGORIES, category), ("orders", ORDERS, order)]
    {
        let (read, write) = (format!("{room}:read"), format!("{room}:write"));
        let (reader, writer) = (rest.shop.token(&[&read]).await, rest.shop.token(&[&write]).await);
        let one = format!("{path}/{id}");
        for (method, path, ability) in [
            ("GET", path, &read),
            ("GET", &one, &read),
            ("POST", path, &write),
            ("PUT", &one, &write),
            ("PATCH", &one, &write),
            ("DELETE", &one, &write),
        ] {
            let other = if *ability == read { &writer } else { &reader };
            let refused = rest.ask(method, path).token(other).json(&json!({})).send().await;
            assert_eq!(refused.refusal(), (403, vec![]), "{method} {path}");
            assert!(refused.message().contains(ability.as_str()), "{refused:?}");
        }
        assert_eq!(rest.ask("GET", &one).token(&reader).send().await.status, 200);
        assert_eq!(rest.ask("PATCH", &one).token(&writer).json(&json!({})).send().await.status, 200);
    }
}

#[actix_rt::test]
async fn what_is_not_there_is_a_404_and_another_tenant_s_rows_are_not_there() {
    let rest = sqlite().await;
    let other = Shop::open(&rest.db).await;
    let product = other.product(5).await.product.id;
    let order =
        other.order(json!({"items": [{"product_id": product, "quantity": 1}]})).await.unwrap().order.id;
    for path in [
        format!("{PRODUCTS}/{product}"),
        format!("{ORDERS}/{order}"),
        format!("{PRODUCTS}/999"),
        format!("{CATEGORIES}/1"),
    ] {
        for method in ["GET", "PATCH", "DELETE"] {
            let reply = rest.ask(method, &path).json(&json!({})).send().await;
            assert_eq!(reply.refusal(), (404, vec![]), "{method} {path}");
        }
    }
    assert!(rest.get(PRODUCTS).await.column("id").is_empty());
    assert!(rest.get(ORDERS).await.column("id").is_empty());
    for path in
        ["/", "/api/v1/products/", "/api/v1/products/tea", "/api/v1/products/99999999999999999999", "/x%FF"]
    {
        let reply = rest.get(path).await;
        assert_eq!(
            (reply.refusal(), reply.message()),
            ((404, vec![]), "There is nothing at this address."),
            "{path}"
        );
    }
}

#[actix_rt::test]
async fn a_method_that_is_not_offered_is_a_405_that_says_which_are() {
    let rest = sqlite().await;
    for (path, allow) in
        [(PRODUCTS.to_owned(), "GET, POST"), (format!("{ORDERS}/1"), "GET, PUT, PATCH, DELETE")]
    {
        let reply = rest.ask("TRACE", &path).send().await;
        assert_eq!(reply.refusal(), (405, vec![]));
        assert_eq!(reply.header("allow"), Some(allow));
    }
}

#[actix_rt::test]
async fn the_connection_that_caused_a_change_is_named_in_its_events() {
    let rest = sqlite().await;
    let cause = async |socket: &str| {
        let before = rest.shop.last_event().await;
        let id =
            rest.ask("POST", PRODUCTS).header("x-socket-id", socket).json(&tea(socket)).send().await.id();
        let path = format!("{PRODUCTS}/{id}");
        rest.ask("PATCH", &path).header("x-socket-id", socket).json(&json!({"name": "x"})).send().await;
        rest.ask("DELETE", &path).header("x-socket-id", socket).send().await;
        let mut conn = rest.db.read().await.unwrap();
        let events = outbox::read_after(&mut conn, before, 10).await.unwrap();
        events.iter().map(|e| e.except.map(|s| s.to_string())).collect::<Vec<_>>()
    };
    assert_eq!(cause("123.456").await, vec![Some("123.456".to_owned()); 3]);
    assert_eq!(cause("undefined").await, vec![None; 3]);
}

#[actix_rt::test]
async fn every_answer_has_a_request_id_and_is_counted() {
    let rest = sqlite().await;
    let own = rest.get(PRODUCTS).await;
    assert_eq!(own.header("x-request-id").unwrap().len(), 32);
    let given = rest.ask("GET", "/nowhere").header("x-request-id", "edge-7.a_b").send().await;
    assert_eq!(given.header("x-request-id"), Some("edge-7.a_b"));
    for odd in ["a b", &"x".repeat(65), "a;b"] {
        let reply = rest.ask("GET", PRODUCTS).header("x-request-id", odd).send().await;
        assert_eq!(reply.header("x-request-id").unwrap().len(), 32, "{odd}");
    }
    let count = |status| rest.shop.metrics.http_responses.with_label_values(&[status]).get();
    assert_eq!((count("200"), count("404")), (4, 1));
}

#[actix_rt::test]
async fn a_database_that_is_away_is_a_503_and_its_return_is_noticed() {
    let mut rest = Rest::open(TestDb::postgres().await).await;
    rest.post(PRODUCTS, tea("T-1")).await.id();
    rest.db.server().unwrap().stop();
    for reply in [rest.get(PRODUCTS).await, rest.post(PRODUCTS, tea("T-2")).await] {
        assert_eq!(reply.refusal(), (503, vec![]));
        assert_eq!(reply.header("retry-after"), Some("1"));
    }
    rest.db.server().unwrap().start_again();
    rest.post(PRODUCTS, tea("T-2")).await.id();
    assert_eq!(rest.get(PRODUCTS).await.column("sku"), ["T-1", "T-2"]);
    assert_eq!(rest.shop.events_after(EventId(0)).await.len(), 2);
}

#[actix_rt::test]
async fn a_full_disk_is_a_503_and_leaves_nothing_half_written() {
    let rest = sqlite().await;
    // SQLite is told that the disk ends here; the limit is the connection's own, and one connection writes.
    let limit = async |pages: u32| {
        let pragma = diesel::sql_query(format!("PRAGMA max_page_count = {pages}"));
        rest.db.transaction(async |conn| Ok(on_conn!(conn, c => pragma.execute(c).await)?)).await.unwrap();
    };
    limit(160).await;
    let mut body = tea("T-0");
    body["description"] = json!("x".repeat(5_000));
    let mut made = 0;
    let full = loop {
        body["sku"] = json!(format!("T-{made}"));
        let reply =
            rest.ask("POST", PRODUCTS).header("idempotency-key", &made.to_string()).json(&body).send().await;
        if reply.status != 201 {
            break reply;
        }
        made += 1;
        assert!(made < 100, "the disk never fills");
    };
    assert!(made > 0, "the disk was full before the first");
    assert_eq!(full.refusal(), (503, vec![]));
    assert_eq!(rest.get(&format!("{PRODUCTS}?per_page=100")).await.column("id").len(), made);
    assert_eq!(rest.shop.events_after(EventId(0)).await.len(), made);
    limit(1_000_000).await;
    let again =
        rest.ask("POST", PRODUCTS).header("idempotency-key", &made.to_string()).json(&body).send().await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (201, None));
    assert_eq!(rest.shop.events_after(EventId(0)).await.len(), made + 1);
}
