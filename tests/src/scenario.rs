//! Tables of requests with what their answers must and must not contain.

use reqwest::Method;
use serde_json::Value;

use crate::Api;

/// One request and what its answer has to look like.
pub struct Scenario<'a> {
    /// What is shown, in words.
    pub name: &'a str,
    /// Who asks.
    pub caller: &'a Api,
    /// Method and path, for example `GET /records/posts`.
    pub request: &'a str,
    /// JSON body; null sends none.
    pub body: Value,
    /// The status.
    pub status: u16,
    /// Texts the body has to contain.
    pub contains: &'a [&'a str],
    /// Texts the body must not contain.
    pub lacks: &'a [&'a str],
}

/// Run a table from top to bottom and report every line that does not hold.
///
/// # Panics
/// When one does not.
pub async fn run(scenarios: &[Scenario<'_>]) {
    let mut failures = Vec::new();
    for scenario in scenarios {
        let (method, path) = scenario.request.split_once(' ').expect("a method and a path");
        let method: Method = method.parse().expect("a method");
        let body = (!scenario.body.is_null()).then(|| scenario.body.to_string());
        let answer = scenario.caller.send(method, path, body.as_deref()).await;
        let mut wrong = Vec::new();
        if answer.status != scenario.status {
            wrong.push(format!("status {} instead of {}", answer.status, scenario.status));
        }
        for text in scenario.contains {
            if !answer.text.contains(text) {
                wrong.push(format!("lacks {text:?}"));
            }
        }
        for text in scenario.lacks {
            if answer.text.contains(text) {
                wrong.push(format!("contains {text:?}"));
            }
        }
        if !wrong.is_empty() {
            failures.push(format!(
                "{}\n  {} {}\n  {}\n  answer: {}",
                scenario.name,
                scenario.request,
                scenario.body,
                wrong.join(", "),
                answer.text
            ));
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {} lines:\n{}",
        failures.len(),
        scenarios.len(),
        failures.join("\n")
    );
}
