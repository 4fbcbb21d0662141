//! The table from SQLSTATE to HTTP; `docs/errors.md` §2 is its text.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::{Answer, Refusal, defect, unavailable};

/// The code of a status that a callback chose.
fn code_of(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "unauthenticated",
        StatusCode::FORBIDDEN => "forbidden",
        StatusCode::NOT_FOUND => "not_found",
        StatusCode::CONFLICT => "conflict",
        StatusCode::PRECONDITION_FAILED => "precondition_failed",
        StatusCode::UNPROCESSABLE_ENTITY => "unprocessable",
        _ => "bad_request",
    }
}

/// A status that a callback may choose: 400 to 499 without 429, which would make clients repeat the request.
fn chosen_status(number: Option<u16>) -> StatusCode {
    number
        .filter(|number| (400..500).contains(number) && *number != 429)
        .and_then(|number| StatusCode::from_u16(number).ok())
        .unwrap_or(StatusCode::BAD_REQUEST)
}

/// The table.
pub(super) fn refused(refusal: Refusal) -> Answer {
    let Refusal {
        sqlstate,
        message,
        detail,
    } = refusal;
    let detail: Option<Value> = detail.and_then(|text| serde_json::from_str(&text).ok());
    let written_by_postgres = message.starts_with("permission denied for ");
    match (sqlstate.as_str(), detail) {
        ("42501", Some(Value::Object(refused))) if refused.contains_key("unauthorized_fields") => {
            let words = refused
                .get("message")
                .and_then(Value::as_str)
                .map_or(message, str::to_owned);
            Answer::new(StatusCode::UNPROCESSABLE_ENTITY, "field_access_denied", words)
                .titled("Field access denied")
                .detail(Value::Object(refused))
        }
        ("42501", Some(Value::Object(refused))) if refused.contains_key("error") => {
            let code = match refused.get("code").and_then(Value::as_str) {
                Some("signature_required") => "signature_required",
                Some("reason_required") => "reason_required",
                Some("signature_refused") => "signature_refused",
                Some(super::API_KEY_RESTRICTED) => super::API_KEY_RESTRICTED,
                _ => "forbidden",
            };
            merged(Answer::new(StatusCode::FORBIDDEN, code, message), refused)
        }
        // A missing grant is our defect in what we grant, but to the caller it is a refusal like any other.
        ("42501", _) if written_by_postgres => {
            Answer::new(StatusCode::FORBIDDEN, "forbidden", "Access denied").because(message)
        }
        ("42501", _) => Answer::new(StatusCode::FORBIDDEN, "forbidden", message),
        ("28000" | "28P01", _) => Answer::new(StatusCode::UNAUTHORIZED, "unauthenticated", message),
        ("44000", detail) => {
            let message = "Record does not satisfy collection rules";
            let answer = Answer::new(StatusCode::BAD_REQUEST, "rule_not_satisfied", message);
            merged(answer, object(detail))
        }
        ("2BP01", Some(Value::Array(faults))) => {
            Answer::new(StatusCode::CONFLICT, "conflict", message).faults(faults)
        }
        // Written by Postgres, for whoever owns those objects.
        ("2BP01", _) => {
            let words = "Other objects of the database still depend on this";
            Answer::new(StatusCode::CONFLICT, "conflict", words).because(message)
        }
        ("P0002", detail) => {
            let answer = Answer::new(StatusCode::NOT_FOUND, "not_found", message);
            merged(answer, object(detail))
        }
        ("22P02", Some(Value::Array(faults))) => {
            let misfits = faults.iter().map(misfit_of).collect();
            let answer = Answer::new(StatusCode::UNPROCESSABLE_ENTITY, "unprocessable", message);
            answer.detail(Value::Array(misfits)).faults(faults)
        }
        ("P0001", detail) => {
            let number = detail.as_ref().and_then(|detail| detail["status"].as_u64());
            let status = chosen_status(number.and_then(|number| u16::try_from(number).ok()));
            Answer::new(status, code_of(status), message)
        }
        ("40001" | "40P01" | "55P03", _) => {
            let answer = Answer::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "retry",
                "The data is busy, please retry",
            );
            answer.because(message)
        }
        ("57014", _) => Answer::new(
            StatusCode::GATEWAY_TIMEOUT,
            "timeout",
            "The statement took too long",
        )
        .because(message),
        (state, detail) => match (&state[..2.min(state.len())], detail) {
            ("SB", _) => {
                let status = chosen_status(state[2..].parse().ok());
                Answer::new(status, code_of(status), message)
            }
            ("22" | "54", Some(Value::Object(more))) => {
                let code = match more.contains_key("errors") {
                    true => "invalid_expression",
                    false => "bad_request",
                };
                merged(Answer::new(StatusCode::BAD_REQUEST, code, message), more)
            }
            ("23", Some(Value::Object(mut more))) if state == "23514" => {
                let faults = more.remove("details").and_then(|faults| match faults {
                    Value::Array(faults) => Some(faults),
                    _ => None,
                });
                let answer = Answer::new(StatusCode::BAD_REQUEST, "validation_error", message);
                merged(
                    answer
                        .titled("Validation error")
                        .faults(faults.unwrap_or_default()),
                    more,
                )
            }
            ("22" | "23", Some(Value::Array(faults))) if state != "23505" && state != "23503" => {
                let answer = Answer::new(StatusCode::BAD_REQUEST, "validation_error", message);
                answer.titled("Validation error").faults(faults)
            }
            ("22" | "54", _) => Answer::new(StatusCode::BAD_REQUEST, "bad_request", message),
            ("23", _) if state == "23502" || state == "23514" => {
                Answer::new(StatusCode::BAD_REQUEST, "validation_error", message).titled("Validation error")
            }
            ("23", Some(Value::Array(faults))) => {
                let field = faults.first().and_then(|fault| fault.get("field")).cloned();
                let mut answer = Answer::new(StatusCode::CONFLICT, "conflict", message).faults(faults);
                answer.more.extend(field.map(|field| ("field".to_owned(), field)));
                answer
            }
            ("23", Some(Value::Object(more))) => {
                merged(Answer::new(StatusCode::CONFLICT, "conflict", message), more)
            }
            ("23", _) => Answer::new(StatusCode::CONFLICT, "conflict", message),
            ("08" | "53" | "57", _) => unavailable(format!("{state} {message}")),
            _ => defect(format!("{state} {message}")),
        },
    }
}

fn object(detail: Option<Value>) -> Map<String, Value> {
    match detail {
        Some(Value::Object(object)) => object,
        _ => Map::new(),
    }
}

/// Takes over the keys of a DETAIL object that are part of the wire format.
fn merged(mut answer: Answer, more: Map<String, Value>) -> Answer {
    for (key, value) in more {
        match key.as_str() {
            "error" => {
                if let Value::String(title) = value {
                    answer.error = title.into();
                }
            }
            "errors" | "details" | "referenced_by" | "field" | "index" | "plan" => {
                answer.more.insert(key, value);
            }
            _ => {}
        }
    }
    answer
}

/// `{field, message, code}` of the database as `{type, loc, msg}`.
fn misfit_of(fault: &Value) -> Value {
    json!({ "type": fault["code"], "loc": ["body", fault["field"]], "msg": fault["message"] })
}
