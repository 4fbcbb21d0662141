//! Dates and moments as text: the forms of ISO 8601 that the wire accepts, checked without the database so that the
//! answer does not depend on `DateStyle`.
//!
//! Years 0001 to 9999 of the proleptic Gregorian calendar. Leap seconds and `24:00` are refused: PostgreSQL would turn
//! them into the next minute or day.

/// A calendar day, `YYYY-MM-DD` and nothing else. Returns the same text.
///
/// ```
/// use snackbase_core::schema::time::parse_date;
/// assert_eq!(parse_date("2024-02-29").as_deref(), Some("2024-02-29"));
/// assert_eq!(parse_date("2023-02-29"), None);
/// ```
pub fn parse_date(text: &str) -> Option<String> {
    let mut cursor = Cursor(text.as_bytes());
    cursor.date()?;
    cursor.0.is_empty().then(|| text.to_owned())
}

/// A moment, as RFC 3339 in UTC: `YYYY-MM-DDTHH:MM:SSZ`, with six digits of fraction when it is not zero.
///
/// Accepts a date, optionally followed by `T` or one space and `HH:MM[:SS[.f…]]` (one to nine digits; those after the
/// sixth are cut, never rounded up), optionally followed by `Z`, `±HH`, `±HHMM` or `±HH:MM`. Without offset it is UTC,
/// a date alone is midnight UTC.
///
/// ```
/// use snackbase_core::schema::time::parse_datetime;
/// let utc = |text| parse_datetime(text);
/// assert_eq!(utc("2026-01-02 03:04:05.5+02:00").as_deref(), Some("2026-01-02T01:04:05.500000Z"));
/// assert_eq!(utc("2026-01-02").as_deref(), Some("2026-01-02T00:00:00Z"));
/// assert_eq!(utc("2026-01-02T24:00:00Z"), None);
/// ```
pub fn parse_datetime(text: &str) -> Option<String> {
    let mut cursor = Cursor(text.as_bytes());
    let day = cursor.date()?;
    let (mut seconds, mut micros, mut offset) = (0, 0, 0);
    if !cursor.0.is_empty() {
        if !cursor.take_any(b"Tt ") {
            return None;
        }
        (seconds, micros) = cursor.time()?;
        offset = cursor.offset()?;
    }
    if !cursor.0.is_empty() {
        return None;
    }
    let total = day * 86_400 + seconds - offset;
    let (year, month, date) = civil(total.div_euclid(86_400));
    if !(1..=9999).contains(&year) {
        return None;
    }
    let second = total.rem_euclid(86_400);
    let fraction = if micros == 0 {
        String::new()
    } else {
        format!(".{micros:06}")
    };
    Some(format!(
        "{year:04}-{month:02}-{date:02}T{:02}:{:02}:{:02}{fraction}Z",
        second / 3600,
        second / 60 % 60,
        second % 60
    ))
}

/// The bytes not read yet.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    /// Exactly `n` ASCII digits.
    fn number(&mut self, n: usize) -> Option<i64> {
        let (digits, rest) = self.0.split_at_checked(n)?;
        if !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        self.0 = rest;
        Some(
            digits
                .iter()
                .fold(0, |value, digit| value * 10 + i64::from(digit - b'0')),
        )
    }

    /// Exactly `n` digits with a value of at most `max`.
    fn at_most(&mut self, n: usize, max: i64) -> Option<i64> {
        self.number(n).filter(|value| *value <= max)
    }

    fn take(&mut self, byte: u8) -> bool {
        self.take_any(&[byte])
    }

    fn take_any(&mut self, bytes: &[u8]) -> bool {
        match self.0.split_first() {
            Some((first, rest)) if bytes.contains(first) => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    /// `YYYY-MM-DD`, as days since 1970-01-01.
    fn date(&mut self) -> Option<i64> {
        let year = self.number(4).filter(|year| *year >= 1)?;
        let month = self.take(b'-').then(|| self.at_most(2, 12))??;
        let day = self.take(b'-').then(|| self.at_most(2, 31))??;
        let days = days_since_epoch(year, month, day);
        // A day that does not exist comes back as another one.
        (civil(days) == (year, month, day)).then_some(days)
    }

    /// `HH:MM[:SS[.f…]]`, as seconds and microseconds.
    fn time(&mut self) -> Option<(i64, i64)> {
        let hour = self.at_most(2, 23)?;
        let minute = self.take(b':').then(|| self.at_most(2, 59))??;
        let mut second = 0;
        let mut micros = 0;
        if self.take(b':') {
            second = self.at_most(2, 59)?;
            if self.take(b'.') {
                let digits = self.0.iter().take_while(|b| b.is_ascii_digit()).count();
                if !(1..=9).contains(&digits) {
                    return None;
                }
                let kept = digits.min(6);
                micros = self.number(kept)? * [1, 100_000, 10_000, 1_000, 100, 10, 1][kept];
                self.number(digits - kept)?;
            }
        }
        Some((hour * 3600 + minute * 60 + second, micros))
    }

    /// Nothing, `Z`, `±HH`, `±HHMM` or `±HH:MM`, as seconds east of UTC.
    fn offset(&mut self) -> Option<i64> {
        if self.0.is_empty() || self.take_any(b"Zz") {
            return Some(0);
        }
        let sign = if self.take(b'-') {
            -1
        } else if self.take(b'+') {
            1
        } else {
            return None;
        };
        let hours = self.at_most(2, 23)?;
        let colon = self.take(b':');
        let minutes = if colon || !self.0.is_empty() {
            self.at_most(2, 59)?
        } else {
            0
        };
        Some(sign * (hours * 3600 + minutes * 60))
    }
}

/// Days from 1970-01-01 to a civil date. Years are counted from March, so that the leap day is the last of its year and
/// the month lengths follow one formula (153 days per five months).
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The civil date (year, month, day) of a day counted from 1970-01-01; the inverse of [`days_since_epoch`].
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}
