//! Which paths need no token: no trick reaches another one through them.

use crate::support::{World, exchange, status};

/// What becomes of a request without a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Is {
    /// The service gets it, by this target.
    Public(&'static str),
    /// It needs a token; with one, the service gets the very same target.
    Protected,
    /// It is refused, with a token or without.
    Refused,
}
use Is::{Protected, Public, Refused};

const TARGETS: &[(&str, Is)] = &[
    // Whole segments.
    ("/pub", Public("/pub")),
    ("/pub/", Public("/pub/")),
    (
        "/pub/x/y.html?a=/../b&c=%2e",
        Public("/pub/x/y.html?a=/../b&c=%2e"),
    ),
    ("/static/v1/app.js", Public("/static/v1/app.js")),
    ("/pub#/../secret", Public("/pub")),
    ("/", Protected),
    ("/public", Protected),
    ("/pub.html", Protected),
    ("/pubx/pub", Protected),
    ("/x/pub", Protected),
    ("/static", Protected),
    ("/static/v2", Protected),
    ("/static/v10", Protected),
    ("/secret?/pub", Protected),
    ("/PUB/x", Protected),
    ("/Pub", Protected),
    // One spelling for what is the same to everybody.
    ("/%70%75b/x", Public("/pub/x")),
    ("/pub/a%2Db%7e", Public("/pub/a-b~")),
    ("/pub/my%20file.pdf", Public("/pub/my%20file.pdf")),
    ("/pub/a%3ab%40c", Public("/pub/a:b@c")),
    ("/pub/...x/..y/z..", Public("/pub/...x/..y/z..")),
    // Dot segments, in whatever spelling.
    ("/pub/../secret", Refused),
    ("/pub/./x", Refused),
    ("/pub/..", Refused),
    ("/pub/.", Refused),
    ("/../pub", Refused),
    ("/pub/%2e%2e/secret", Refused),
    ("/pub/.%2E/secret", Refused),
    ("/pub/%2e./secret", Refused),
    ("/pub/%2e/x", Refused),
    ("/pub/%252e%252e/secret", Refused),
    ("/pub/%25252e%25252e/secret", Refused),
    ("/pub/%%32e%%32e/secret", Refused),
    ("/pub/..%2fsecret", Refused),
    ("/pub/..%252fsecret", Refused),
    ("/pub%2f..%2fsecret", Refused),
    ("/pub/..\\secret", Refused),
    ("/pub\\..\\secret", Refused),
    ("/pub/..%5csecret", Refused),
    ("/pub%5c..%5csecret", Refused),
    ("/pub%255c..%255csecret", Refused),
    ("/pub/..;/secret", Refused),
    ("/pub/..;x=1/secret", Refused),
    ("/pub/.;/x", Refused),
    ("/pub/..%3b/secret", Refused),
    ("/pub/..%3Fx/secret", Refused),
    ("/pub/..%23/secret", Refused),
    ("/pub/..%20/secret", Refused),
    ("/pub/.%20./secret", Refused),
    ("/pub/.../secret", Refused),
    ("/pub//../secret", Refused),
    // Control characters.
    ("/pub/%00", Refused),
    ("/pub/..%00/secret", Refused),
    ("/secret%00/pub", Refused),
    ("/pub/%0d%0aX-Auth-Subject:%20mallory", Refused),
    ("/pub/%250a", Refused),
    ("/pub/%7f", Refused),
    // What readers differ about is not public, and is sent on as it came.
    ("//pub/x", Protected),
    ("/pub//x", Protected),
    ("/pub//", Protected),
    ("//evil.example/pub", Protected),
    ("/pub;x", Protected),
    ("/pub/x;y=1", Protected),
    ("/pub;/secret", Protected),
    ("/;/pub", Protected),
    ("/pub%2fx", Protected),
    ("/pub/x%2Fsecret", Protected),
    ("/pub%252fx", Protected),
    ("/pub/%25", Protected),
    ("/pub%5cx", Protected),
    ("/pub\\x", Protected),
    ("/pub%3Fx", Protected),
    ("/pub/%23", Protected),
    ("/pub%3b", Protected),
    ("/pub/a%3Fb", Protected),
    ("/pub/a%3Bb", Protected),
    ("/pub/a%5Cb", Protected),
    ("/pub/a%20", Public("/pub/a%20")),
    ("/pub/%", Protected),
    ("/pub/%2", Protected),
    ("/pub/%zz", Protected),
    ("/pub/%u002e%u002e/secret", Protected),
    ("/pub/%c0%ae%c0%ae/secret", Protected),
    ("/pub/%c0%afsecret", Protected),
    ("/pub/%ff", Protected),
    ("/pub/%ef%bc%8e%ef%bc%8e/secret", Protected),
    ("/pub/%e2%88%95secret", Protected),
    ("/p%c3%bcb", Protected),
    // Encoded three times over is the most that is read to its end.
    ("/pub/%252525", Protected),
    ("/pub/%25252525", Refused),
    ("/secret/%2525252525", Refused),
    // Targets that are no paths.
    ("*", Refused),
    ("pub", Refused),
    ("pub:80", Refused),
];

#[tokio::test]
async fn no_spelling_of_a_protected_path_is_taken_for_a_public_one() {
    let world = World::start(&["--public", "/static/v1/"]).await;
    for (target, is) in TARGETS {
        let bare = world.raw(&format!("GET {target}"), &[]).await;
        let seen: Vec<_> = world
            .service
            .take()
            .into_iter()
            .map(|seen| seen.target)
            .collect();
        let with = world
            .raw(&format!("GET {target}"), &["Authorization: Bearer alice"])
            .await;
        let seen_with: Vec<_> = world
            .service
            .take()
            .into_iter()
            .map(|seen| seen.target)
            .collect();
        let (bare, with) = (status(&bare), status(&with));
        match is {
            Public(target) => {
                assert_eq!((bare, with), (200, 200), "{target}");
                assert_eq!(
                    (seen, seen_with),
                    (vec![(*target).to_owned()], vec![(*target).to_owned()])
                );
            }
            Protected => {
                assert_eq!((bare, with), (401, 200), "{target}");
                assert_eq!((seen, seen_with), (vec![], vec![(*target).to_owned()]));
            }
            Refused => {
                assert_eq!((bare, with), (400, 400), "{target}");
                assert_eq!((seen, seen_with), (vec![], vec![]), "{target}");
            }
        }
    }
}

/// Each reading of it makes it shorter by two bytes: to its end, that is 30,000 readings.
#[tokio::test]
async fn a_path_that_is_encoded_without_end_is_not_read_to_its_end() {
    let world = World::start(&[]).await;
    for start in ["/%", "/pub/%", "/x/%zz%"] {
        let target = format!("{start}{}", "25".repeat(30_000));
        let answer = world.raw(&format!("GET {target}"), &[]).await;
        assert_eq!(status(&answer), 400, "{start}");
    }
    assert!(world.service.take().is_empty());
}

#[tokio::test]
async fn a_target_with_a_host_is_judged_by_its_path_and_goes_to_the_service_alone() {
    let world = World::start(&[]).await;
    for (target, expected) in [
        ("http://evil.example/secret", 401),
        ("http://evil.example/pub/../secret", 400),
        ("http://pub/secret", 401),
        ("http://evil.example", 401),
        ("http://user@evil.example/pub", 400),
        ("https://evil.example/pub/x?y", 200),
    ] {
        let answer = world.raw(&format!("GET {target}"), &[]).await;
        assert_eq!(status(&answer), expected, "{target}: {answer}");
    }
    let seen = world.service.one();
    assert_eq!(seen.target, "/pub/x?y");
    assert_eq!(
        seen.all("host"),
        [world.service.base.trim_start_matches("http://")]
    );
    assert_eq!(
        seen.all("x-forwarded-host"),
        ["evil.example"],
        "RFC 9112 §3.2.2"
    );
}

#[tokio::test]
async fn what_no_proxy_of_this_kind_does_is_said_and_not_sent_on() {
    let world = World::start(&[]).await;
    for (request, expected) in [
        (
            "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n",
            501,
        ),
        ("CONNECT /pub HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        ("TRACE /pub HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    ] {
        let request = request.replacen("\r\n", "\r\nAuthorization: Bearer alice\r\n", 1);
        let answer = exchange(world.base(), request.as_bytes()).await;
        assert!(
            answer.is_empty() || status(&answer) == expected,
            "{request}: {answer}"
        );
    }
    assert!(world.service.take().is_empty());
    // An upgrade is not done; the request is one like others.
    let upgrade = ["Connection: Upgrade", "Upgrade: websocket"];
    assert_eq!(status(&world.raw("GET /x", &upgrade).await), 401);
    assert_eq!(status(&world.raw("GET /pub", &upgrade).await), 200);
    assert!(world.service.one().all("upgrade").is_empty());
}

#[tokio::test]
async fn the_path_of_the_upstream_stands_before_each_path() {
    let world = World::start(&[]).await;
    let base = format!("{}/base/", world.service.base);
    let gateway = crate::support::gateway(&base, world.issuer(), &[]);
    let http = reqwest::Client::new();
    let request = http
        .post(format!("{}/pub/x?y=z", gateway.base()))
        .body("all of it");
    assert_eq!(
        request.send().await.unwrap().text().await.unwrap(),
        "the service"
    );
    let seen = world.service.one();
    assert_eq!(
        (seen.method.as_str(), seen.target.as_str()),
        ("POST", "/base/pub/x?y=z")
    );
    assert_eq!(seen.body, "all of it");
}
