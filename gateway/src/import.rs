//! Logs of an original instance, as files: JSON Lines or CSV of its table `audit_log`. What the entries are worth is the
//! database's business; here they become lines with numbers.

use std::io::{BufRead, BufReader, Read};

use serde_json::{Map, Value};

/// Lines of a log that stand together, as JSON objects.
pub struct Batch {
    /// The number of the first line in the file, from 1.
    pub first_line: i64,
    /// One entry each.
    pub lines: Vec<String>,
}

/// Lines per batch.
const BATCH: usize = 1000;

/// Reads a file batch by batch. A file whose first character is `{` is JSON Lines, everything else CSV with a line of titles, in
/// which nothing between two commas is null and `""` an empty text, as Postgres writes it.
pub struct Log<R> {
    input: BufReader<R>,
    titles: Option<Vec<String>>,
    /// Lines read so far.
    line: i64,
    begun: bool,
}

/// One cell of CSV: `None` is null.
type Cell = Option<String>;

impl<R: Read> Log<R> {
    /// A log that nothing was read of yet.
    pub fn new(input: R) -> Self {
        Self {
            input: BufReader::new(input),
            titles: None,
            line: 0,
            begun: false,
        }
    }

    /// The next lines; `None` at the end.
    ///
    /// # Errors
    /// A sentence with the number of the line.
    pub fn next_batch(&mut self) -> Result<Option<Batch>, String> {
        if !std::mem::replace(&mut self.begun, true) {
            let first = self.input.fill_buf().map_err(|failure| failure.to_string())?;
            let first = first.iter().find(|byte| !byte.is_ascii_whitespace()).copied();
            if first.is_some_and(|byte| byte != b'{') {
                let titles = self.cells()?.unwrap_or_default();
                self.titles = Some(titles.into_iter().map(Option::unwrap_or_default).collect());
            }
        }
        let mut batch = Batch {
            first_line: self.line + 1,
            lines: Vec::new(),
        };
        while batch.lines.len() < BATCH {
            let before = self.line;
            let Some(entry) = self.entry()? else { break };
            batch.lines.push(entry);
            // Numbers are counted from the first line of a batch, so a batch ends with an entry of several lines.
            if self.line != before + 1 {
                break;
            }
        }
        Ok((!batch.lines.is_empty()).then_some(batch))
    }

    fn entry(&mut self) -> Result<Option<String>, String> {
        let number = self.line + 1;
        let Some(titles) = self.titles.clone() else {
            return self.text_line();
        };
        let Some(cells) = self.cells()? else {
            return Ok(None);
        };
        if cells.len() != titles.len() {
            return Err(format!(
                "line {number}: {} cells, where the titles are {}",
                cells.len(),
                titles.len()
            ));
        }
        let mut entry = Map::new();
        for (title, cell) in titles.into_iter().zip(cells) {
            let value = match (title.as_str(), cell) {
                (_, None) => Value::Null,
                ("id", Some(text)) => text.parse::<i64>().map_or(Value::String(text), Value::from),
                (_, Some(text)) => Value::String(text),
            };
            entry.insert(title, value);
        }
        Ok(Some(Value::Object(entry).to_string()))
    }

    /// The next line without its end. The last one may be empty.
    fn text_line(&mut self) -> Result<Option<String>, String> {
        let mut bytes = Vec::new();
        let number = self.line + 1;
        let read = self.input.read_until(b'\n', &mut bytes);
        if read.map_err(|failure| format!("line {number}: {failure}"))? == 0 {
            return Ok(None);
        }
        self.line = number;
        let text = String::from_utf8(bytes).map_err(|_| format!("line {number}: not UTF-8"))?;
        let text = text.trim_end_matches(['\r', '\n']);
        if text.is_empty() && self.input.fill_buf().is_ok_and(<[u8]>::is_empty) {
            return Ok(None);
        }
        Ok(Some(text.to_owned()))
    }

    /// The next record of CSV, which may have several lines.
    fn cells(&mut self) -> Result<Option<Vec<Cell>>, String> {
        let number = self.line + 1;
        let Some(mut text) = self.text_line()? else {
            return Ok(None);
        };
        // Within quotes their number is odd.
        while text.matches('"').count() % 2 == 1 {
            let more = self.text_line()?;
            let more = more.ok_or_else(|| format!("line {number}: a quoted cell does not end"))?;
            text.push('\n');
            text.push_str(&more);
        }
        let mut cells = Vec::new();
        let mut rest = text.as_str();
        loop {
            let cell;
            (cell, rest) = match rest.strip_prefix('"') {
                Some(quoted) => {
                    let end = end_of_quoted(quoted)
                        .ok_or_else(|| format!("line {number}: a quoted cell does not end"))?;
                    (Some(quoted[..end].replace("\"\"", "\"")), &quoted[end + 1..])
                }
                None => {
                    let end = rest.find(',').unwrap_or(rest.len());
                    (
                        Some(rest[..end].to_owned()).filter(|text| !text.is_empty()),
                        &rest[end..],
                    )
                }
            };
            cells.push(cell);
            match rest.strip_prefix(',') {
                Some(more) => rest = more,
                None if rest.is_empty() => return Ok(Some(cells)),
                None => return Err(format!("line {number}: something follows a quoted cell")),
            }
        }
    }
}

/// Where the quote is that ends a cell; two of them stand for one.
fn end_of_quoted(text: &str) -> Option<usize> {
    let mut from = 0;
    loop {
        let quote = from + text[from..].find('"')?;
        if !text[quote + 1..].starts_with('"') {
            return Some(quote);
        }
        from = quote + 2;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn batches(text: &str) -> Result<Vec<(i64, Vec<Value>)>, String> {
        let mut log = Log::new(text.as_bytes());
        let mut all = Vec::new();
        while let Some(batch) = log.next_batch()? {
            let lines = batch
                .lines
                .iter()
                .map(|line| serde_json::from_str(line).unwrap_or_default());
            all.push((batch.first_line, lines.collect()));
        }
        Ok(all)
    }

    #[test]
    fn json_lines_pass_as_they_are() {
        let all = batches("{\"id\":1}\n{\"id\":2}\r\n\n");
        assert_eq!(all, Ok(vec![(1, vec![json!({"id": 1}), json!({"id": 2})])]));
        assert_eq!(batches(""), Ok(vec![]));
        let thousand = batches(&"{}\n".repeat(1001)).unwrap_or_default();
        assert_eq!((thousand.len(), thousand[1].0), (2, 1001));
    }

    #[test]
    fn csv_tells_null_from_empty_and_counts_lines() {
        let all = batches("id,old_value,new_value\n1,,\"\"\n2,\"a\nb\"\"\",x\n3,\"y,z\",\n");
        let entry = |id: i64, old: Value, new: Value| json!({"id": id, "old_value": old, "new_value": new});
        assert_eq!(
            all,
            Ok(vec![
                (
                    2,
                    vec![
                        entry(1, Value::Null, json!("")),
                        entry(2, json!("a\nb\""), json!("x"))
                    ]
                ),
                (5, vec![entry(3, json!("y,z"), Value::Null)]),
            ])
        );
    }

    #[test]
    fn faults_name_their_line() {
        for (text, fault) in [
            ("id,a\n1\n", "line 2: 1 cells, where the titles are 2"),
            ("id,a\n1,\"x\n", "line 2: a quoted cell does not end"),
            ("id,a\n1,\"x\"y\n", "line 2: something follows a quoted cell"),
        ] {
            assert_eq!(batches(text), Err(fault.to_owned()));
        }
    }
}
