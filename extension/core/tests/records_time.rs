//! Dates and moments.

use proptest::prelude::*;
use snackbase_core::schema::time::{parse_date, parse_datetime};

#[test]
fn moments() {
    for (text, utc) in [
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
        ("2026-01-02t03:04:05z", "2026-01-02T03:04:05Z"),
        ("2026-01-02 03:04:05", "2026-01-02T03:04:05Z"),
        ("2026-01-02", "2026-01-02T00:00:00Z"),
        ("2026-01-02T03:04", "2026-01-02T03:04:00Z"),
        ("2026-01-02T03:04+00", "2026-01-02T03:04:00Z"),
        ("2026-01-02T03:04:05.000Z", "2026-01-02T03:04:05Z"),
        ("2026-01-02T03:04:05.5Z", "2026-01-02T03:04:05.500000Z"),
        ("2026-11-21T19:09:17.403485+00:00", "2026-11-21T19:09:17.403485Z"),
        ("2026-01-02T03:04:05.999999999Z", "2026-01-02T03:04:05.999999Z"),
        ("2026-01-02T03:04:05+0530", "2026-01-01T21:34:05Z"),
        ("2025-12-31T23:30:00-01", "2026-01-01T00:30:00Z"),
        ("2024-02-29T23:59:59-00:01", "2024-03-01T00:00:59Z"),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
    ] {
        assert_eq!(parse_datetime(text).as_deref(), Some(utc), "{text}");
    }
    for text in [
        "",
        "2026",
        "2026-01",
        "2026-1-2",
        "20260102",
        "2026-01-02T",
        "2026-01-02T03",
        "2026-01-02  03:04",
        "2026-01-02T03:04:",
        "2026-01-02T03:04:60Z",
        "2026-01-02T24:00:00Z",
        "2026-01-02T23:60:00Z",
        "2026-01-02T03:04:05.Z",
        "2026-01-02T03:04:05,5Z",
        "2026-01-02T03:04:05.1234567890Z",
        "2026-01-02T03:04:05 Z",
        "2026-01-02T03:04:05+",
        "2026-01-02T03:04:05+1",
        "2026-01-02T03:04:05+24:00",
        "2026-01-02T03:04:05+01:60",
        "2026-01-02T03:04:05+01:",
        "2026-01-02T03:04:05ZZ",
        "2026-01-02Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "10000-01-01T00:00:00Z",
        "-2026-01-02T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-01-00T00:00:00Z",
        "2026-01-32T00:00:00Z",
        "now",
        "infinity",
        "epoch",
        " 2026-01-02",
        "2026-01-02 ",
        "٢٠٢٦-01-02",
        "2026-01-02T03:04:05\u{2212}01:00",
        "2026-01-02T03:04:05 UTC",
    ] {
        assert_eq!(parse_datetime(text), None, "{text}");
    }
}

#[test]
fn dates() {
    for text in [
        "2026-01-02",
        "0001-01-01",
        "9999-12-31",
        "2000-02-29",
        "2024-02-29",
    ] {
        assert_eq!(parse_date(text).as_deref(), Some(text));
    }
    for text in [
        "",
        "2026-1-2",
        "26-01-02",
        "2026/01/02",
        "02.01.2026",
        "2026-01-02 ",
        "2026-01-02T00:00",
        "1900-02-29",
        "2023-02-29",
        "2026-04-31",
        "0000-01-01",
        "infinity",
        "2026-01-0\u{0661}",
    ] {
        assert_eq!(parse_date(text), None, "{text}");
    }
}

#[test]
fn the_calendar_agrees_with_counting_days() {
    for years in [1..=5, 1590..=1610, 1895..=2105, 9990..=9999] {
        let mut before: Option<String> = None;
        for year in years {
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let lengths = [
                31,
                if leap { 29 } else { 28 },
                31,
                30,
                31,
                30,
                31,
                31,
                30,
                31,
                30,
                31,
            ];
            for (month, days) in (1..).zip(lengths) {
                for day in 1..=days {
                    let date = format!("{year:04}-{month:02}-{day:02}");
                    let shifted = parse_datetime(&format!("{date}T12:00:00+13:00"));
                    let expected = before.map(|before| format!("{before}T23:00:00Z"));
                    assert!(expected.is_none() || shifted == expected, "{date}");
                    assert!(parse_date(&format!("{year:04}-{month:02}-{:02}", days + 1)).is_none());
                    before = Some(date);
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn any_text_is_refused_or_read_to_a_fixed_point(text in "[0-9]{3,5}-[0-9]{2}-[0-9]{2}[T ]?[0-9:.Z+-]{0,20}") {
        if let Some(utc) = parse_datetime(&text) {
            prop_assert_eq!(parse_datetime(&utc), Some(utc));
        }
    }

    #[test]
    fn no_text_panics(text in any::<String>()) {
        let _ = (parse_date(&text), parse_datetime(&text));
    }
}
