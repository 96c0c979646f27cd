//! A PostgreSQL for the tests of one process: of the machine's packages, on a socket of its own, with data in a temporary folder.
//!
//! Included by `#[path = "support/postgres.rs"] mod postgres;`. `TEST_POSTGRES_URL` names another one for what any server can show.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use std::{env, fs};

use tower_oauth::PostgresStore;
use tower_oauth::store::PostgresName;

const INSTALL: &str = "PostgreSQL is needed: install it (Debian: `apt-get install postgresql`), or name a database by \
                       TEST_POSTGRES_URL; TOWER_OAUTH_SKIP_SERVICES=1 leaves these tests out";

/// A server that ends with this value, or with the process.
pub(crate) struct Server {
    _process: Child,
    orders: ChildStdin,
    says: BufReader<ChildStdout>,
    folder: String,
}

impl Server {
    /// Starts one. `None` if tests with services are to be skipped.
    pub(crate) fn start(settings: &[&str]) -> Option<Self> {
        let Some(programs) = programs() else {
            return skipped();
        };
        // It refuses to run as root.
        let mut command = if is_root() {
            let (user, group) = user("postgres")
                .or_else(|| user("nobody"))
                .expect("nobody is there");
            let mut command = Command::new("setpriv");
            command.args(["--reuid", &user, "--regid", &group, "--clear-groups", "sh"]);
            command
        } else {
            Command::new("sh")
        };
        let mut process = command
            .args(["-c", include_str!("postgres.sh"), "postgres.sh"])
            .arg(programs)
            .args(settings)
            .current_dir("/tmp")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("there is a shell");
        let mut server = Self {
            orders: process.stdin.take().expect("it is piped"),
            says: BufReader::new(process.stdout.take().expect("it is piped")),
            _process: process,
            folder: String::new(),
        };
        server.folder = server.line();
        server.order("start");
        Some(server)
    }

    pub(crate) fn url(&self) -> String {
        format!(
            "postgres://postgres@localhost/postgres?host={}",
            self.folder
        )
    }

    /// Starts, stops or restarts the server, or stops each of its processes where it is (`pause`) until they are let `go`. Back when that
    /// is done.
    pub(crate) fn order(&mut self, word: &str) {
        writeln!(self.orders, "{word}").expect("the shell lives");
        assert_eq!(self.line(), "done", "{word}");
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.says
            .read_line(&mut line)
            .expect("the shell writes text");
        line.trim_end().to_owned()
    }
}

/// The server that the tests of this process share. `None` if tests with services are to be skipped.
pub(crate) fn url() -> Option<String> {
    static SHARED: OnceLock<Option<(Option<Server>, String)>> = OnceLock::new();
    let shared = SHARED.get_or_init(|| {
        if let Ok(url) = env::var("TEST_POSTGRES_URL") {
            return Some((None, url));
        }
        // Nothing here is about the death of the machine.
        let server = Server::start(&[
            "fsync=off",
            "synchronous_commit=off",
            "full_page_writes=off",
            "max_connections=400",
        ])?;
        let url = server.url();
        Some((Some(server), url))
    });
    shared.as_ref().map(|(_, url)| url.clone())
}

/// A store that shares nothing with those of other tests. `None` if tests with services are to be skipped.
pub(crate) async fn store() -> Option<PostgresStore> {
    let url = url()?;
    // The machine may be busy: nothing is slow here on purpose.
    let builder = PostgresStore::builder().timeout(Duration::from_secs(20));
    let store = builder.schema(schema()).connect(&url).await;
    let store = store.expect("PostgreSQL answers");
    store.migrate().await.expect("the schema is new");
    Some(store)
}

pub(crate) fn schema() -> PostgresName {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!("test_{}_{number}", std::process::id());
    name.parse().expect("it is a name")
}

/// Where `initdb` and `postgres` are: the newest of Debian's, or on the path.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let newest = versions.max_by_key(|entry| {
        entry
            .file_name()
            .to_string_lossy()
            .parse::<u32>()
            .unwrap_or(0)
    });
    let debian = newest.map(|entry| entry.path().join("bin"));
    let path = env::var_os("PATH").unwrap_or_default();
    debian
        .into_iter()
        .chain(env::split_paths(&path))
        .find(|folder| {
            ["initdb", "postgres", "pg_ctl"]
                .iter()
                .all(|name| folder.join(name).is_file())
        })
}

fn skipped<T>() -> Option<T> {
    assert!(
        env::var_os("TOWER_OAUTH_SKIP_SERVICES").is_some_and(|skip| skip == "1"),
        "{INSTALL}"
    );
    // Past the capture of the test runner: whoever asked for it is to see it.
    writeln!(
        io::stderr(),
        "\nSKIPPED: nothing was tried with PostgreSQL, as TOWER_OAUTH_SKIP_SERVICES=1 says\n"
    )
    .ok();
    None
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}

/// The numbers of a user and of its group.
fn user(name: &str) -> Option<(String, String)> {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    users
        .lines()
        .find_map(|line| match *line.split(':').collect::<Vec<_>>() {
            [known, _, user, group, ..] if known == name => {
                Some((user.to_owned(), group.to_owned()))
            }
            _ => None,
        })
}
