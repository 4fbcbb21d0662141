//! `GET /audit-logs/export`: the whole trail that a filter lets through, as JSON, CSV or PDF. Source: audit contract §3.3.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::pdf::Document;
use super::{filter, for_audit_readers};
use crate::auth::Caller;
use crate::db::{JsonText, Statement, Texts};
use crate::error::Error;
use crate::routes::input::Parameters;
use crate::state::State;

const PDF: &str = "application/pdf";

/// The answer is streamed: its size is not limited, and memory does not grow with it. (A PDF is laid out in memory, so the
/// database refuses one of more than 10,000 entries.) `X-Total-Count` has the number of entries.
pub async fn export(state: State, caller: Caller, uri: Uri, headers: HeaderMap) -> Result<Response, Error> {
    let wanted = for_audit_readers(&state, &caller, Wanted::of(uri.query())).await?;
    let mut texts = state
        .database
        .texts(&caller, Statement::AuditExport, &[&wanted.query])
        .await?;
    // The first says how many entries there are, and that the caller is admitted.
    let total = texts
        .next()
        .await?
        .and_then(|total| HeaderValue::from_maybe_shared(total).ok());
    let total =
        total.ok_or_else(|| Error::Defect("an export begins with the number of its entries".into()))?;
    let (content_type, body) = match wanted.format {
        "json" => ("application/json", texts.into_body()),
        "csv" => ("text/csv; charset=utf-8", texts.into_body()),
        _ => pdf(texts, &headers).await?,
    };
    let name = format!(
        "attachment; filename=audit_logs_{}.{}",
        jiff::Timestamp::now().strftime("%Y%m%d_%H%M%S"),
        wanted.format
    );
    let mut response = ([(header::CONTENT_TYPE, content_type)], body).into_response();
    let headers = response.headers_mut();
    headers.insert("x-total-count", total);
    headers.extend(HeaderValue::try_from(name).map(|name| (header::CONTENT_DISPOSITION, name)));
    Ok(response)
}

struct Wanted {
    format: &'static str,
    query: JsonText,
}

impl Wanted {
    /// What a list would sort and page by is left alone: client libraries send it along.
    fn of(query: Option<&str>) -> Result<Wanted, Error> {
        let mut wanted = Parameters::new(query);
        filter(&mut wanted);
        let format = wanted.query.word("format", &["csv", "json", "pdf"]);
        let format = format.unwrap_or("csv");
        // A page has room for the eleven fields and the signature only.
        let full = wanted.query.flag("full").unwrap_or(false) && format != "pdf";
        wanted.keep("format", Some(if format == "pdf" { "rows" } else { format }));
        wanted.keep("full", Some(full));
        let query = JsonText::of(wanted.finish()?);
        Ok(Wanted { format, query })
    }
}

/// The document itself for clients that ask for one. Others get it as base64 text: client libraries read what is not JSON as
/// text, and raw bytes would be damaged.
async fn pdf(mut texts: Texts, headers: &HeaderMap) -> Result<(&'static str, Body), Error> {
    let mut lines = Vec::new();
    while let Some(piece) = texts.next().await? {
        lines.push(piece);
    }
    let document = tokio::task::spawn_blocking(move || laid_out(&lines)).await;
    let document =
        document.map_err(|failure| Error::Defect(format!("a PDF was not laid out: {failure}")))??;
    let accepted = headers.get_all(header::ACCEPT);
    let raw = accepted
        .iter()
        .any(|value| value.to_str().is_ok_and(|accepted| accepted.contains(PDF)));
    Ok(match raw {
        true => (PDF, Body::from(document)),
        false => ("text/plain", Body::from(STANDARD.encode(document))),
    })
}

/// Lays out lines that are JSON arrays of texts, the first of them titles.
fn laid_out(pieces: &[Bytes]) -> Result<Vec<u8>, Error> {
    let damaged = |what: String| Error::Defect(format!("a row of an export cannot be read: {what}"));
    let mut rows = Vec::new();
    for piece in pieces {
        for line in piece.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let row: Vec<Option<String>> =
                serde_json::from_slice(line).map_err(|e| damaged(e.to_string()))?;
            rows.push(row);
        }
    }
    let made = jiff::Timestamp::now()
        .strftime("%Y-%m-%d %H:%M:%S UTC")
        .to_string();
    Ok(Document::of(&format!("Audit log, exported {made}"), &rows))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parameters_of_lists_are_left_alone() {
        let wanted = Wanted::of(Some(
            "table_name=col_posts&format=json&full=true&skip=-1&limit=0&sort_by=x&sort_order=up",
        ));
        let wanted = wanted.unwrap_or_else(|failure| panic!("{failure}"));
        assert_eq!(wanted.format, "json");
        assert_eq!(
            wanted.query.0,
            json!({ "table_name": "col_posts", "format": "json", "full": true }).to_string()
        );
    }

    #[test]
    fn csv_is_the_default_and_other_formats_do_not_fit() {
        let format = |query| Wanted::of(query).map(|wanted| wanted.format);
        assert!(matches!(format(None), Ok("csv")));
        assert!(matches!(format(Some("format=PDF")), Ok("pdf")));
        assert!(matches!(format(Some("format=xml")), Err(Error::Misfits(_))));
        assert!(matches!(format(Some("full=perhaps")), Err(Error::Misfits(_))));
    }

    #[test]
    fn rows_become_a_document() {
        let pieces = [
            Bytes::from_static(b"[\"ID\"]\n[\"1\"]\n"),
            Bytes::from_static(b"[null]\n"),
        ];
        let document = laid_out(&pieces).unwrap_or_else(|failure| panic!("{failure}"));
        assert!(document.starts_with(b"%PDF-") && document.ends_with(b"%%EOF"));
        assert!(laid_out(&[Bytes::from_static(b"no row")]).is_err());
    }
}
