//! A table on pages: A4 across, in a font that every reader has, so that none is embedded.
//!
//! It knows no column: widths follow from what is in them. The font has the characters of Windows-1252; others, and control
//! characters, are written as `\u{1f600}`, which is unambiguous, where a question mark would not be. A backslash that begins the like in a
//! value is written so, too.

use pdf_writer::{Content, Finish, Name, Pdf, Rect, Ref, Str};

const WIDTH: f32 = 842.0;
const HEIGHT: f32 = 595.0;
const MARGIN: f32 = 28.0;
const SIZE: f32 = 6.5;
const LEADING: f32 = 7.8;
/// Of Courier: 600 units of a thousand.
const ADVANCE: f32 = SIZE * 0.6;
/// Characters beside each other.
const ACROSS: usize = ((WIDTH - 2.0 * MARGIN) / ADVANCE) as usize;
/// A column is at least and at most so wide, in characters, as long as there is room.
const NARROWEST: usize = 4;
const WIDEST: usize = 36;
/// A longer value is cut, and says so: this is a document to read, not the data.
const LONGEST: usize = 600;

/// One row of cells; `None` is an empty cell.
type Row = Vec<Option<String>>;

/// Pages under construction.
pub struct Document {
    title: String,
    titles: Vec<Vec<Vec<u8>>>,
    starts: Vec<f32>,
    pages: Vec<Content>,
    /// Where the next line goes, from the bottom of the page.
    y: f32,
}

impl Document {
    /// A document with a table, whose first row has the titles and is repeated on every page.
    pub fn of(title: &str, rows: &[Row]) -> Vec<u8> {
        let encoded: Vec<Vec<Vec<u8>>> = rows.iter().map(encoded_row).collect();
        let widths = widths(&encoded);
        let wrapped = |row: &Vec<Vec<u8>>| -> Vec<Vec<Vec<u8>>> {
            row.iter()
                .zip(&widths)
                .map(|(cell, width)| wrap(cell, *width))
                .collect()
        };
        let mut start = MARGIN;
        let starts = widths
            .iter()
            .map(|width| {
                let this = start;
                start += (*width as f32 + 1.0) * ADVANCE;
                this
            })
            .collect();
        let mut document = Document {
            title: title.to_owned(),
            titles: encoded.first().map(wrapped).unwrap_or_default(),
            starts,
            pages: Vec::new(),
            y: 0.0,
        };
        document.page();
        for row in encoded.iter().skip(1) {
            document.row(&wrapped(row));
        }
        document.finish()
    }

    fn page(&mut self) {
        self.pages.push(Content::new());
        self.y = HEIGHT - MARGIN;
        let title = encode(&format!("{}, page {}", self.title, self.pages.len()));
        self.text(MARGIN, b"B", &title);
        self.y -= 2.0 * LEADING;
        let titles = std::mem::take(&mut self.titles);
        self.lines(&titles, b"B");
        self.titles = titles;
        self.y -= LEADING / 2.0;
    }

    fn row(&mut self, cells: &[Vec<Vec<u8>>]) {
        let height = cells.iter().map(Vec::len).max().unwrap_or(1) as f32 * LEADING;
        if self.y - height < MARGIN {
            self.page();
        }
        self.lines(cells, b"R");
        self.y -= LEADING / 3.0;
    }

    /// Writes cells beside each other, and goes on below the highest of them; onto the next page if need be.
    fn lines(&mut self, cells: &[Vec<Vec<u8>>], font: &[u8]) {
        for line in 0..cells.iter().map(Vec::len).max().unwrap_or(0) {
            if self.y < MARGIN && font == b"R" {
                self.page();
            }
            for (index, cell) in cells.iter().enumerate() {
                if let (Some(text), Some(start)) = (cell.get(line), self.starts.get(index).copied()) {
                    self.text(start, font, text);
                }
            }
            self.y -= LEADING;
        }
    }

    fn text(&mut self, x: f32, font: &[u8], text: &[u8]) {
        let y = self.y;
        let Some(page) = self.pages.last_mut() else { return };
        page.begin_text()
            .set_font(Name(font), SIZE)
            .next_line(x, y)
            .show(Str(text))
            .end_text();
    }

    fn finish(self) -> Vec<u8> {
        let mut pdf = Pdf::new();
        let mut last = 0;
        let mut next = || {
            last += 1;
            Ref::new(last)
        };
        let (catalog, tree, regular, bold) = (next(), next(), next(), next());
        pdf.catalog(catalog).pages(tree);
        for (font, base) in [(regular, &b"Courier"[..]), (bold, b"Courier-Bold")] {
            pdf.type1_font(font)
                .base_font(Name(base))
                .encoding_predefined(Name(b"WinAnsiEncoding"));
        }
        let mut kids = Vec::new();
        for content in self.pages {
            let (page, contents) = (next(), next());
            kids.push(page);
            pdf.stream(contents, &content.finish());
            let mut page = pdf.page(page);
            page.parent(tree)
                .media_box(Rect::new(0.0, 0.0, WIDTH, HEIGHT))
                .contents(contents);
            page.resources()
                .fonts()
                .pair(Name(b"R"), regular)
                .pair(Name(b"B"), bold);
            page.finish();
        }
        let count = i32::try_from(kids.len()).unwrap_or(i32::MAX);
        pdf.pages(tree).kids(kids).count(count);
        pdf.finish()
    }
}

fn encoded_row(row: &Row) -> Vec<Vec<u8>> {
    row.iter()
        .map(|cell| cell.as_deref().map(shortened).unwrap_or_default())
        .collect()
}

fn shortened(text: &str) -> Vec<u8> {
    let mut encoded = encode(&text.chars().take(LONGEST).collect::<String>());
    let more = text.chars().count().saturating_sub(LONGEST);
    if more > 0 {
        encoded.extend_from_slice(&encode(&format!("… and {more} more characters")));
    }
    encoded
}

/// How wide the columns are, in characters: as their longest cell within limits, and all of them narrower if that is too much.
fn widths(rows: &[Vec<Vec<u8>>]) -> Vec<usize> {
    let count = rows.first().map_or(0, Vec::len);
    let longest = |index: usize| rows.iter().filter_map(|row| row.get(index)).map(Vec::len).max();
    let natural: Vec<usize> = (0..count)
        .map(|index| longest(index).unwrap_or(0).clamp(NARROWEST, WIDEST))
        .collect();
    let room = ACROSS.saturating_sub(count);
    let wanted: usize = natural.iter().sum();
    if wanted <= room {
        return natural;
    }
    // What is narrow stays; the others share what is left.
    let fair = room / count.max(1);
    let narrow: usize = natural.iter().filter(|width| **width <= fair).sum();
    let wide: usize = natural.iter().filter(|width| **width > fair).sum();
    let share = |width: usize| (width * (room - narrow) / wide.max(1)).max(NARROWEST);
    natural
        .into_iter()
        .map(|width| if width <= fair { width } else { share(width) })
        .collect()
}

/// A cell in lines of at most `width` characters, broken where they end: identifiers and hashes have no spaces.
fn wrap(cell: &[u8], width: usize) -> Vec<Vec<u8>> {
    cell.chunks(width.max(1)).map(<[u8]>::to_vec).collect()
}

/// Windows-1252, and what it does not have as an escape.
fn encode(text: &str) -> Vec<u8> {
    /// The characters from 0x80 to 0x9f; 0 is unassigned.
    const HIGH: [u32; 32] = [
        0x20ac, 0, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0,
        0x017d, 0, 0, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a,
        0x0153, 0, 0x017e, 0x0178,
    ];
    let mut encoded = Vec::with_capacity(text.len());
    for (place, character) in text.char_indices() {
        if character == '\\' && text[place + 1..].starts_with("u{") {
            encoded.extend_from_slice(b"\\u{5c}");
            continue;
        }
        let code = u32::from(character);
        let place = HIGH.iter().position(|high| *high == code && code != 0);
        match (code, place) {
            (0x20..=0x7e | 0xa0..=0xff, _) => encoded.push(code as u8),
            (_, Some(place)) => encoded.push(0x80 + place as u8),
            _ => encoded.extend_from_slice(character.escape_unicode().to_string().as_bytes()),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_without_a_glyph_are_escaped() {
        assert_eq!(encode("aé€…"), b"a\xe9\x80\x85");
        assert_eq!(encode("日\n😀\u{81}"), b"\\u{65e5}\\u{a}\\u{1f600}\\u{81}");
        assert_eq!(encode(r"\u{65e5} C:\users\"), br"\u{5c}u{65e5} C:\users\");
    }

    #[test]
    fn columns_fit_on_the_page() {
        let row = |lengths: &[usize]| -> Vec<Vec<u8>> {
            lengths.iter().map(|length| vec![b'x'; *length]).collect()
        };
        assert_eq!(widths(&[row(&[2, 10, 500])]), [4, 10, 36]);
        let many = widths(&[row(&[10, 27, 6, 30, 36, 30, 300, 300, 30, 15, 64])]);
        assert!(
            many.iter().sum::<usize>() + many.len() <= ACROSS,
            "{many:?} in {ACROSS}"
        );
        assert_eq!((many[0], many[2]), (10, 6));
    }

    #[test]
    fn a_long_table_has_many_pages_and_a_long_cell_is_cut() {
        let titles: Row = vec![Some("ID".into()), Some("Value".into())];
        let mut rows = vec![titles];
        rows.extend((0..200).map(|n| vec![Some(n.to_string()), Some("v".repeat(2000))]));
        let document = Document::of("Test", &rows);
        let text = String::from_utf8_lossy(&document);
        let pages = text.matches("/Type /Page\n").count();
        assert!(pages > 30, "{pages} pages");
        assert_eq!(text.matches("(ID)").count(), pages, "titles on every page");
        let cut = shortened(&"v".repeat(2000));
        assert!(cut.ends_with(b"v\x85 and 1400 more characters"), "{cut:?}");
        assert_eq!(shortened("v"), b"v");
    }
}
