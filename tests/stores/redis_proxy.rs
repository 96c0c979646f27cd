//! What stands between a store and its Redis: it changes answers, or loses one.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

type Change = Arc<dyn Fn(&[u8]) -> Vec<u8> + Send + Sync>;

/// Takes connections for a Redis until the process ends.
pub(crate) struct Proxy {
    port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// The answers to questions with this word are lost, and the connections with them.
    lose: Mutex<Option<String>>,
    /// How many questions with it have come.
    lost: AtomicU32,
}

impl Proxy {
    /// Answers go through `change`.
    pub(crate) fn to(
        socket: PathBuf,
        change: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("there is a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let state = Arc::<State>::default();
        let (shared, change): (_, Change) = (Arc::clone(&state), Arc::new(change));
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let server = UnixStream::connect(&socket).expect("the server is there");
                between(client, server, &shared, &change);
            }
        });
        Self { port, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn lose_the_answer_to(&self, word: &str) {
        *self.state.lose.lock().unwrap() = Some(word.to_owned());
    }

    pub(crate) fn lose_nothing(&self) {
        *self.state.lose.lock().unwrap() = None;
    }

    /// How many answers were.
    pub(crate) fn lost(&self) -> u32 {
        self.state.lost.load(Ordering::SeqCst)
    }
}

fn between(client: TcpStream, server: UnixStream, state: &Arc<State>, change: &Change) {
    let (mut asks, mut hears) = (client.try_clone().unwrap(), client);
    let (mut asked, mut answers) = (server.try_clone().unwrap(), server);
    let (state, change) = (Arc::clone(state), Arc::clone(change));
    let cut = Arc::new(Mutex::new(false));
    let is_cut = Arc::clone(&cut);
    thread::spawn(move || {
        while let Some(question) = next(&mut asks) {
            let word = state.lose.lock().unwrap().clone();
            let text = String::from_utf8_lossy(&question).into_owned();
            if word.is_some_and(|word| text.contains(&word)) {
                state.lost.fetch_add(1, Ordering::SeqCst);
                *cut.lock().unwrap() = true;
            }
            if asked.write_all(&question).is_err() {
                break;
            }
        }
        let _ = asked.shutdown(Shutdown::Both); // it may have ended before
    });
    thread::spawn(move || {
        while let Some(answer) = next(&mut answers) {
            if *is_cut.lock().unwrap() || hears.write_all(&change(&answer)).is_err() {
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
