//! What surrounds a request's own values: cursors, methods, headers, credentials, the bytes of HTTP itself.

use super::court::{Court, Verdict};
use super::scene::{Scene, Who, encoded, target};
use super::wire::Request;
use super::{listed, random, some};

#[tokio::test]
async fn cursors() {
    let scene = Scene::new().await;
    let mut court = Court::new(&scene.world).await;
    let samples = scene.samples();
    let list = samples
        .iter()
        .find(|sample| sample.query.iter().any(|(name, _)| *name == "cursor"));
    let list = list.expect("a list with a cursor");
    let with = |cursor: Vec<u8>| {
        let query = list.query.iter().map(|(name, value)| {
            (
                *name,
                if *name == "cursor" {
                    cursor.clone()
                } else {
                    encoded(value)
                },
            )
        });
        scene.signed(list.who, Request::new("GET", target(&list.path, query)))
    };
    let cursor = scene.cursor().as_bytes();
    court
        .hear(
            "the cursor itself",
            &with(cursor.to_owned()),
            Verdict::RefusedOrDone,
        )
        .await;
    for place in 0..cursor.len() {
        for bit in 0..7 {
            let mut spoilt = cursor.to_owned();
            spoilt[place] ^= 1 << bit;
            let readable = encoded(&String::from_utf8(spoilt).expect("ASCII stays ASCII"));
            court
                .hear("a flipped bit", &with(readable), Verdict::Refused)
                .await;
        }
    }
    for length in 1..cursor.len() {
        court
            .hear(
                "a part of a cursor",
                &with(cursor[..length].to_owned()),
                Verdict::Refused,
            )
            .await;
    }
    for spoilt in [
        cursor.repeat(2),
        [cursor, b"="].concat(),
        [b"%00", cursor].concat(),
        cursor.to_ascii_uppercase(),
        b"e30".to_vec(),
    ] {
        court
            .hear("a changed cursor", &with(spoilt), Verdict::Refused)
            .await;
    }
    court.close(&scene.world, "cursors").await;
}

#[tokio::test]
async fn methods() {
    let scene = Scene::new().await;
    let mut court = Court::new(&scene.world).await;
    let samples = scene.samples();
    for sample in &samples {
        for method in [
            "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND",
            "get", "X", "\u{e9}", "",
        ] {
            let route = scene.route(&sample.path);
            if samples
                .iter()
                .any(|other| other.method == method && scene.route(&other.path) == route)
            {
                continue;
            }
            let mut request = scene.signed(sample.who, Request::new(method, &sample.path));
            request.body = Some(b"{}".to_vec());
            let verdict = match method {
                // Answered by the layer for browsers, and by the route of GET.
                "OPTIONS" | "HEAD" => Verdict::RefusedOrDone,
                "CONNECT" | "\u{e9}" | "" => Verdict::Anything,
                _ => Verdict::Refused,
            };
            court.hear("a method", &request, verdict).await;
        }
    }
    court.close(&scene.world, "methods").await;
}

#[tokio::test]
async fn headers() {
    let mut scene = Scene::new().await;
    let mut court = Court::new(&scene.world).await;
    let mut turn = 0;
    for sample in scene
        .samples()
        .into_iter()
        .filter(|sample| sample.method != "DELETE")
    {
        turn += 1;
        for (name, value) in some(listed::headers(), 12, turn) {
            let mut request = sample.request();
            // Credentials are spoilt alone, everything else beside good ones.
            if !matches!(name, "authorization" | "x-api-key" | "x-account-id") {
                request = scene.signed(sample.who, request);
            }
            court
                .hear("a header", &request.header(name, value), Verdict::Anything)
                .await;
        }
        if court.is_fed_up() {
            break;
        }
        scene.restore().await;
        court.look_again().await;
    }
    court.close(&scene.world, "headers").await;
}

#[tokio::test]
async fn credentials() {
    let scene = Scene::new().await;
    let mut court = Court::new(&scene.world).await;
    let token = |name: &str| {
        scene.world.people[name]["token"]
            .as_str()
            .expect("a token")
            .to_owned()
    };
    let alice = token("alice");
    let parts: Vec<&str> = alice.split('.').collect();
    let mut spoilt: Vec<Vec<u8>> = Vec::new();
    for token in [
        "",
        " ",
        ".",
        "..",
        "...",
        "null",
        "undefined",
        "eyJhbGciOiJub25lIn0.e30.",
        "eyJhbGciOiJub25lIn0.e30",
        "\u{e9}",
        "\u{0}",
        "a.b.c",
        "%00",
    ] {
        spoilt.push(format!("Bearer {token}").into_bytes());
    }
    for index in 0..parts.len() {
        for change in ["", "e30", "AAAA", "%", "\u{1f4a9}"] {
            let mut changed = parts.clone();
            changed[index] = change;
            spoilt.push(format!("Bearer {}", changed.join(".")).into_bytes());
        }
    }
    for place in (7..alice.len()).step_by(5) {
        let mut bytes = format!("Bearer {alice}").into_bytes();
        bytes[place] ^= 1;
        spoilt.push(bytes);
    }
    spoilt.push(format!("Bearer {}.{}", alice, "A".repeat(20_000)).into_bytes());
    spoilt.push([b"Bearer ".as_slice(), &[0xff; 40]].concat());
    for value in spoilt {
        for path in ["/records/samples", "/collections", "/auth/me"] {
            let request = Request::new("GET", path)
                .header("authorization", &value)
                .header("x-account-id", "acme");
            let status = court.hear("a token", &request, Verdict::Anything).await;
            // Bytes that may not stand in a header are refused before anybody looks at them.
            if !matches!(status, 400 | 401) {
                court.fail(format!("{}: answered {status}", request.describe()));
            }
        }
    }
    court.close(&scene.world, "credentials").await;
}

#[tokio::test]
async fn bytes_that_are_hardly_http() {
    let scene = Scene::new().await;
    let mut court = Court::new(&scene.world).await;
    let mut dice = random::dice("bytes");
    let valid = scene
        .signed(
            Who::Alice,
            Request::new("POST", "/records/samples").body("{\"label\":\"x\"}"),
        )
        .bytes();
    for bytes in listed::streams() {
        court.hear_bytes("a stream", bytes).await;
    }
    for _ in 0..300 {
        let mut bytes = valid.clone();
        random::spoil_bytes(&mut dice, &mut bytes);
        // A head that never ends is waited for; here it ends.
        bytes.extend_from_slice(b"\r\n\r\n");
        court.hear_bytes("spoilt bytes", bytes).await;
        if court.is_fed_up() {
            break;
        }
    }
    court.close(&scene.world, "bytes").await;
}
