//! The words of an event of the catalog, for those who subscribed to it. Pure.

use super::template::Variables;
use serde_json::{Value, json};

/// The template that tells of an event, and what it is given. A tenant's own template of that code goes before the
/// system's, as everywhere.
pub(super) fn words(event: &str, data: &Value) -> (&'static str, Variables) {
    if event == "order:created"
        && let Value::Object(order) = data
    {
        return ("order_created_in_app", order.clone());
    }
    let variables =
        [("event", json!(event)), ("summary", json!(summary(event, data))), ("data", data.clone())];
    ("event_in_app", variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// What happened, in a sentence.
pub(super) fn summary(event: &str, data: &Value) -> String {
    let (what, happened) = event.split_once(':').unwrap_or((event, ""));
    let text = |field: &str| match &data[field] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let name = match what {
        "order" => text("order_number"),
        "stock" => {
            return format!("There are {} left of product {}.", text("newStock"), text("productId"));
        }
        _ => text("name"),
    };
    let name = if name.is_empty() { text("id") } else { name };
    let mut what = what.to_owned();
    if let Some(first) = what.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    let status = if what == "Order" && !text("status").is_empty() {
        format!("; it is {} now", text("status"))
    } else {
        String::new()
    };
    format!("{what} {name} was {happened}{status}.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_told_in_a_sentence() {
        for (event, data, expected) in [
            ("product:updated", json!({"id": 3, "name": "Tea"}), "Product Tea was updated."),
            ("product:deleted", json!({"id": 3}), "Product 3 was deleted."),
            ("stock:updated", json!({"productId": 3, "newStock": 4}), "There are 4 left of product 3."),
            (
                "order:updated",
                json!({"order_number": "A-1", "status": "completed"}),
                "Order A-1 was updated; it is completed now.",
            ),
            ("category:created", json!({"id": 1, "name": "Drinks"}), "Category Drinks was created."),
        ] {
            assert_eq!(summary(event, &data), expected);
        }
    }

    #[test]
    fn a_new_order_has_words_of_its_own() {
        let (code, variables) = words("order:created", &json!({"order_number": "A-1"}));
        assert_eq!((code, &variables["order_number"]), ("order_created_in_app", &json!("A-1")));
        assert_eq!(words("order:updated", &json!({})).0, "event_in_app");
    }
}
