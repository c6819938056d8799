//! The system's templates: every tenant can use them, and none can change them. Data files, read at the start.

use super::{Template, TemplateKind, TemplateSource, Variables};
use crate::domain::{Code, Error, Locale, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// A variable of a template, for whoever has to give it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variable {
    /// What it is.
    pub about: String,
    /// What it may be; previews are rendered with it.
    pub example: Value,
    /// Whether the template does without it.
    #[serde(default)]
    pub optional: bool,
}

/// One template, in one language.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct SystemTemplate {
    /// By which it is found: the name of its file.
    #[serde(skip)]
    pub code: &'static str,
    /// For people.
    pub name: String,
    /// What it is for.
    pub kind: TemplateKind,
    /// Its language.
    pub locale: Locale,
    /// Its texts.
    #[serde(flatten)]
    pub source: TemplateSource,
    /// Its variables, by name.
    pub variables: BTreeMap<String, Variable>,
}

impl SystemTemplate {
    /// The examples of its variables.
    pub fn examples(&self) -> Variables {
        self.variables.iter().map(|(name, variable)| (name.clone(), variable.example.clone())).collect()
    }
}

/// All of them, in the order of their codes. An error is a defect of a file, and a test reads them all.
pub fn system_templates() -> Result<Vec<SystemTemplate>> {
    FILES.iter().map(|(code, file)| read(code, file)).collect()
}

fn read(code: &'static str, file: &str) -> Result<SystemTemplate> {
    let defect = |e: String| Error::new(Code::Internal, format!("the system template {code} is broken: {e}"));
    let template: SystemTemplate = toml::from_str(file).map_err(|e| defect(e.to_string()))?;
    Template::compile(&template.source).map_err(|e| defect(e.to_string()))?;
    Ok(SystemTemplate { code, ..template })
}

macro_rules! files {
    ($($code:literal,)+) => {
        [$(($code, include_str!(concat!("system/", $code, ".toml"))),)+]
    };
}

/// Code and file.
const FILES: [(&str, &str); 37] = files![
    "digest_email",
    "digest_in_app",
    "email_verification_email",
    "event_in_app",
    "event_webhook",
    "export_ready_email",
    "import_failed_in_app",
    "invoice_issued_email",
    "invoice_overdue_email",
    "maintenance_planned_in_app",
    "mention_in_app",
    "new_sign_in_email",
    "order_cancelled_email",
    "order_completed_email",
    "order_confirmation_email",
    "order_created_in_app",
    "order_status_in_app",
    "password_changed_email",
    "password_reset_email",
    "payment_failed_email",
    "payment_received_in_app",
    "product_low_stock_email",
    "product_low_stock_in_app",
    "product_out_of_stock_in_app",
    "report_ready_in_app",
    "role_changed_in_app",
    "security_alert_in_app",
    "task_assigned_in_app",
    "test_in_app",
    "user_welcome_email",
    "webhook_disabled_email",
    "workflow_approved_email",
    "workflow_approved_in_app",
    "workflow_rejected_email",
    "workflow_rejected_in_app",
    "workflow_submitted_email",
    "workflow_submitted_in_app",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notifications::template::TemplateError;
    use std::collections::BTreeSet;

    #[test]
    fn every_template_renders_with_its_examples_and_leaves_nothing_open() {
        for system in system_templates().unwrap() {
            let rendered = Template::compile(&system.source).unwrap().render(&system.examples());
            let rendered = rendered.unwrap_or_else(|e| panic!("{}: {e}", system.code));
            let texts =
                [rendered.subject, Some(rendered.title), Some(rendered.body_text), rendered.body_html];
            for text in texts.into_iter().flatten() {
                assert!(!text.trim().is_empty(), "{}", system.code);
                assert!(!text.contains("{{") && !text.contains("{%") && !text.contains("none"), "{text}");
            }
        }
    }

    #[test]
    fn every_template_declares_the_variables_that_it_uses_and_no_others() {
        for system in system_templates().unwrap() {
            let template = Template::compile(&system.source).unwrap();
            let top = |path: &String| path.split('.').next().unwrap_or_default().to_owned();
            let used: BTreeSet<String> = template.variables().iter().map(top).collect();
            let declared: BTreeSet<String> = system.variables.keys().cloned().collect();
            assert_eq!(used, declared, "{}", system.code);
        }
    }

    #[test]
    fn every_template_names_what_it_cannot_do_without_and_does_without_the_rest() {
        for system in system_templates().unwrap() {
            let template = Template::compile(&system.source).unwrap();
            for (name, variable) in &system.variables {
                let mut but_one = system.examples();
                but_one.remove(name);
                match template.render(&but_one) {
                    Ok(_) => assert!(variable.optional, "{} does without {name}", system.code),
                    Err(TemplateError::Missing(missing)) => {
                        assert!(!variable.optional, "{} needs {name}", system.code);
                        assert_eq!(missing, [name.as_str()], "{}", system.code);
                    }
                    Err(error) => panic!("{} without {name}: {error}", system.code),
                }
            }
            let nothing = template.missing(&Variables::new());
            let needed = system.variables.iter().filter(|(_, v)| !v.optional).map(|(name, _)| name.clone());
            assert_eq!(nothing, needed.collect::<Vec<_>>(), "{}", system.code);
        }
    }

    #[test]
    fn a_code_ends_with_the_kind_and_an_email_has_a_subject_and_html() {
        let all = system_templates().unwrap();
        assert!(all.len() > 20);
        assert!(all.is_sorted_by_key(|system| system.code), "no code twice");
        for system in all {
            assert!(system.code.ends_with(system.kind.as_str()), "{}", system.code);
            let email = system.kind == TemplateKind::Email;
            assert_eq!(system.source.subject.is_some(), email, "{}", system.code);
            assert_eq!(system.source.body_html.is_some(), email, "{}", system.code);
            assert_eq!(system.locale, Locale::english());
        }
    }

    #[test]
    fn every_file_is_in_the_catalogue() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/notifications/template/system");
        let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        let mut files: Vec<String> =
            names.map(|name| name.into_string().unwrap().replace(".toml", "")).collect();
        files.sort();
        assert_eq!(files, FILES.map(|(code, _)| code));
    }

    #[test]
    fn an_approval_reads_as_a_letter_would() {
        let all = system_templates().unwrap();
        let system = all.iter().find(|system| system.code == "workflow_approved_email").unwrap();
        let mut given = system.examples();
        given.insert("comments".to_owned(), "Well <b>done</b> & thanks".into());
        let rendered = Template::compile(&system.source).unwrap().render(&given).unwrap();
        assert_eq!(rendered.subject.unwrap(), "Approved: Purchase order 4711");
        assert_eq!(
            rendered.body_text,
            "Hello Ana Reyes,\n\nBen Cruz approved Purchase order 4711 on 2 Mar 2026 09:30.\n\n\
             Comments: Well <b>done</b> & thanks"
        );
        assert!(
            rendered.body_html.unwrap().contains("Well &lt;b&gt;done&lt;&#x2f;b&gt; &amp; thanks"),
            "HTML is escaped"
        );
    }
}
