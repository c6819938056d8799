//! `Absent`: stands for a variable that was not given, and notes when a template cannot do without it.
//!
//! The engine says that a value is undefined, not which. So, when a rendering failed, it is repeated with one of
//! these wherever something is missing.

use super::Variables;
use minijinja::Value;
use minijinja::value::{Enumerator, Object, Serde};
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// The paths of what was used and was not there.
#[derive(Debug, Clone, Default)]
pub(super) struct Needed(Arc<Mutex<BTreeSet<String>>>);

impl Needed {
    fn note(&self, path: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned());
    }

    /// In the order of the alphabet.
    pub(super) fn paths(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

/// A variable that is not there.
#[derive(Debug)]
struct Absent {
    path: String,
    needed: Needed,
}

impl Object for Absent {
    fn get_value(self: &Arc<Self>, _key: &Value) -> Option<Value> {
        self.needed.note(&self.path);
        Some(Value::from_dyn_object(Arc::clone(self)))
    }

    /// Also what a loop and a length ask for.
    fn enumerate(self: &Arc<Self>) -> Enumerator {
        self.needed.note(&self.path);
        Enumerator::Empty
    }

    fn is_true(self: &Arc<Self>) -> bool {
        self.needed.note(&self.path);
        false
    }

    fn render(self: &Arc<Self>, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.needed.note(&self.path);
        Ok(())
    }
}

/// Whether a value stands for one that is not there: without noting it.
pub(super) fn is_absent(value: &Value) -> bool {
    value.is_undefined() || value.downcast_object_ref::<Absent>().is_some()
}

/// What was given, with something that notes at each of these paths, where nothing is.
pub(super) fn context(given: &Variables, paths: &[&str], needed: &Needed) -> Value {
    object(given, &paths.iter().map(|path| (*path, *path)).collect::<Vec<_>>(), needed)
}

/// `paths`: what is left of each within this object, and the whole.
fn object(given: &Variables, paths: &[(&str, &str)], needed: &Needed) -> Value {
    let mut values: BTreeMap<String, Value> =
        given.iter().map(|(name, value)| (name.clone(), Value::from(Serde(value)))).collect();
    let mut within: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    for (rest, whole) in paths {
        if let Some((name, rest)) = rest.split_once('.') {
            within.entry(name).or_default().push((rest, whole));
        } else {
            let absent = Absent { path: (*whole).to_owned(), needed: needed.clone() };
            values.insert((*rest).to_owned(), Value::from_object(absent));
        }
    }
    let nothing = Variables::new();
    for (name, paths) in within {
        let inner = given.get(name).and_then(Json::as_object).unwrap_or(&nothing);
        values.insert(name.to_owned(), object(inner, &paths, needed));
    }
    Value::from(values)
}
