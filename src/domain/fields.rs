//! `Fields`: reads a JSON object field by field and collects every error, in the words of Laravel's validator.
//!
//! Unknown fields are errors too: a misspelt field must not be dropped in silence. Each reader returns `None`
//! after recording an error, so a caller reads all fields first and asks `finish` for the verdict.

use crate::domain::error::FieldErrors;
use crate::domain::{Code, Error, Result};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// What a request's body said about one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given<T> {
    /// The field is not there.
    Absent,
    /// The field is `null`.
    Null,
    /// The field has a good value.
    Value(T),
    /// The field is there and wrong; the error is recorded.
    Wrong,
}

impl<T> Given<T> {
    /// The value, if there is one.
    pub fn value(self) -> Option<T> {
        match self {
            Self::Value(v) => Some(v),
            _ => None,
        }
    }

    /// For an update: `None` = leave the column, `Some(None)` = set it to null, `Some(Some(v))` = set it.
    pub fn change(self) -> Option<Option<T>> {
        match self {
            Self::Absent | Self::Wrong => None,
            Self::Null => Some(None),
            Self::Value(v) => Some(Some(v)),
        }
    }
}

/// A JSON object being read. `prefix` names where it stands (`items.0.`) in error keys.
#[derive(Debug)]
pub struct Fields {
    object: Map<String, Value>,
    known: BTreeSet<&'static str>,
    errors: FieldErrors,
    prefix: String,
}

impl Fields {
    /// Starts reading a request's body. Anything but an object is an error by itself.
    pub fn of(body: Value) -> Result<Self> {
        match body {
            Value::Object(object) => Ok(Self::nested(object, String::new())),
            _ => Err(Error::new(Code::Invalid, "The body must be a JSON object.")),
        }
    }

    /// Starts reading an object inside the body, such as one of `items`; `prefix` ends with a dot.
    pub fn nested(object: Map<String, Value>, prefix: String) -> Self {
        Self { object, known: BTreeSet::new(), errors: FieldErrors::new(), prefix }
    }

    /// Records that `name` is wrong, in words.
    pub fn wrong(&mut self, name: &str, message: impl Into<String>) {
        self.errors.entry(format!("{}{name}", self.prefix)).or_default().push(message.into());
    }

    /// Takes the errors of a nested object over.
    pub fn absorb(&mut self, errors: FieldErrors) {
        for (name, messages) in errors {
            self.errors.entry(name).or_default().extend(messages);
        }
    }

    /// Whether a field is there; a field that is asked for this way is not read yet.
    pub fn has(&self, name: &str) -> bool {
        self.object.contains_key(name)
    }

    /// The raw value of a field, marking it as known.
    pub fn raw(&mut self, name: &'static str) -> Given<Value> {
        self.known.insert(name);
        match self.object.remove(name) {
            None => Given::Absent,
            Some(Value::Null) => Given::Null,
            Some(value) => Given::Value(value),
        }
    }

    fn read<T>(&mut self, name: &'static str, kind: &str, convert: impl Fn(Value) -> Option<T>) -> Given<T> {
        match self.raw(name) {
            Given::Value(value) => {
                if let Some(converted) = convert(value) {
                    return Given::Value(converted);
                }
                self.wrong(name, format!("The {name} field must be {kind}."));
                Given::Wrong
            }
            Given::Absent => Given::Absent,
            Given::Null | Given::Wrong => Given::Null,
        }
    }

    /// A string of `min..=max` characters, without NUL (PostgreSQL cannot hold one).
    pub fn string(&mut self, name: &'static str, min: usize, max: usize) -> Given<String> {
        let given = self.read(name, "a string", |v| v.as_str().map(str::to_owned));
        let Given::Value(text) = given else { return given };
        let length = text.chars().count();
        let fault = if length < min {
            Some(format!("The {name} field must have at least {min} character(s)."))
        } else if length > max {
            Some(format!("The {name} field must not have more than {max} characters."))
        } else if text.contains('\0') {
            Some(format!("The {name} field must not contain NUL."))
        } else {
            None
        };
        match fault {
            Some(message) => {
                self.wrong(name, message);
                Given::Wrong
            }
            None => Given::Value(text),
        }
    }

    /// A whole number in `min..=max`. Numbers in strings and with fractions are refused.
    pub fn integer(&mut self, name: &'static str, min: i64, max: i64) -> Given<i64> {
        let given = self.read(name, "an integer", |v| v.as_i64());
        match given {
            Given::Value(n) if n < min || n > max => {
                self.wrong(name, format!("The {name} field must be between {min} and {max}."));
                Given::Wrong
            }
            other => other,
        }
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, name: &'static str) -> Given<bool> {
        self.read(name, "true or false", |v| v.as_bool())
    }

    /// An RFC 3339 date and time.
    pub fn timestamp(&mut self, name: &'static str) -> Given<crate::domain::Timestamp> {
        self.read(name, "an RFC 3339 date and time", |v| {
            v.as_str().and_then(crate::domain::Timestamp::parse_rfc3339)
        })
    }

    /// An array.
    pub fn array(&mut self, name: &'static str) -> Given<Vec<Value>> {
        self.read(name, "an array", |v| match v {
            Value::Array(items) => Some(items),
            _ => None,
        })
    }

    /// Insists on a field that must be there; records the error if it is not.
    pub fn required<T>(&mut self, name: &'static str, given: Given<T>) -> Option<T> {
        match given {
            Given::Value(value) => Some(value),
            Given::Wrong => None,
            Given::Absent | Given::Null => {
                self.wrong(name, format!("The {name} field is required."));
                None
            }
        }
    }

    /// Insists that a field, where given, is not null; `None` when absent or wrong.
    pub fn present<T>(&mut self, name: &'static str, given: Given<T>) -> Option<T> {
        if matches!(given, Given::Null) {
            self.wrong(name, format!("The {name} field must not be null."));
        }
        given.value()
    }

    /// The errors so far and those of fields nobody read.
    pub fn into_errors(mut self) -> FieldErrors {
        let known = self.known.iter().copied().collect::<Vec<_>>().join(", ");
        for name in self.object.keys().cloned().collect::<Vec<_>>() {
            self.wrong(&name, format!("The {name} field is unknown here; known are: {known}."));
        }
        self.errors
    }

    /// The verdict: every error collected, or nothing.
    pub fn finish(self) -> Result<()> {
        let errors = self.into_errors();
        if errors.is_empty() { Ok(()) } else { Err(Error::invalid(errors)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_error_is_collected_and_unknown_fields_are_named() {
        let mut fields = Fields::of(json!({"price": "12", "nmae": "x", "stock": -1})).unwrap();
        let name = fields.string("name", 1, 255);
        let name = fields.required("name", name);
        let price = fields.integer("price", 0, i64::MAX);
        let stock = fields.integer("stock", 0, 100);
        assert_eq!((name, price, stock), (None, Given::Wrong, Given::Wrong));
        let error = fields.finish().unwrap_err();
        let keys: Vec<_> = error.fields().keys().map(String::as_str).collect();
        assert_eq!(keys, ["name", "nmae", "price", "stock"]);
    }

    #[test]
    fn a_change_tells_absent_from_null() {
        let mut fields = Fields::of(json!({"barcode": null})).unwrap();
        assert_eq!(fields.string("barcode", 1, 50).change(), Some(None));
        assert_eq!(fields.string("description", 1, 50).change(), None);
        fields.finish().unwrap();
    }

    #[test]
    fn a_body_that_is_no_object_is_an_error() {
        assert_eq!(Fields::of(json!([1])).unwrap_err().code(), Code::Invalid);
    }
}
