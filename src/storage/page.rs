//! `Page`: which part of a list is asked for and in which order, parsed once from the query string.
//!
//! `page`, `per_page`, `sort=-price,name` and `filter[…]`; whatever else stands in the query is an error that
//! names it. A list that may be long has a [`Cursor`] instead of pages and one order: it need not be counted, and
//! its thousandth part costs what its first does. Reads like `domain::Fields`: every error is collected, and `finish` gives the verdict.

pub(crate) mod keyset;

use crate::domain::error::FieldErrors;
use crate::domain::{Error, Result, Timestamp};
use std::collections::BTreeMap;
use std::str::FromStr;

const PER_PAGE: i64 = 15;
const MAX_PER_PAGE: i64 = 100;

/// Far beyond any table, and its product with `per_page` far below 2⁶³.
const MAX_PAGE: i64 = 1_000_000_000;

/// Longest text to filter by.
const MAX_TEXT: usize = 255;

/// The part of a list that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// From 1.
    pub number: i64,
    /// 1 to 100.
    pub per_page: i64,
    /// The first counts most; the id decides between equals.
    pub sorts: Vec<Sort>,
}

/// One part of `sort=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sort {
    /// The column.
    pub column: &'static str,
    /// `-` stood before it.
    pub descending: bool,
}

impl Page {
    /// Rows before this page.
    pub fn offset(&self) -> i64 {
        (self.number - 1) * self.per_page
    }

    /// How many rows there are in all, when this page's rows tell: it is the last, and has some or is the first.
    pub fn total_if_last(&self, rows: usize) -> Option<i64> {
        let rows = i64::try_from(rows).ok()?;
        (rows < self.per_page && (rows > 0 || self.number == 1)).then(|| self.offset() + rows)
    }
}

/// A page's rows, and how many there are in all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed<T> {
    /// Of this page.
    pub rows: Vec<T>,
    /// Of all pages.
    pub total: i64,
}

/// The part of a long list that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// Rows that stand behind this one; from the beginning where there is none.
    pub after: Option<i64>,
    /// 1 to 100.
    pub per_page: usize,
}

/// Some rows of a long list, and where it goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice<T> {
    /// Perhaps fewer than were asked for, also where more follow.
    pub rows: Vec<T>,
    /// The next [`Cursor::after`]; none at the list's end.
    pub next: Option<i64>,
}

/// What a list can be sorted and filtered by.
pub(crate) struct Columns {
    pub(crate) sorts: &'static [&'static str],
    pub(crate) filters: &'static [&'static str],
}

/// A list's query string, being read.
pub(crate) struct ListQuery {
    page: Page,
    /// Of a list without pages.
    after: Option<i64>,
    filters: BTreeMap<&'static str, String>,
    errors: FieldErrors,
}

impl ListQuery {
    /// Of a list that is read by cursor: `cursor`, `per_page` and filters.
    pub(crate) fn parse_cursor(query: &str, filters: &'static [&'static str]) -> Self {
        let mut list = Self::empty();
        for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match &*key {
                "cursor" => list.after = list.number("cursor", &value, i64::MAX),
                "per_page" => {
                    list.page.per_page = list.number("per_page", &value, MAX_PER_PAGE).unwrap_or(1);
                }
                key => list.filter(key, &value, filters, "cursor, per_page"),
            }
        }
        list
    }

    fn empty() -> Self {
        let page = Page { number: 1, per_page: PER_PAGE, sorts: Vec::new() };
        Self { page, after: None, filters: BTreeMap::new(), errors: FieldErrors::new() }
    }

    pub(crate) fn parse(query: &str, columns: &Columns) -> Self {
        let mut list = Self::empty();
        for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match &*key {
                "page" => list.page.number = list.number("page", &value, MAX_PAGE).unwrap_or(1),
                "per_page" => {
                    list.page.per_page = list.number("per_page", &value, MAX_PER_PAGE).unwrap_or(1);
                }
                "sort" => list.sort(&value, columns.sorts),
                key => list.filter(key, &value, columns.filters, "page, per_page, sort"),
            }
        }
        list
    }

    fn wrong(&mut self, key: &str, message: String) {
        self.errors.entry(key.to_owned()).or_default().push(message);
    }

    fn number(&mut self, key: &str, value: &str, max: i64) -> Option<i64> {
        let number = value.parse().ok().filter(|n| (1..=max).contains(n));
        if number.is_none() {
            self.wrong(key, format!("The {key} parameter must be a number between 1 and {max}."));
        }
        number
    }

    fn sort(&mut self, value: &str, known: &'static [&'static str]) {
        for part in value.split(',') {
            let name = part.strip_prefix('-').unwrap_or(part);
            match known.iter().find(|column| **column == name) {
                Some(column) => {
                    self.page.sorts.push(Sort { column, descending: part.starts_with('-') });
                }
                None => self.wrong(
                    "sort",
                    format!("There is no sort \"{name}\" here; known are: {}.", known.join(", ")),
                ),
            }
        }
    }

    fn filter(&mut self, key: &str, value: &str, known: &'static [&'static str], others: &str) {
        let name = key.strip_prefix("filter[").and_then(|rest| rest.strip_suffix(']'));
        let column = name.and_then(|name| known.iter().find(|column| **column == name));
        match column {
            Some(_) if value.contains('\0') || value.len() > MAX_TEXT => {
                let message = format!("The {key} parameter must be at most {MAX_TEXT} bytes, without NUL.");
                self.wrong(key, message);
            }
            Some(column) => drop(self.filters.insert(column, value.to_owned())),
            None => {
                let filters: Vec<_> = known.iter().map(|f| format!("filter[{f}]")).collect();
                self.wrong(
                    key,
                    format!(
                        "The {key} parameter is unknown here; known are: {others}, {}.",
                        filters.join(", ")
                    ),
                );
            }
        }
    }

    /// A filter's text.
    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        self.filters.remove(name)
    }

    /// A filter's text as a pattern that finds it anywhere; its own wildcards are escaped with `\`.
    pub(crate) fn contains(&mut self, name: &str) -> Option<String> {
        let text = self.text(name)?;
        let escaped = text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
        Some(format!("%{escaped}%"))
    }

    /// A filter's value; `kind` says what it must be.
    pub(crate) fn value<T: FromStr>(&mut self, name: &str, kind: &str) -> Option<T> {
        self.read(name, kind, |text| text.parse().ok())
    }

    /// `true`, `false`, `1` or `0`.
    pub(crate) fn boolean(&mut self, name: &str) -> Option<bool> {
        self.read(name, "true or false", |text| match text {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        })
    }

    /// An RFC 3339 date and time.
    pub(crate) fn timestamp(&mut self, name: &str) -> Option<Timestamp> {
        self.read(name, "an RFC 3339 date and time", Timestamp::parse_rfc3339)
    }

    /// A filter that `read` understands.
    pub(crate) fn read<T>(&mut self, name: &str, kind: &str, read: impl Fn(&str) -> Option<T>) -> Option<T> {
        let text = self.text(name)?;
        let value = read(&text);
        if value.is_none() {
            let key = format!("filter[{name}]");
            self.wrong(&key, format!("The {key} parameter must be {kind}."));
        }
        value
    }

    /// The verdict: every error collected, or the page.
    pub(crate) fn finish(self) -> Result<Page> {
        if self.errors.is_empty() { Ok(self.page) } else { Err(Error::invalid(self.errors)) }
    }

    /// The verdict on a list that is read by cursor.
    pub(crate) fn finish_cursor(self) -> Result<Cursor> {
        let after = self.after;
        let page = self.finish()?;
        Ok(Cursor { after, per_page: usize::try_from(page.per_page).unwrap_or(1) })
    }
}

diesel::define_sql_function! {
    /// Lower case, as far as the database knows it: SQLite knows ASCII.
    fn lower<T: diesel::sql_types::SqlType + diesel::sql_types::SingleValue>(text: T) -> T;
}

/// Puts a boxed query into the page's order and cuts the page out. The columns are those of `Columns::sorts`.
macro_rules! paged {
    ($query:expr, $page:expr, $table:ident { $($column:ident),+ $(,)? }) => {{
        let mut query = $query;
        for sort in &$page.sorts {
            query = match (sort.column, sort.descending) {
                $(
                    (stringify!($column), false) => query.then_order_by($table::$column.asc()),
                    (stringify!($column), true) => query.then_order_by($table::$column.desc()),
                )+
                _ => query,
            };
        }
        query.then_order_by($table::id.asc()).limit($page.per_page).offset($page.offset())
    }};
}
pub(crate) use paged;

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: Columns = Columns { sorts: &["id", "price"], filters: &["is_active", "name"] };

    #[test]
    fn a_query_says_page_order_and_filters() {
        let mut query = ListQuery::parse(
            "page=3&per_page=20&sort=-price,id&filter[is_active]=true&filter%5Bname%5D=50%25+o_f",
            &COLUMNS,
        );
        assert_eq!(query.boolean("is_active"), Some(true));
        assert_eq!(query.contains("name").as_deref(), Some("%50\\% o\\_f%"));
        let page = query.finish().unwrap();
        assert_eq!((page.number, page.per_page, page.offset()), (3, 20, 40));
        assert_eq!(page.sorts[0], Sort { column: "price", descending: true });
        assert_eq!(page.sorts[1], Sort { column: "id", descending: false });
    }

    #[test]
    fn every_wrong_parameter_is_named() {
        let mut query = ListQuery::parse(
            "page=0&per_page=101&sort=cost&filter[colour]=red&limit=5&filter[is_active]=maybe&filter[name]=%00",
            &COLUMNS,
        );
        query.boolean("is_active");
        let error = query.finish().unwrap_err();
        let keys: Vec<_> = error.fields().keys().map(String::as_str).collect();
        let expected =
            ["filter[colour]", "filter[is_active]", "filter[name]", "limit", "page", "per_page", "sort"];
        assert_eq!(keys, expected);
    }

    #[test]
    fn a_long_list_goes_on_from_a_cursor() {
        let mut query = ListQuery::parse_cursor("cursor=77&per_page=20&filter[name]=tea", COLUMNS.filters);
        assert_eq!(query.text("name").as_deref(), Some("tea"));
        assert_eq!(query.finish_cursor().unwrap(), Cursor { after: Some(77), per_page: 20 });
        let query = ListQuery::parse_cursor("cursor=x&page=2&sort=id", COLUMNS.filters);
        let error = query.finish_cursor().unwrap_err();
        assert_eq!(error.fields().keys().collect::<Vec<_>>(), ["cursor", "page", "sort"]);
    }

    #[test]
    fn a_last_page_tells_the_total() {
        let page = |number| Page { number, per_page: 10, sorts: Vec::new() };
        assert_eq!(page(1).total_if_last(0), Some(0));
        assert_eq!(page(3).total_if_last(4), Some(24));
        assert_eq!(page(3).total_if_last(10), None);
        assert_eq!(page(3).total_if_last(0), None);
    }

    #[test]
    fn the_furthest_page_does_not_overflow() {
        let query = ListQuery::parse("page=1000000000&per_page=100", &COLUMNS);
        assert!(query.finish().unwrap().offset() > 0);
    }
}
