//! Which series a PromQL expression asks for, and which labels it names: no more of the language than that.

use anyhow::{Context as _, Result, ensure};

/// What an expression names.
#[derive(Debug, Default, PartialEq)]
pub struct Named {
    /// The series that it asks for.
    pub selectors: Vec<Selector>,
    /// The labels of `by`, `on` and the like, in their order.
    pub grouped: Vec<String>,
}

/// Series of one name.
#[derive(Debug, PartialEq)]
pub struct Selector {
    /// Their name.
    pub metric: String,
    /// The labels that it asks for, each with what its value is to be or to match.
    pub labels: Vec<(String, String)>,
    /// It alone, as it stands in the expression.
    pub text: String,
}

/// A piece of an expression, and where it ends.
#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Text,
    Mark(char),
}

const GROUPING: &[&str] = &["by", "without", "on", "ignoring", "group_left", "group_right"];
const WORDS: &[&str] = &["and", "or", "unless", "bool", "offset", "inf", "nan"];

/// What `expression` names.
pub fn named(expression: &str) -> Result<Named> {
    let tokens = tokens(expression).with_context(|| expression.to_owned())?;
    let is = |at: usize, mark: char| matches!(tokens.get(at), Some((Token::Mark(it), ..)) if *it == mark);
    let mut named = Named::default();
    let mut at = 0;
    while let Some((token, start, end)) = tokens.get(at) {
        at += 1;
        let Token::Word(word) = token else {
            ensure!(*token != Token::Mark('{'), "series without a name in {expression}");
            continue;
        };
        if GROUPING.contains(&word.as_str()) && is(at, '(') {
            let words = tokens[at..].iter().take_while(|(token, ..)| *token != Token::Mark(')'));
            let words: Vec<_> = words.map(|(token, ..)| token.clone()).collect();
            at += words.len();
            named.grouped.extend(words.into_iter().filter_map(Token::word));
        } else if WORDS.contains(&word.to_ascii_lowercase().as_str()) || is(at, '(') || grouped_next(&tokens, at) {
            // An operator, a function, or an aggregation.
        } else {
            let mut selector =
                Selector { metric: word.clone(), labels: Vec::new(), text: expression[*start..*end].into() };
            if is(at, '{') {
                let inside = tokens[at..].iter().take_while(|(token, ..)| *token != Token::Mark('}')).count();
                let (_, _, end) = tokens.get(at + inside).with_context(|| format!("no end of {{ in {expression}"))?;
                let mut label = String::new();
                for (token, start, end) in &tokens[at..at + inside] {
                    match token {
                        Token::Word(word) => label.clone_from(word),
                        Token::Text => selector.labels.push((label.clone(), expression[start + 1..end - 1].into())),
                        Token::Mark(_) => {}
                    }
                }
                selector.text = expression[*start..*end].into();
                at += inside + 1;
            }
            named.selectors.push(selector);
        }
    }
    Ok(named)
}

/// The names in `{{…}}` of a text.
pub fn placeholders(text: &str) -> impl Iterator<Item = &str> {
    text.split("{{").skip(1).filter_map(|rest| rest.split("}}").next()).map(str::trim)
}

impl Token {
    fn word(self) -> Option<String> {
        if let Token::Word(word) = self { Some(word) } else { None }
    }
}

fn grouped_next(tokens: &[(Token, usize, usize)], at: usize) -> bool {
    matches!(tokens.get(at), Some((Token::Word(word), ..)) if ["by", "without"].contains(&word.as_str()))
}

/// Words, texts and marks with their places; times in brackets and numbers are left out.
fn tokens(expression: &str) -> Result<Vec<(Token, usize, usize)>> {
    let mut found = Vec::new();
    let mut rest = expression.char_indices().peekable();
    while let Some((start, first)) = rest.next() {
        let mut end = start + first.len_utf8();
        let token = match first {
            '"' | '\'' => {
                let mut escaped = false;
                let closed = rest.by_ref().find(|(_, it)| {
                    let closes = *it == first && !escaped;
                    escaped = *it == '\\' && !escaped;
                    closes
                });
                end = closed.context("a text has no end")?.0 + 1;
                Token::Text
            }
            '[' => {
                rest.by_ref().find(|(_, it)| *it == ']').context("a time has no end")?;
                continue;
            }
            it if it.is_whitespace() => continue,
            it if it.is_ascii_alphanumeric() || it == '_' || it == ':' => {
                while let Some((at, more)) =
                    rest.next_if(|(_, it)| it.is_ascii_alphanumeric() || matches!(it, '_' | ':' | '.'))
                {
                    end = at + more.len_utf8();
                }
                if it.is_ascii_digit() {
                    continue;
                }
                Token::Word(expression[start..end].into())
            }
            mark => Token::Mark(mark),
        };
        found.push((token, start, end));
    }
    Ok(found)
}

#[test]
fn names_are_found() -> Result<()> {
    for (expression, selectors, grouped) in [
        ("up", &["up"] as &[_], &[] as &[&str]),
        ("absent(up{job=\"a\"} == 1)", &["up{job=\"a\"}"], &[]),
        (
            "sum by (job, le) (rate(a_b{x=~\"}|,\\\"\", y!=\"\"}[5m])) > 1e3",
            &["a_b{x=~\"}|,\\\"\", y!=\"\"}"],
            &["job", "le"],
        ),
        ("max(a) by (x) unless on (x, y) b offset 5m", &["a", "b"], &["x", "x", "y"]),
        ("f:g:r5m > on (kind) group_left () (14.4 * (1 - h:i))", &["f:g:r5m", "h:i"], &["kind"]),
        ("topk(10, count without (z) (a or vector(0)))", &["a"], &["z"]),
        ("time() - a{}", &["a{}"], &[]),
    ] {
        let named = named(expression)?;
        let texts: Vec<_> = named.selectors.iter().map(|selector| selector.text.as_str()).collect();
        ensure!(texts == selectors && named.grouped == grouped, "{expression}: {named:?}");
    }
    let labels = &named("sum(a{x=\"1\", y=~\"2|3\"})")?.selectors[0].labels;
    ensure!(labels == &[("x".into(), "1".into()), ("y".into(), "2|3".into())], "{labels:?}");
    for broken in ["{x=\"1\"}", "a{x=\"1\"", "rate(a[5m)", "a{x=\"1}"] {
        ensure!(named(broken).is_err(), "{broken}");
    }
    ensure!(placeholders("{{a}} and {{ b }}").collect::<Vec<_>>() == ["a", "b"]);
    Ok(())
}
