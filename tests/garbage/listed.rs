//! Garbage by hand: the values that broke other programs.

mod expressions;

pub use expressions::{ENDLESS, expressions, queries};

/// JSON values, as texts that need not be JSON.
pub fn json_values() -> Vec<(&'static str, String)> {
    let digits = "9".repeat(5000);
    let deep = |open: &str, middle: &str, close: &str, count: usize| {
        open.repeat(count) + middle + &close.repeat(count)
    };
    let mut values: Vec<(&str, String)> = [
        "null",
        "true",
        "false",
        "0",
        "-1",
        "1.5",
        "-0",
        "1e400",
        "-1e400",
        "1e-400",
        "1E+999999999999",
        "9223372036854775808",
        "-9223372036854775809",
        "\"\"",
        "\" \"",
        "[]",
        "{}",
        "[null]",
        "[[]]",
        "[{}]",
        "{\"a\":1,\"a\":2}",
        "{\"\":\"\"}",
        "\"[object Object]\"",
        "\"1e400\"",
        "\"*\"",
        "\"..\"",
        "\"%\"",
        "\"\\\\\"",
        "\"'; drop table snackbase.accounts; --\"",
        "\"\u{1f4a9}\u{202e}\u{fffe}\"",
        "\"x\\u0000y\"",
        "\"\\u0000\"",
        "{\"\\u0000\":1}",
        "[\"\\u0000\"]",
        "\"\\ud800\"",
        "\"\\udc00\\ud800\"",
        "{\"\\ud800\":1}",
        "[[\"\\udfff\"]]",
        "\"\u{1}\"",
        "\"\u{0}\"",
        "\"\\x\"",
        "\"\\u12\"",
        "nul",
        "True",
        "NaN",
        "Infinity",
        "-",
        "01",
        "1.",
        ".5",
        "1e",
        "+1",
        "'x'",
        "undefined",
        "\"0000-00-00\"",
        "\"2024-02-30T99:99:99Z\"",
        "\"294277-01-01T00:00:00Z\"",
        "\"-4714-01-01\"",
        "\"infinity\"",
        "\"epoch\"",
        "\"now\"",
        "\"9999-12-31T23:59:60Z\"",
    ]
    .into_iter()
    .map(|text| ("a value", text.to_owned()))
    .collect();
    values.extend([
        ("a long integer", digits.clone()),
        ("a long fraction", format!("0.{digits}")),
        ("a long exponent", format!("1e{digits}")),
        ("a long text of digits", format!("\"{digits}\"")),
        ("a long text", format!("\"{}\"", "x".repeat(300_000))),
        ("a long text of NULs", format!("\"{}\"", "\\u0000".repeat(2000))),
        ("arrays in arrays", deep("[", "", "]", 10_000)),
        ("objects in objects", deep("{\"a\":", "1", "}", 10_000)),
        ("arrays within the limit", deep("[", "", "]", 100)),
        ("objects within the limit", deep("{\"a\":", "1", "}", 100)),
        ("open arrays", "[".repeat(10_000)),
        ("open objects", "{\"a\":".repeat(10_000)),
        (
            "many members",
            format!(
                "{{{}}}",
                (0..5000)
                    .map(|n| format!("\"k{n}\":{n}"))
                    .collect::<Vec<_>>()
                    .join(",")
            ),
        ),
        ("many elements", format!("[{}]", vec!["\"x\""; 20_000].join(","))),
        ("a long key", format!("{{\"{}\":1}}", "k".repeat(100_000))),
    ]);
    values
}

/// Bodies that are no object, or none of JSON.
pub fn bodies() -> Vec<(&'static str, Vec<u8>)> {
    let mut bodies: Vec<(&str, Vec<u8>)> = [
        "",
        " ",
        "\n",
        "null",
        "true",
        "5",
        "\"text\"",
        "[]",
        "[{}]",
        "{",
        "}",
        "{\"a\":}",
        "{\"a\":1}x",
        "{\"a\":1,}",
        "{a:1}",
        "{'a':1}",
        "{\"a\" 1}",
        "{\"a\":1}{\"a\":1}",
        "// x\n{}",
        "{}/* */",
        "a=1&b=2",
        "<a/>",
        "{\"a\":1}\u{0}",
        "\u{0}",
        "\u{feff}{}",
        "{\"\\ud800\":\"\\ud800\"}",
    ]
    .into_iter()
    .map(|text| ("a body", text.as_bytes().to_owned()))
    .collect();
    bodies.extend([
        ("invalid UTF-8", b"{\"a\":\"\xff\xfe\"}".to_vec()),
        ("invalid UTF-8 in a key", b"{\"\xc0\x80\":1}".to_vec()),
        ("an encoded surrogate", b"{\"a\":\"\xed\xa0\x80\"}".to_vec()),
        (
            "UTF-16",
            "{\"a\":1}".encode_utf16().flat_map(u16::to_le_bytes).collect(),
        ),
        (
            "gzip",
            b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xabV*I-.Q\xb2R".to_vec(),
        ),
        ("all bytes", (0..=255).collect()),
        ("arrays in arrays", "[".repeat(100_000).into_bytes()),
        ("objects in objects", "{\"a\":".repeat(100_000).into_bytes()),
    ]);
    bodies
}

/// Values of the query, encoded.
pub fn query_values() -> Vec<Vec<u8>> {
    let mut values: Vec<Vec<u8>> = [
        "",
        "%20",
        "+",
        "0",
        "-1",
        "1e3",
        "1.0",
        "0x10",
        "%2B1",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775809",
        "%EF%BC%91",
        "%D9%A3",
        "%C2%B2",
        "null",
        "true",
        "undefined",
        "NaN",
        "[]",
        "{}",
        "%7B%7D",
        "%00",
        "a%00b",
        "%FF%FE",
        "%ED%A0%80",
        "%C0%80",
        "%zz",
        "%",
        "%4",
        "%25zz",
        "'",
        "%22",
        "%5C",
        ";--",
        "../..",
        "..%2F..",
        "%0D%0AX%3A%20y",
        "%F0%9F%92%A9",
        "%E2%80%AE",
        ",",
        ",,,,",
        "-",
        "%2D%2D",
        "*",
        "a.b.c",
        "@x",
    ]
    .into_iter()
    .map(|text| text.as_bytes().to_owned())
    .collect();
    values.push("9".repeat(5000).into_bytes());
    values.push("a".repeat(30_000).into_bytes());
    values.push("a,".repeat(10_000).into_bytes());
    values.push("-label,".repeat(4000).into_bytes());
    values.push("a.".repeat(10_000).into_bytes());
    values
}

/// Segments of paths, encoded.
pub fn segments() -> Vec<Vec<u8>> {
    let mut segments: Vec<Vec<u8>> = [
        "%20",
        ".",
        "..",
        "%2E%2E",
        "%2e%2e%2f",
        "%2F",
        "a%2Fb",
        "%5C",
        "%00",
        "x%00y",
        "%FF%FE",
        "%ED%A0%80",
        "%C0%AF",
        "%",
        "%zz",
        "%4",
        "%25",
        "null",
        "undefined",
        "-1",
        "0",
        "1e400",
        "9223372036854775808",
        "99999999999999999999999999",
        "'",
        "%22",
        "\"",
        "%3B",
        "*",
        "@x",
        "$1",
        "col_posts",
        "pg_class",
        "snackbase.col_posts",
        "POSTS",
        "posts%0A",
        "posts%20",
        "%F0%9F%92%A9",
        "%E2%80%AE",
        "[object%20Object]",
        "{record}",
        "a;b",
        "a=b",
        "~",
        "!",
        "00000000-0000-0000-0000-000000000000",
        "%7B00000000-0000-4000-8000-000000000000%7D",
        "urn:uuid:00000000-0000-4000-8000-000000000000",
        "00000000000040008000000000000000",
        "00000000-0000-4000-8000-00000000000",
        "00000000-0000-4000-8000-00000000000g",
        "xn--",
    ]
    .into_iter()
    .map(|text| text.as_bytes().to_owned())
    .collect();
    segments.push(b"\xff\xfe".to_vec());
    segments.push("\u{e9}\u{1f4a9}".as_bytes().to_owned());
    segments.push("a".repeat(60_000).into_bytes());
    segments.push("%41".repeat(10_000).into_bytes());
    segments
}

/// Headers and their values.
pub fn headers() -> Vec<(&'static str, Vec<u8>)> {
    let mut headers: Vec<(&str, Vec<u8>)> = Vec::new();
    let texts: [&[u8]; 10] = [
        b"",
        b" ",
        b"\xff\xfe",
        b"\t",
        b"'; drop",
        b"a,b",
        b"0",
        b"%00",
        "\u{1f4a9}".as_bytes(),
        b"Basic YTpi",
    ];
    for name in [
        "authorization",
        "x-api-key",
        "x-account-id",
        "x-correlation-id",
        "user-agent",
        "x-forwarded-for",
        "x-forwarded-host",
        "forwarded",
        "host",
        "origin",
        "cookie",
        "accept",
        "accept-encoding",
        "content-type",
        "content-encoding",
        "expect",
        "range",
        "if-match",
        "if-none-match",
        "x-http-method-override",
        "upgrade",
        "connection",
        "te",
    ] {
        headers.extend(texts.iter().map(|value| (name, value.to_vec())));
        headers.push((name, b"x".repeat(4000)));
    }
    headers.extend([
        ("x-account-id", b"00000000-0000-0000-0000-000000000000".to_vec()),
        ("x-account-id", b"system".to_vec()),
        ("x-account-id", b"SY0000".to_vec()),
        ("x-account-id", b"nobody".to_vec()),
        ("x-account-id", b"ACME' or '1'='1".to_vec()),
        ("if-match", b"\"2024-01-01T00:00:00Z\"".to_vec()),
        ("if-match", b"W/\"x\", *".to_vec()),
        ("accept", b"text/html;q=nonsense".to_vec()),
    ]);
    headers
}

/// What may come over a socket.
pub fn streams() -> Vec<Vec<u8>> {
    let mut streams: Vec<Vec<u8>> = [
        "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET / HTTP/1.0\r\n\r\n", "GET /health HTTP/1.1\r\n\r\n", "\r\n\r\n\r\n", "\0\0\0\0\r\n\r\n",
        "GET /health HTTP/1.1\r\nhost: a\r\nhost: b\r\nconnection: close\r\n\r\n", "GET  /health  HTTP/1.1\r\n\r\n", "GET http://other/health HTTP/1.1\r\nconnection: close\r\n\r\n",
        "GET * HTTP/1.1\r\n\r\n", "GET health HTTP/1.1\r\n\r\n", "OPTIONS * HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "POST /api/v1/records/samples HTTP/1.1\r\nconnection: close\r\ncontent-length: -1\r\n\r\n{}", "POST /api/v1/records/samples HTTP/1.1\r\nconnection: close\r\ncontent-length: 99999999999999999999999\r\n\r\n{}",
        "POST /api/v1/records/samples HTTP/1.1\r\nconnection: close\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}", "POST /api/v1/records/samples HTTP/1.1\r\nconnection: close\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /api/v1/records/samples HTTP/1.1\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n", "POST /api/v1/records/samples HTTP/1.1\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n{}\r\n0\r\n\r\n",
        "POST /api/v1/records/samples HTTP/1.1\r\nconnection: close\r\ntransfer-encoding: gzip\r\n\r\n{}", "GET /health HTTP/1.1\r\n: no name\r\n\r\n", "GET /health HTTP/1.1\r\nbad name: x\r\n\r\n", "GET /health HTTP/1.1\r\nx\0y: z\r\n\r\n",
        "GET /health HTTP/1.1\r\nx: y\r\n folded: z\r\nconnection: close\r\n\r\n", "GET /health HTTP/1.1\nconnection: close\n\n",
    ]
    .into_iter()
    .map(|text| text.as_bytes().to_owned())
    .collect();
    let many: String = (0..200).map(|number| format!("x-{number}: y\r\n")).collect();
    streams.push(format!("GET /health HTTP/1.1\r\n{many}\r\n").into_bytes());
    streams.push(format!("GET /health HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(2_000_000)).into_bytes());
    streams.push(
        format!(
            "GET /api/v1/records/samples?filter={} HTTP/1.1\r\n\r\n",
            "y".repeat(2_000_000)
        )
        .into_bytes(),
    );
    streams.push(format!("GET /{} HTTP/1.1\r\n\r\n", "y".repeat(70_000)).into_bytes());
    streams.push(format!("{} / HTTP/1.1\r\n\r\n", "Y".repeat(70_000)).into_bytes());
    streams.push((0..=255).chain(*b"\r\n\r\n").collect());
    // A handshake of TLS.
    streams.push(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec());
    streams
}
