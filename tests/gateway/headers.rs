//! What goes on to the service, what stays at the gateway, and what the gateway alone may say.

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::support::{Seen, World, exchange, gateway, status};
use crate::waits::soon;

const ALICE: &str = "Authorization: Bearer alice";

/// A name as the environment of a CGI program has it.
fn folded(name: &str) -> String {
    let fold = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    name.to_ascii_uppercase().chars().map(fold).collect()
}

/// What a CGI program would find in this variable, whatever spelling it came by.
fn read_by_cgi<'a>(seen: &'a Seen, variable: &str) -> Vec<&'a str> {
    let fields = seen.headers.iter();
    let meant = fields.filter(|(name, _)| folded(name.as_str()) == variable);
    meant.map(|(_, value)| value.to_str().unwrap()).collect()
}

#[tokio::test]
async fn v34_nobody_but_the_gateway_says_who_asks_in_any_spelling_a_service_could_read() {
    let world = World::start(&[]).await;
    let issuer = world.issuer();
    let truth = [
        ("X_AUTH_ISSUER", issuer),
        ("X_AUTH_SUBJECT", "alice"),
        ("X_AUTH_CLIENT_ID", "app"),
        ("X_AUTH_SCOPE", "notes:read notes:write"),
    ];
    for (variable, said) in truth {
        let dashed = variable.replace('_', "-");
        let first_dash = dashed.replacen("AUTH-", "AUTH_", 1);
        for name in [
            dashed.clone(),
            dashed.to_lowercase(),
            variable.to_owned(),
            variable.to_lowercase(),
            first_dash.clone(),
            first_dash.to_lowercase(),
            dashed.replacen('-', "_", 1),
            dashed.replace('-', "."),
            dashed.replace('-', "~"),
        ] {
            let forged = format!("{name}: mallory");
            let empty = format!("{name}:");
            let fields = [forged.as_str(), &forged, &empty];
            let answer = world.raw("GET /x", &[&fields[..], &[ALICE]].concat()).await;
            assert_eq!(status(&answer), 200, "{answer}");
            assert_eq!(
                read_by_cgi(&world.service.one(), variable),
                [said],
                "{name}"
            );
            // With a token where none is needed, it is the same; without one, nobody is anybody.
            let answer = world
                .raw("GET /pub/x", &[&fields[..], &[ALICE]].concat())
                .await;
            assert_eq!(status(&answer), 200, "{answer}");
            assert_eq!(
                read_by_cgi(&world.service.one(), variable),
                [said],
                "{name}"
            );
            let answer = world.raw("GET /pub/x", &fields).await;
            assert_eq!(status(&answer), 200, "{answer}");
            assert_eq!(
                read_by_cgi(&world.service.one(), variable),
                [""; 0],
                "{name}"
            );
        }
    }
}

#[tokio::test]
async fn v34_the_fields_of_one_connection_cannot_take_ours_away_nor_bring_any_by_a_trailer() {
    let world = World::start(&[]).await;
    let named = "Connection: X-Auth-Subject, x-auth-scope, X-Forwarded-For, via";
    world.raw("GET /x", &[ALICE, named]).await;
    let seen = world.service.one();
    assert_eq!(seen.all("x-auth-subject"), ["alice"]);
    assert_eq!(seen.all("x-auth-scope"), ["notes:read notes:write"]);
    assert_eq!(seen.all("x-forwarded-for"), ["127.0.0.1"]);

    let service = Wire::start("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let gateway = gateway(&service.base, world.issuer(), &[]);
    let request = "POST /pub HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Auth-Subject\r\n\r\n\
                   2\r\nhi\r\n0\r\nX-Auth-Subject: mallory\r\n\r\n";
    let answer = exchange(gateway.base(), request.as_bytes()).await;
    assert_eq!(status(&answer), 200, "{answer}");
    let seen = service.request().await;
    assert!(seen.contains("\r\nhi\r\n"), "{seen}");
    assert!(!seen.contains("mallory"), "{seen}");
}

#[tokio::test]
async fn v34_what_some_services_believe_about_address_and_path_is_said_by_the_gateway_or_by_nobody()
{
    let world = World::start(&[]).await;
    let forged = [
        "X-Forwarded-For: 10.0.0.1",
        "X_Forwarded_For: 10.0.0.1",
        "X-Forwarded-Proto: https",
        "x-forwarded_proto: https",
        "X-Forwarded-Host: evil.example",
        "X-Forwarded-Uri: /admin",
        "X-Forwarded-Prefix: /admin",
        "X-Forwarded-Port: 1",
        "Forwarded: for=10.0.0.1;host=evil.example",
        "X-Real-IP: 10.0.0.1",
        "X-Original-URL: /admin",
        "X_Rewrite_URL: /admin",
        "Proxy: http://evil.example",
        "Via: 1.0 elsewhere",
    ];
    for (line, fields) in [
        ("GET /pub", &forged[..]),
        ("GET /x", &[&forged[..], &[ALICE]].concat()),
    ] {
        let answer = world.raw(line, fields).await;
        assert_eq!(status(&answer), 200, "{answer}");
        let seen = world.service.one();
        assert_eq!(read_by_cgi(&seen, "X_FORWARDED_FOR"), ["127.0.0.1"]);
        assert_eq!(read_by_cgi(&seen, "X_FORWARDED_PROTO"), ["http"]);
        assert_eq!(read_by_cgi(&seen, "X_FORWARDED_HOST"), ["api.example"]);
        assert_eq!(seen.all("via"), ["1.0 elsewhere", "1.1 gateway"]);
        assert_eq!(
            seen.all("host"),
            [world.service.base.trim_start_matches("http://")]
        );
        let text = format!("{:?}", seen.headers);
        for lie in ["10.0.0.1", "evil", "admin", "https"] {
            assert!(!text.contains(lie), "{lie}: {text}");
        }
    }
}

#[tokio::test]
async fn the_token_stays_here_and_so_do_credentials_of_other_kinds() {
    let world = World::start(&[]).await;
    for (path, fields) in [
        ("GET /x", &[ALICE][..]),
        ("GET /pub", &[ALICE]),
        ("GET /pub", &["Authorization: Basic YWxpY2U6eA=="]),
        ("GET /pub", &["Proxy-Authorization: Bearer alice"]),
    ] {
        let answer = world.raw(path, fields).await;
        assert_eq!(status(&answer), 200, "{answer}");
        let text = format!("{:?}", world.service.one().headers);
        assert!(
            !text.contains("authorization") && !text.contains("Bearer"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn what_a_token_says_becomes_one_field_whatever_it_is() {
    let world = World::start(&[]).await;
    for (token, sub, field) in [
        ("t1", "auth0|5f7c+x@example.org", "auth0|5f7c+x@example.org"),
        (
            "t2",
            " zo\u{eb} \u{1f511} ",
            "%20zo%C3%AB%20%F0%9F%94%91%20",
        ),
        ("t3", "100%25", "100%2525"),
        (
            "t4",
            "a\u{2028}x-auth-scope: admin",
            "a%E2%80%A8x-auth-scope:%20admin",
        ),
    ] {
        world.token(
            token,
            &json!({"sub": sub, "client_id": "a client", "scope": ""}),
        );
        assert_eq!(world.get("/x", Some(token)).await.status(), 200, "{sub}");
        let seen = world.service.one();
        assert_eq!(seen.all("x-auth-subject"), [field]);
        assert_eq!(seen.all("x-auth-client-id"), ["a%20client"]);
        assert_eq!(
            seen.all("x-auth-scope"),
            [""; 0],
            "what is not said has no field"
        );
    }
    for (token, sub) in [
        ("t5", "a\r\nx-auth-scope: admin"),
        ("t6", "a\0"),
        ("t7", "a\n"),
    ] {
        world.token(token, &json!({"sub": sub}));
        let status = world.get("/x", Some(token)).await.status();
        assert!(status == 401 || status == 503, "{sub:?}: {status}");
    }
    assert!(world.service.take().is_empty());
}

#[tokio::test]
async fn rfc9110_7_6_1_the_fields_of_one_connection_stay_here_in_both_directions() {
    let service = Wire::start(
        "HTTP/1.1 200 OK\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nUpgrade: h2c\r\n\
         Proxy-Authenticate: Basic\r\nProxy-Connection: close\r\nTrailer: X-Sum\r\nX-End: 1\r\n\
         Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 7\r\n\r\n",
    )
    .await;
    let gateway = gateway(&service.base, "http://127.0.0.1:1", &[]);
    let request = "POST /pub HTTP/1.1\r\nHost: a\r\nConnection: close, X-Hop\r\nConnection: keep-alive, x-hop2\r\nX-Hop: 1\r\n\
                   X-Hop2: 1\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\nUpgrade: websocket\r\nHTTP2-Settings: x\r\n\
                   Proxy-Connection: keep-alive\r\nExpect: 100-continue\r\nX-End: 1\r\nContent-Length: 2\r\n\r\nhi";
    let answer = exchange(gateway.base(), request.as_bytes())
        .await
        .to_lowercase();
    let seen = service.request().await.to_lowercase();
    assert!(seen.ends_with("\r\n\r\nhi"), "{seen}");
    assert!(
        answer.contains("200 ok") && answer.contains("hi"),
        "{answer}"
    );
    for name in [
        "x-hop",
        "keep-alive",
        "\nte:",
        "upgrade",
        "http2-settings",
        "proxy-",
        "expect",
        "trailer",
        "x-sum",
    ] {
        assert!(!seen.contains(name), "{name}: {seen}");
        assert!(!answer.contains(name), "{name}: {answer}");
    }
    for text in [&seen, &answer] {
        assert!(text.contains("x-end: 1"), "{text}");
        let framed = [
            text.contains("content-length: "),
            text.contains("transfer-encoding: "),
        ];
        assert_eq!(framed.iter().filter(|framed| **framed).count(), 1, "{text}");
    }
}

#[tokio::test]
async fn rfc9112_6_a_request_is_framed_in_one_way_or_is_none() {
    let world = World::start(&[]).await;
    let post = async |fields: &str, body: &str| {
        let head = "POST /pub HTTP/1.1\r\nHost: a\r\nConnection: close\r\n";
        exchange(world.base(), format!("{head}{fields}\r\n{body}").as_bytes()).await
    };
    for fields in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
    ] {
        let smuggled = "0\r\n\r\nGET /secret HTTP/1.1\r\nHost: a\r\n\r\n";
        let answer = post(fields, smuggled).await;
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
        let seen = world.service.take();
        assert!(seen.len() <= 1, "{seen:?}");
        for seen in seen {
            assert_eq!((seen.target.as_str(), seen.body.as_str()), ("/pub", ""));
            let (length, coding) = (seen.all("content-length"), seen.all("transfer-encoding"));
            assert!(length.is_empty() || coding.is_empty(), "{seen:?}");
        }
    }
    for (fields, body, expected) in [
        ("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n", 501),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "0\r\n\r\n",
            501,
        ),
        ("Transfer-Encoding: identity\r\n", "", 400),
        ("Transfer-Encoding: chunked, x\r\n", "0\r\n\r\n", 400),
        ("Content-Length: 1\r\nContent-Length: 2\r\n", "xx", 400),
        ("Content-Length: 1, 2\r\n", "xx", 400),
        ("Content-Length: +1\r\n", "x", 400),
        ("Content-Length : 1\r\n", "x", 400),
        ("Transfer-Encoding : chunked\r\n", "0\r\n\r\n", 400),
        ("X: a\r\n b\r\n", "", 400),
        ("Host: b\r\n", "", 400),
        ("Transfer-Encoding: chunked\r\n", "zz\r\n", 400),
    ] {
        let answer = post(fields, body).await;
        assert_eq!(status(&answer), expected, "{fields:?}: {answer}");
        assert!(world.service.take().is_empty(), "{fields:?}");
    }
    let hostless = exchange(world.base(), b"GET /pub HTTP/1.1\r\n\r\n").await;
    assert_eq!(status(&hostless), 400, "{hostless}");
    let before_hosts = exchange(world.base(), b"GET /pub HTTP/1.0\r\n\r\n").await;
    assert_eq!(status(&before_hosts), 200, "{before_hosts}");
}

/// A service that answers each connection once, with these bytes, and keeps the bytes that it was sent.
struct Wire {
    base: String,
    requests: tokio::sync::Mutex<tokio::sync::mpsc::Receiver<String>>,
}

impl Wire {
    async fn start(answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (tell, requests) = tokio::sync::mpsc::channel(8);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = Vec::new();
                while !is_over(&request) {
                    let mut piece = [0; 4096];
                    match stream.read(&mut piece).await {
                        Ok(0) | Err(_) => break,
                        Ok(length) => request.extend_from_slice(&piece[..length]),
                    }
                }
                tell.send(String::from_utf8_lossy(&request).into_owned())
                    .await
                    .unwrap();
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        Self {
            base,
            requests: requests.into(),
        }
    }

    async fn request(&self) -> String {
        let mut requests = self.requests.lock().await;
        soon("a request", requests.recv()).await.unwrap()
    }
}

/// Whether that is a whole request: to its last chunk, or to the two bytes that these tests send.
fn is_over(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    if head.to_lowercase().contains("transfer-encoding") {
        return body.contains("0\r\n") && body.ends_with("\r\n\r\n");
    }
    body.len() == 2
}
