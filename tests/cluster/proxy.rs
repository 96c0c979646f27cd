//! A network between a node and its database, which can go away without a word for the connection that hears of deaths.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use reqwest::Url;

/// With what a connection begins to listen, to PostgreSQL and to Redis.
const LISTENS: [&[u8]; 2] = [b"LISTEN ", b"SUBSCRIBE"];

/// Takes connections until the process ends.
pub(crate) struct Proxy {
    url: String,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    is_silent: AtomicBool,
    swallowed: AtomicUsize,
}

impl Proxy {
    /// Leads to the database of this URL.
    pub(crate) fn to(store: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let place = Place::of(&Url::parse(store).unwrap());
        let state = Arc::<State>::default();
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                place.connect(client, &shared).unwrap();
            }
        });
        let url = through(store, port);
        Self { url, state }
    }

    /// The database, seen from behind it.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// From now on nothing passes that concerns who listens, in either direction; or all does again.
    pub(crate) fn silence(&self, is_silent: bool) {
        self.state.is_silent.store(is_silent, Ordering::SeqCst);
    }

    /// How often something did not pass.
    pub(crate) fn swallowed(&self) -> usize {
        self.state.swallowed.load(Ordering::SeqCst)
    }
}

/// The URL of the same database at a port of this machine.
fn through(store: &str, port: u16) -> String {
    let url = Url::parse(store).unwrap();
    let database = url.query_pairs().find(|(name, _)| name == "db");
    if let ("redis+unix", Some((_, database))) = (url.scheme(), &database) {
        return format!("redis://127.0.0.1:{port}/{database}");
    }
    let mut url = url.clone();
    url.set_host(Some("127.0.0.1")).unwrap();
    url.set_port(Some(port)).unwrap();
    url.set_query(None);
    url.into()
}

enum Place {
    Socket(String),
    Address(String),
}

impl Place {
    fn of(url: &Url) -> Self {
        let host = url.query_pairs().find(|(name, _)| name == "host");
        match (url.scheme(), host) {
            ("redis+unix", _) => Self::Socket(url.path().to_owned()),
            (_, Some((_, folder))) => Self::Socket(format!("{folder}/.s.PGSQL.5432")),
            (scheme, None) => {
                let usual = if scheme == "redis" { 6379 } else { 5432 };
                let port = url.port().unwrap_or(usual);
                Self::Address(format!("{}:{port}", url.host_str().unwrap()))
            }
        }
    }

    fn connect(&self, client: TcpStream, state: &Arc<State>) -> io::Result<()> {
        let (asks, hears) = (client.try_clone()?, client);
        match self {
            Self::Socket(path) => {
                let server = UnixStream::connect(path)?;
                let end = server.try_clone()?;
                let end = move || drop(end.shutdown(Shutdown::Both));
                between((asks, hears), (server.try_clone()?, server), end, state);
            }
            Self::Address(address) => {
                let server = TcpStream::connect(address)?;
                let end = server.try_clone()?;
                let end = move || drop(end.shutdown(Shutdown::Both));
                between((asks, hears), (server.try_clone()?, server), end, state);
            }
        }
        Ok(())
    }
}

fn between<S: Read + Write + Send + 'static>(
    (mut asks, mut hears): (TcpStream, TcpStream),
    (mut answers, mut asked): (S, S),
    end: impl FnOnce() + Send + 'static,
    state: &Arc<State>,
) {
    let listens = Arc::new(AtomicBool::new(false));
    let passes = {
        let (listens, state) = (Arc::clone(&listens), Arc::clone(state));
        move || {
            let is_lost = listens.load(Ordering::SeqCst) && state.is_silent.load(Ordering::SeqCst);
            state
                .swallowed
                .fetch_add(usize::from(is_lost), Ordering::SeqCst);
            !is_lost
        }
    };
    let pass = passes.clone();
    thread::spawn(move || {
        while let Some(question) = next(&mut asks) {
            let begins = |word: &&[u8]| question.windows(word.len()).any(|bytes| bytes == *word);
            if LISTENS.iter().any(begins) {
                listens.store(true, Ordering::SeqCst);
            }
            if pass() && asked.write_all(&question).is_err() {
                break;
            }
        }
        end();
    });
    thread::spawn(move || {
        while let Some(answer) = next(&mut answers) {
            if passes() && hears.write_all(&answer).is_err() {
                break;
            }
        }
        let _ = hears.shutdown(Shutdown::Both); // it may have ended before
    });
}

fn next(stream: &mut impl Read) -> Option<Vec<u8>> {
    let mut buffer = vec![0; 65_536];
    let length = stream.read(&mut buffer).ok().filter(|length| *length > 0)?;
    buffer.truncate(length);
    Some(buffer)
}
