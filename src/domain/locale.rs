//! `Locale`: a language, and in which order templates are looked for. Pure.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A BCP 47 tag of language, script and region: `pt`, `pt-BR`, `zh-Hant-TW`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Locale(String);

impl Locale {
    /// The language in which there is everything.
    pub fn english() -> Self {
        Self("en".to_owned())
    }

    /// Parses a tag, in letters of either case and with `-` or `_`; the error says what is accepted.
    pub fn parse(text: &str) -> Result<Self, String> {
        normal(text).map(Self).ok_or_else(|| {
            let shown: String = text.chars().take(40).collect();
            format!("\"{shown}\" is not a locale: write a language and, if need be, a region, such as pt-BR.")
        })
    }

    /// The tag.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// From the narrowest to the widest: `zh-Hant-TW`, `zh-Hant`, `zh`.
    fn widening(&self) -> impl Iterator<Item = Self> {
        let ends = self.0.match_indices('-').map(|(at, _)| at).rev();
        std::iter::once(self.0.len()).chain(ends).map(|end| Self(self.0[..end].to_owned()))
    }

    /// Where to look, first to last: what was asked for and its wider forms, the tenant's, English.
    pub fn chain(asked: Option<&Self>, tenant: Option<&Self>) -> Vec<Self> {
        let mut chain = Vec::new();
        for locale in asked.into_iter().chain(tenant).flat_map(Self::widening).chain([Self::english()]) {
            if !chain.contains(&locale) {
                chain.push(locale);
            }
        }
        chain
    }

    /// The first of a chain for which there is something.
    pub fn pick<T>(chain: &[Self], mut there: impl FnMut(&Self) -> Option<T>) -> Option<T> {
        chain.iter().find_map(&mut there)
    }
}

fn normal(text: &str) -> Option<String> {
    let mut subtags = text.split(['-', '_']);
    let language = subtags.next().filter(|t| matches!(t.len(), 2 | 3) && is_alphabetic(t))?;
    let mut tag = language.to_ascii_lowercase();
    let mut next = subtags.next();
    if let Some(script) = next.filter(|t| t.len() == 4 && is_alphabetic(t)) {
        tag = format!("{tag}-{}{}", script[..1].to_ascii_uppercase(), script[1..].to_ascii_lowercase());
        next = subtags.next();
    }
    if let Some(region) = next {
        let letters = region.len() == 2 && is_alphabetic(region);
        let digits = region.len() == 3 && region.bytes().all(|b| b.is_ascii_digit());
        if !letters && !digits {
            return None;
        }
        tag = format!("{tag}-{}", region.to_ascii_uppercase());
        next = subtags.next();
        return next.is_none().then_some(tag);
    }
    Some(tag)
}

fn is_alphabetic(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphabetic())
}

impl fmt::Display for Locale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Locale {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locale(text: &str) -> Locale {
        Locale::parse(text).unwrap()
    }

    #[test]
    fn a_tag_has_one_spelling() {
        for (written, tag) in
            [("EN", "en"), ("pt_br", "pt-BR"), ("ZH-hant-tw", "zh-Hant-TW"), ("es-419", "es-419")]
        {
            assert_eq!(locale(written).as_str(), tag);
        }
        for text in ["", "e", "english", "pt-", "pt-BRA", "pt-BR-x", "pt BR", "größe", "zh-Hant-TW-TW", "--"]
        {
            assert!(Locale::parse(text).unwrap_err().contains("such as pt-BR"), "{text:?}");
        }
    }

    #[test]
    fn it_is_looked_for_from_the_narrowest_to_english() {
        let chain = |asked: Option<&str>, tenant: Option<&str>| {
            let (asked, tenant) = (asked.map(locale), tenant.map(locale));
            let chain = Locale::chain(asked.as_ref(), tenant.as_ref());
            chain.iter().map(Locale::as_str).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(chain(Some("pt-BR"), Some("es")), "pt-BR pt es en");
        assert_eq!(chain(Some("zh-Hant-TW"), None), "zh-Hant-TW zh-Hant zh en");
        assert_eq!(chain(Some("en-GB"), Some("en-US")), "en-GB en en-US");
        assert_eq!(chain(None, Some("tl-PH")), "tl-PH tl en");
        assert_eq!(chain(None, None), "en");
    }

    #[test]
    fn the_first_there_is_is_taken() {
        let there = [("en", 1), ("pt", 2)];
        let find = |l: &Locale| there.iter().find(|(tag, _)| *tag == l.as_str()).map(|(_, n)| *n);
        assert_eq!(Locale::pick(&Locale::chain(Some(&locale("pt-BR")), None), find), Some(2));
        assert_eq!(Locale::pick(&Locale::chain(Some(&locale("de")), None), find), Some(1));
    }
}
