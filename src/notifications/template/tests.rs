//! Templates as tenants write them: good ones, wrong ones, and ones meant to do harm.

use super::*;
use proptest::prelude::*;
use serde_json::json;

fn source(title: &str) -> TemplateSource {
    TemplateSource { title: title.to_owned(), ..TemplateSource::default() }
}

fn vars(value: Value) -> Variables {
    let Value::Object(vars) = value else { panic!("an object") };
    vars
}

fn compiled(title: &str) -> Template {
    Template::compile(&source(title)).unwrap_or_else(|e| panic!("{title}: {e}"))
}

fn title(text: &str, given: Value) -> String {
    compiled(text).render(&vars(given)).unwrap_or_else(|e| panic!("{text}: {e}")).title
}

fn missing(text: &str, given: Value) -> Vec<String> {
    compiled(text).missing(&vars(given))
}

fn refused(text: &str) -> String {
    Template::compile(&source(text)).unwrap_err().to_string()
}

fn fails(body: &str, given: Value) -> String {
    let source = TemplateSource { body_text: body.to_owned(), ..source("t") };
    Template::compile(&source).unwrap().render(&vars(given)).unwrap_err().to_string()
}

#[test]
fn variables_are_put_where_they_stand() {
    assert_eq!(title("Hello {{ user.name }}!", json!({"user": {"name": "Ana"}})), "Hello Ana!");
    let list = "{% for item in items %}{{ item.name }}{% if not loop.last %}, {% endif %}{% endfor %}";
    assert_eq!(title(list, json!({"items": [{"name": "a"}, {"name": "b"}]})), "a, b");
    assert_eq!(
        title(
            "{{ n }} {{ big }} {{ yes }} {{ x }}",
            json!({"n": 1.5, "big": u64::MAX, "yes": true, "x": null})
        ),
        "1.5 18446744073709551615 true"
    );
    assert_eq!(title("{{ names | join(\", \") | upper }}", json!({"names": ["a", "b"]})), "A, B");
}

#[test]
fn the_variables_of_all_parts_are_listed_by_their_paths() {
    let source = TemplateSource {
        subject: Some("{{ order.id }}".to_owned()),
        title: "{{ name | default(\"you\") }}".to_owned(),
        body_text: "{% for item in items %}{{ item.name }} {{ shop }}{% endfor %}".to_owned(),
        body_html: Some("{{ order.total }}".to_owned()),
    };
    let template = Template::compile(&source).unwrap();
    assert_eq!(template.variables(), ["items", "name", "order.id", "order.total", "shop"]);
}

#[test]
fn what_is_missing_is_named() {
    let text = "{{ user.name }} {{ order.id }} {{ order.total }}";
    assert_eq!(missing(text, json!({})), ["order.id", "order.total", "user.name"]);
    assert_eq!(missing(text, json!({"order": {"id": 1}, "user": {}})), ["order.total", "user.name"]);
    assert_eq!(missing(text, json!({"order": {"id": 1, "total": 2}, "user": {"name": "x"}})), [""; 0]);
    let error = compiled(text).render(&vars(json!({"order": {"id": 1}, "user": 5}))).unwrap_err();
    assert_eq!(error, TemplateError::Missing(vec!["order.total".to_owned(), "user.name".to_owned()]));
    assert_eq!(error.to_string(), "The template needs these variables: order.total, user.name.");
    let fields: Vec<String> = Error::from(error).fields().keys().cloned().collect();
    assert_eq!(fields, ["variables.order.total", "variables.user.name"]);
}

#[test]
fn what_a_template_does_without_is_not_missing() {
    let text = "{{ a }}{{ b | default(\"-\") }}{% if c is defined %}{{ c }}{% endif %}";
    assert_eq!(missing(text, json!({})), ["a"]);
    assert_eq!(missing(text, json!({"a": 1})), [""; 0]);
    assert_eq!(title(text, json!({"a": 1})), "1-");
    let branches = "{% if flag %}{{ a }}{% else %}{{ b }}{% endif %}";
    assert_eq!(missing(branches, json!({"flag": true})), ["a"]);
    assert_eq!(missing(branches, json!({"flag": false, "b": 1})), [""; 0]);
    assert_eq!(
        missing("{% for x in list %}{{ x }}{% endfor %}{{ list | length }}{{ b }}", json!({})),
        ["b", "list"]
    );
    assert_eq!(
        missing("{{ total | money(currency) }}{{ at | local_time(zone) }}", json!({})),
        ["at", "currency", "total", "zone"]
    );
    assert_eq!(missing("{{ a | upper }}{{ b | truncate(9) }}{{ c | join }}", json!({})), ["a", "b", "c"]);
    assert_eq!(missing("{{ c | join }}", json!({})), ["c"]);
    assert_eq!(missing("{{ c | length }}{{ d | first }}", json!({"c": []})), ["d"]);
    let of_a_list = "{% for x in list %}{{ x.name }}{% endfor %}";
    let error = compiled(of_a_list).render(&vars(json!({"list": [{"name": 1}, {}]}))).unwrap_err();
    assert_eq!(error.to_string(), "The title field, line 1: what it uses there is not in what was given.");
}

#[test]
fn html_is_escaped_and_text_is_not() {
    let source = TemplateSource {
        subject: Some("{{ x }}".to_owned()),
        title: "{{ x }}".to_owned(),
        body_text: "{{ x }}".to_owned(),
        body_html: Some("<p title='{{ x }}'>{{ x | upper }}{{ list | join(x) }}</p>".to_owned()),
    };
    let evil = "<script>alert('1')&\"";
    let given = vars(json!({"x": evil, "list": ["<i>", "<b>"]}));
    let rendered = Template::compile(&source).unwrap().render(&given).unwrap();
    assert_eq!([rendered.subject.unwrap(), rendered.title, rendered.body_text], [evil; 3]);
    let html = rendered.body_html.unwrap();
    assert!(html.starts_with("<p title='&lt;script&gt;"), "{html}");
    let inside = &html[3..html.len() - 4];
    assert!(!inside["title='".len()..].contains(['<', '"']), "{html}");
    assert!(refused("{{ x | safe }}").contains("no filter \"safe\""), "nothing gets by unescaped");
}

#[test]
fn a_title_is_one_line_that_fits_its_column() {
    assert_eq!(
        title("{{ x }}", json!({"x": "a\r\nBcc: b@example.org\t c\u{0}d"})),
        "a Bcc: b@example.org c d"
    );
    let long = title("{{ x }}", json!({"x": "ä".repeat(300)}));
    assert_eq!(long.chars().count(), MAX_LINE_CHARS);
    assert!(long.ends_with('…'));
    assert_eq!(Rendered::plain("a\nb", "c\nd").title, "a b");
}

#[test]
fn an_error_names_the_part_and_the_line() {
    let source = TemplateSource { body_text: "one\ntwo\n{{ three".to_owned(), ..source("t") };
    let error = Template::compile(&source).unwrap_err().to_string();
    assert_eq!(error, "The body_text field, line 3: a tag is not closed with }}.");
    let source = TemplateSource { body_html: Some("\n{% if x %}\n".to_owned()), ..source };
    let fixed = TemplateSource { body_text: "fine".to_owned(), ..source };
    let error = Template::compile(&fixed).unwrap_err();
    assert!(error.to_string().starts_with("The body_html field, line "), "{error}");
    assert_eq!(Error::from(error).fields().keys().collect::<Vec<_>>(), ["body_html"]);
    assert!(fails("a\n{{ x - 1 }}", json!({"x": "text"})).starts_with("The body_text field, line 2: "));
    assert!(refused("{{ 'a|b' | upper | no_such }}").contains("no filter \"no_such\"; there are abs,"));
    assert!(refused("{% if x is not odd %}{% endif %}").contains("no test \"is odd\""));
}

#[test]
fn what_is_not_of_the_language_is_refused_by_name() {
    for (text, names) in [
        ("{% set x = 1 %}", "{% set %} is not offered"),
        ("{% with x = 1 %}{% endwith %}", "{% with %} is not offered"),
        ("{% include 'x' %}", "{% include %} is not offered"),
        ("{% extends 'x' %}", "{% extends %} is not offered"),
        ("{% import 'x' as y %}", "{% import %} is not offered"),
        ("{% macro m() %}{% endmacro %}", "{% macro %} is not offered"),
        ("{% filter upper %}{% endfilter %}", "{% filter %} is not offered"),
        ("{% autoescape false %}{% endautoescape %}", "{% autoescape %} is not offered"),
        ("{% raw %}{% endraw %}", "{% raw %} is not offered"),
        ("{%- do x %}", "{% do %} is not offered"),
        ("{{ a ~ b }}", "~ is not offered"),
        ("{{ a + b }}", "+ is not offered"),
        ("{{ a * 9 }}", "* is not offered"),
        ("{{ {'a': 1} }}", "{ has no meaning"),
        ("{{ a; b }}", "; has no meaning"),
        ("{% for x in y recursive %}{% endfor %}", "must not be recursive"),
        ("{# never closed", "not closed with #}"),
        ("{{ 'a }}", "not closed with }}"),
        (&format!("{{{{ {} }}}}", "x.".repeat(400)), "500 bytes"),
        (&format!("{}{}", "{% for a in a %}".repeat(4), "{% endfor %}".repeat(4)), "3 deep"),
        (&"x".repeat(MAX_SOURCE_BYTES + 1), "must not have more than 65536 bytes"),
    ] {
        let error = refused(text);
        assert!(error.contains(names), "{}: {error}", text.chars().take(60).collect::<String>());
    }
}

#[test]
fn what_looks_like_a_tag_in_a_text_is_none() {
    for (text, expected) in
        [("{ a }", "{ a }"), ("a{", "a{"), ("{{ '}}' }}", "}}"), ("{{ \"{%\" }}", "{%"), ("{#{{#}x", "x")]
    {
        assert_eq!(title(text, json!({})), expected, "{text}");
    }
}

#[test]
fn a_list_of_a_thousand_items_is_not_too_long() {
    let items: Vec<Value> = (0..1_000).map(|n| json!({"title": n, "body": "3 pcs"})).collect();
    let body =
        "{% for item in items %}{{ item.title }}{% if item.body %}:{{ item.body }}{% endif %}\n{% endfor %}";
    let source = TemplateSource { body_text: body.to_owned(), ..source("t") };
    let rendered = Template::compile(&source).unwrap().render(&vars(json!({"items": items}))).unwrap();
    assert_eq!(rendered.body_text.lines().count(), 1_000);
}

#[test]
fn a_text_comes_to_what_one_without_a_template_may_have_and_no_more() {
    let parts = TemplateSource {
        body_text: "{{ x }}".to_owned(),
        body_html: Some("{{ y }}".to_owned()),
        ..source("t")
    };
    let template = Template::compile(&parts).unwrap();
    let render = |x: usize, y: usize| template.render(&vars(json!({"x": "ä".repeat(x), "y": "y".repeat(y)})));
    assert!(render(MAX_BODY_CHARS, MAX_HTML_BYTES).is_ok());
    let of_text = render(MAX_BODY_CHARS + 1, 0).unwrap_err().to_string();
    assert_eq!(of_text, "The body_text field: it comes to more than 10000 characters.");
    let of_html = render(0, MAX_HTML_BYTES + 1).unwrap_err().to_string();
    assert_eq!(of_html, "The body_html field: it comes to more than 65536 bytes.");
}

#[test]
fn a_template_that_never_ends_or_grows_without_end_is_stopped() {
    let many: Vec<u32> = (0..1_000).collect();
    let three = "{% for a in x %}{% for b in x %}{% for c in x %}{% endfor %}{% endfor %}{% endfor %}";
    assert!(fails(three, json!({"x": many})).contains("too many steps"));
    let long = "y".repeat(60_000);
    let given = json!({"x": [1, 2, 3, 4, 5], "y": long});
    assert!(fails("{% for a in x %}{{ y }}{% endfor %}", given).contains("10000 characters"));
    let given = json!({"x": [long, long, long, long, long]});
    assert!(fails("{{ x | join }}", given).contains("10000 characters"));
    assert!(refused(&"{% if x %}".repeat(5_000)).contains("title"));
    assert!(refused(&format!("{{{{ {}x{} }}}}", "(".repeat(240), ")".repeat(240))).contains("title"));
}

proptest! {
    #[test]
    fn no_source_does_anything_but_render_or_be_refused(
        text in "[a-c{}%#|()\\[\\]'\". <>=,-]{0,60}|(\\{\\{ [a-c|.'\"(), -]{0,20} \\}\\}|\\{% (if|for|else|endif|endfor) [a-c in=<>]{0,10} %\\}|x){0,8}"
    ) {
        let given = vars(json!({"a": 1, "b": [1, 2], "c": {"a": "<x>"}}));
        if let Ok(template) = Template::compile(&source(&text)) {
            let missing = template.missing(&given);
            match template.render(&given) {
                Ok(_) => prop_assert!(missing.is_empty()),
                Err(TemplateError::Missing(names)) => prop_assert_eq!(names, missing),
                Err(TemplateError::Part { part, .. }) => prop_assert_eq!(part, Part::Title),
            }
        }
    }
}
