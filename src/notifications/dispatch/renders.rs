//! `Renders`: the words of a batch. What many are told is rendered once for each of its languages, and templates, which
//! tenants write, may take so much of a batch's time and no more: whoever waits for the batch's transaction waits for
//! them too.

use super::notice::{Content, Message};
use crate::notifications::template::{Rendered, Template};
use std::collections::HashMap;
use std::ptr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What the templates of one batch may take together: a thousand renderings of the largest of the system's are a tenth
/// of it.
const BUDGET: Duration = Duration::from_secs(1);

/// After so long others that live on the same thread have their turn.
const TURN: Duration = Duration::from_millis(10);

type Words = Result<Arc<Rendered>, String>;

/// See the module. It lives as long as the notices that it is asked for.
#[derive(Debug, Default)]
pub(super) struct Renders {
    /// By where the message and the template are.
    done: HashMap<(usize, usize), Words>,
    spent: Duration,
    since_turn: Duration,
}

impl Renders {
    /// The words of the message in this template, or its own where it has none.
    pub(super) fn words(&mut self, message: &Arc<Message>, template: Option<&Template>) -> Words {
        let key =
            (Arc::as_ptr(message).addr(), template.map_or(0, |template| ptr::from_ref(template).addr()));
        if let Some(words) = self.done.get(&key) {
            return words.clone();
        }
        let words = self.render(&message.content, template);
        self.done.insert(key, words.clone());
        words
    }

    fn render(&mut self, content: &Content, template: Option<&Template>) -> Words {
        match content {
            Content::Words { title, body } => Ok(Arc::new(Rendered::plain(title, body))),
            Content::Template { variables, .. } => {
                let template = template.ok_or("The template is not there any more.")?;
                if self.spent >= BUDGET {
                    return Err("It was sent with others whose templates take too long: make them simpler."
                        .to_owned());
                }
                let begun = Instant::now();
                let rendered = template.render(variables);
                self.spent += begun.elapsed();
                self.since_turn += begun.elapsed();
                rendered.map(Arc::new).map_err(|error| error.to_string())
            }
        }
    }

    /// Lets others have their turn when it is time.
    pub(super) async fn take_turns(&mut self) {
        if self.since_turn >= TURN {
            self.since_turn = Duration::ZERO;
            tokio::task::yield_now().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::notice::Extras;
    use super::super::wordings::Wordings;
    use super::*;
    use crate::domain::TemplateId;
    use crate::notifications::template::TemplateSource;
    use crate::notifications::templates::Pinned;
    use crate::notifications::{NotificationType, Priority};
    use serde_json::json;

    fn template(text: &str) -> Template {
        let source =
            TemplateSource { title: "t".to_owned(), body_text: text.to_owned(), ..TemplateSource::default() };
        Template::compile(&source).unwrap()
    }

    fn message() -> Arc<Message> {
        let version = Pinned { template: TemplateId(1), version: 1 };
        let wordings = Arc::new(Wordings::pinned(version, Arc::default()));
        let variables = json!({"name": "Ana"}).as_object().unwrap().clone();
        Arc::new(Message {
            kind: NotificationType::parse("promo").unwrap(),
            priority: Priority::Normal,
            content: Content::Template { wordings, variables },
            extras: Extras::default(),
            channels: None,
        })
    }

    #[test]
    fn what_many_are_told_is_rendered_once_for_each_of_its_templates() {
        let (english, filipino, message) =
            (template("Hi {{ name }}"), template("Kumusta {{ name }}"), message());
        let mut renders = Renders::default();
        let first = renders.words(&message, Some(&english)).unwrap();
        assert_eq!(first.body_text, "Hi Ana");
        assert!(Arc::ptr_eq(&first, &renders.words(&message, Some(&english)).unwrap()));
        assert_eq!(renders.words(&message, Some(&filipino)).unwrap().body_text, "Kumusta Ana");
        assert!(renders.words(&self::message(), None).unwrap_err().contains("not there"));
    }

    #[test]
    fn templates_that_took_their_time_are_rendered_no_more() {
        let (template, kept) = (template("Hi {{ name }}"), message());
        let mut renders = Renders::default();
        renders.words(&kept, Some(&template)).unwrap();
        renders.spent = BUDGET;
        assert!(renders.words(&message(), Some(&template)).unwrap_err().contains("too long"));
        assert!(renders.words(&kept, Some(&template)).is_ok(), "what is done is done");
    }
}
