//! How deep arrays and objects are nested in a text that is about to be read as JSON: one pass over the bytes,
//! no recursion, no memory. What is skipped when it is read, or passed on unread, is counted here as well.

/// Whether nothing in the text is nested deeper than `most`. Of a text that is not JSON it is only known that it
/// says so too.
pub fn is_within(text: &str, most: usize) -> bool {
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        if quoted {
            (quoted, escaped) = match byte {
                _ if escaped => (true, false),
                b'\\' => (true, true),
                b'"' => (false, false),
                _ => (true, false),
            };
            continue;
        }
        match byte {
            b'"' => quoted = true,
            b'[' | b'{' if depth == most => return false,
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    #[test]
    fn brackets_are_counted_where_they_nest_and_not_in_strings() {
        for (text, depth) in [
            ("", 0),
            ("1", 0),
            ("[]", 1),
            (r#"{"a":[1,[2],[3]]}"#, 3),
            (r#"["[[[["]"#, 1),
            (r#"["\"[[",[]]"#, 2),
            (r#"["\\",[[]]]"#, 3),
            ("]]]][[", 2),
        ] {
            assert!(is_within(text, depth), "{text}");
            assert!(depth == 0 || !is_within(text, depth - 1), "{text}");
        }
        assert!(!is_within(&"[".repeat(1_000_000), 64));
    }

    fn depth_of(value: &Value) -> usize {
        match value {
            Value::Array(items) => 1 + items.iter().map(depth_of).max().unwrap_or(0),
            Value::Object(fields) => 1 + fields.values().map(depth_of).max().unwrap_or(0),
            _ => 0,
        }
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf =
            prop_oneof![any::<i64>().prop_map(Value::from), "[\\[\\]{}\"\\\\a]{0,8}".prop_map(Value::from)];
        leaf.prop_recursive(8, 64, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::hash_map("[\\[{\"\\\\]{0,4}", inner, 0..4)
                    .prop_map(|fields| fields.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_depth_is_that_of_the_parsed_value(value in json()) {
            let (text, depth) = (value.to_string(), depth_of(&value));
            prop_assert!(is_within(&text, depth));
            prop_assert!(depth == 0 || !is_within(&text, depth - 1));
        }
    }
}
