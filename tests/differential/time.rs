//! Points in time: microseconds since 1970 and the RFC 3339 form of the wire.

const DAY: i64 = 86_400_000_000;

/// Reads `2024-01-02T03:04:05[.678]Z`.
pub fn parse(text: &str) -> i64 {
    let number = |from: usize, to: usize| -> i64 { text[from..to].parse().expect("digits") };
    let fraction = text[19..].trim_start_matches('.').trim_end_matches('Z');
    let micros: i64 = format!("{fraction:0<6}").parse().expect("digits");
    let seconds = number(11, 13) * 3_600 + number(14, 16) * 60 + number(17, 19);
    days(number(0, 4), number(5, 7), number(8, 10)) * DAY + seconds * 1_000_000 + micros
}

/// The canonical form: UTC, a fraction only when it is not zero.
pub fn print(time: i64) -> String {
    let (mut year, mut month) = (1970, 1);
    let day = time.div_euclid(DAY);
    while days(year + 1, 1, 1) <= day {
        year += 1;
    }
    while month < 12 && days(year, month + 1, 1) <= day {
        month += 1;
    }
    let micros = time.rem_euclid(DAY);
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let fraction = match fraction {
        0 => String::new(),
        fraction => format!(".{}", format!("{fraction:06}").trim_end_matches('0')),
    };
    format!(
        "{year:04}-{month:02}-{:02}T{:02}:{:02}:{:02}{fraction}Z",
        day - days(year, month, 1) + 1,
        seconds / 3_600,
        seconds / 60 % 60,
        seconds % 60
    )
}

/// Days from 1970-01-01 to a day of the Gregorian calendar, from 1970 on.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let leap = |year: i64| (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let before = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let month_index = usize::try_from(month - 1).expect("a month");
    let years: i64 = (1970..year).map(|year| if leap(year) { 366 } else { 365 }).sum();
    years + before[month_index] + i64::from(month > 2 && leap(year)) + day - 1
}
