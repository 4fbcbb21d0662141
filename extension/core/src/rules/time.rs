//! Dates and points in time as people write them in a rule, in the form PostgreSQL reads the same under any settings.

/// A date: exactly `YYYY-MM-DD`, years 0001 to 9999.
pub(super) fn date(text: &str) -> Option<String> {
    let mut reader = Reader(text.as_bytes());
    reader.day()?;
    reader.0.is_empty().then(|| text.to_owned())
}

/// A point in time in UTC, `YYYY-MM-DDTHH:MM:SS[.ffffff]Z`.
///
/// Reads ISO 8601: a date alone is midnight; between date and time stands `T` or one space; seconds and their fraction
/// may be missing (digits past the microsecond are dropped); the zone is `Z`, `±HH`, `±HHMM`, `±HH:MM`, or missing, which means UTC.
/// None as well when the point lies outside the years 0001 to 9999 in UTC.
pub(super) fn datetime(text: &str) -> Option<String> {
    let mut reader = Reader(text.as_bytes());
    let day = reader.day()?;
    let mut seconds = 0;
    let mut fraction = String::new();
    if !reader.0.is_empty() {
        if !(reader.accept(b'T') || reader.accept(b' ')) {
            return None;
        }
        seconds = reader.number(2, 0..=23)? * 3600;
        reader.expect(b':')?;
        seconds += reader.number(2, 0..=59)? * 60;
        if reader.accept(b':') {
            seconds += reader.number(2, 0..=59)?;
            if reader.accept(b'.') {
                fraction = reader.fraction()?;
            }
        }
        seconds -= reader.offset()?;
    }
    let day = day + seconds.div_euclid(86_400);
    let seconds = seconds.rem_euclid(86_400);
    let (year, month, date) = civil(day);
    if !(1..=9999).contains(&year) {
        return None;
    }
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    Some(format!(
        "{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z"
    ))
}

/// What is left to read. All accepted characters are ASCII, so bytes will do.
struct Reader<'t>(&'t [u8]);

impl Reader<'_> {
    fn accept(&mut self, wanted: u8) -> bool {
        let found = self.0.first() == Some(&wanted);
        if found {
            self.0 = &self.0[1..];
        }
        found
    }

    fn expect(&mut self, wanted: u8) -> Option<()> {
        self.accept(wanted).then_some(())
    }

    fn number(&mut self, digits: usize, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
        let (number, rest) = self.0.split_at_checked(digits)?;
        if !number.iter().all(u8::is_ascii_digit) {
            return None;
        }
        self.0 = rest;
        let value = number
            .iter()
            .fold(0, |value, digit| value * 10 + i64::from(digit - b'0'));
        range.contains(&value).then_some(value)
    }

    /// Days since 1970-01-01.
    fn day(&mut self) -> Option<i64> {
        let year = self.number(4, 1..=9999)?;
        self.expect(b'-')?;
        let month = self.number(2, 1..=12)?;
        self.expect(b'-')?;
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let length = match month {
            2 => 28 + i64::from(leap),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let date = self.number(2, 1..=length)?;
        Some(days(year, month, date))
    }

    /// One to nine digits, cut to microseconds and without zeros at the end; with its dot, or empty.
    fn fraction(&mut self) -> Option<String> {
        let digits = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if !(1..=9).contains(&digits) {
            return None;
        }
        let (fraction, rest) = self.0.split_at(digits);
        self.0 = rest;
        let kept: String = fraction.iter().take(6).map(|byte| char::from(*byte)).collect();
        let kept = kept.trim_end_matches('0');
        Some(if kept.is_empty() {
            String::new()
        } else {
            format!(".{kept}")
        })
    }

    /// Seconds east of Greenwich; must be all that is left.
    fn offset(&mut self) -> Option<i64> {
        let sign = match self.0.first() {
            None => return Some(0),
            Some(b'Z') => 0,
            Some(b'+') => 1,
            Some(b'-') => -1,
            Some(_) => return None,
        };
        self.0 = &self.0[1..];
        if sign == 0 {
            return self.0.is_empty().then_some(0);
        }
        // PostgreSQL knows no zone more than 15:59 away.
        let hours = self.number(2, 0..=15)?;
        let minutes = if self.0.is_empty() {
            0
        } else {
            self.accept(b':');
            self.number(2, 0..=59)?
        };
        self.0.is_empty().then_some(sign * (hours * 3600 + minutes * 60))
    }
}

/// Days since 1970-01-01 of a date of the Gregorian calendar. Years are counted from March, so that the leap day is the
/// last of its year; 400 years have 146 097 days.
fn days(year: i64, month: i64, date: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + date - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The inverse of [`days`]: year, month, date.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let date = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    (era * 400 + year_of_era + i64::from(month <= 2), month, date)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_civil_are_inverse() {
        assert_eq!(days(1970, 1, 1), 0);
        assert_eq!(days(2000, 3, 1), 11_017);
        for day in days(1, 1, 1)..=days(9999, 12, 31) {
            let (year, month, date) = civil(day);
            assert_eq!(days(year, month, date), day);
        }
    }

    #[test]
    fn datetimes_are_normalised_to_utc() {
        for (text, expected) in [
            ("2024-01-01", "2024-01-01T00:00:00Z"),
            ("2024-01-02T03:04:05+05:30", "2024-01-01T21:34:05Z"),
            ("2024-01-02 03:04", "2024-01-02T03:04:00Z"),
            ("2024-02-29T23:59:59.120-01", "2024-03-01T00:59:59.12Z"),
            ("2024-12-31T23:00:00.1234567-0130", "2025-01-01T00:30:00.123456Z"),
            ("2024-01-01T00:00:00.000Z", "2024-01-01T00:00:00Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ] {
            assert_eq!(datetime(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "2024",
            "2024-1-1",
            "2024-13-45",
            "2023-02-29",
            "0000-01-01",
            "2024-01-01T",
            "2024-01-01T24:00:00Z",
            "2024-01-01T00:00:60Z",
            "2024-01-01T00",
            "2024-01-01  00:00",
            "2024-01-01T00:00:00.",
            "2024-01-01T00:00:00.1234567890",
            "2024-01-01T00:00:00z",
            "2024-01-01T00:00:00+5",
            "2024-01-01T00:00:00+16:00",
            "2024-01-01Z",
            " 2024-01-01",
            "2024-01-01\n",
            "٢٠٢٤-01-01",
            "0001-01-01T00:00:00+01:00",
            "9999-12-31T23:30:00-01:00",
        ] {
            assert_eq!(datetime(text), None, "{text}");
        }
        assert_eq!(date("2024-01-02").as_deref(), Some("2024-01-02"));
        assert_eq!(date("2024-01-02T10:00:00Z"), None);
    }
}
