//! The machine's Chromium, driven through its `chromedriver`.

use std::env;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;
use thirtyfour::common::capabilities::chromium::ChromiumLikeCapabilities as _;
use thirtyfour::{
    CapabilitiesHelper as _, ChromeCapabilities, DesiredCapabilities, LoggingPrefsLogLevel,
    WebDriver,
};

use crate::person::Person;

const INSTALL: &str = "Chromium and its driver are needed: install them (Debian: `apt-get install chromium chromium-driver`); \
                       TOWER_OAUTH_SKIP_SERVICES=1 leaves these tests out";

/// Says on which port it listens, when it does.
const STARTED: &str = "was started successfully on port ";

/// What keeps the browser from asking anybody but the page's server, and lets it run as root.
const FLAGS: [&str; 8] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

/// How often it is started until it has a port.
const TRIES: u32 = 10;

/// How long it may take until it says its port.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whether the pages may run scripts; they have none, and need none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scripts {
    Run,
    Off,
}

/// Gives a person at a fresh browser to the test, and closes the browser whatever comes of it. The test fails as well if the browser's
/// console has complained about anything: an error, a warning, a violation of a content security policy.
pub(crate) async fn browse(test: impl AsyncFnOnce(&mut Person)) {
    browse_with(Scripts::Run, test).await;
}

pub(crate) async fn browse_with(scripts: Scripts, test: impl AsyncFnOnce(&mut Person)) {
    let Some(driver) = Driver::start() else {
        return;
    };
    let profile = tempfile::tempdir().expect("there is room");
    let browser = driver.browser(&profile, scripts).await;
    let done = browser.run_and_quit(async |browser| {
        let mut person = Person::at(browser).await;
        test(&mut person).await;
        let complaints = person.complaints().await;
        assert!(complaints.is_empty(), "{complaints:#?}");
        Ok::<_, std::convert::Infallible>(())
    });
    done.await.expect("the browser can be closed");
}

/// The running `chromedriver`. Its browsers are closed before it is dropped.
struct Driver {
    process: Child,
    port: String,
}

impl Driver {
    /// `None` if tests with services are to be skipped.
    fn start() -> Option<Self> {
        // It takes any free port of IPv4 and ends if the same of IPv6 is taken, or the reverse.
        let mut tries = (0..TRIES).map(|_| Self::try_start());
        match tries.find_map(Result::transpose) {
            Some(Ok(driver)) => Some(driver),
            Some(Err(_)) => skipped(),
            None => panic!("chromedriver did not say `{STARTED}`, {TRIES} times"),
        }
    }

    /// `None` if it has ended without a port, or not said one in time.
    fn try_start() -> io::Result<Option<Self>> {
        let mut process = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = process.stdout.take().expect("it is piped");
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
            let port = lines.find_map(|line| {
                let (_, port) = line.split_once(STARTED)?;
                Some(port.trim_end_matches('.').to_owned())
            });
            tell.send(port)
        });
        let Ok(Some(port)) = told.recv_timeout(PATIENCE) else {
            let _ = process.kill(); // it may have ended by itself
            process.wait()?;
            return Ok(None);
        };
        Ok(Some(Self { process, port }))
    }

    async fn browser(&self, profile: &TempDir, scripts: Scripts) -> WebDriver {
        let capabilities = capabilities(profile, scripts).expect("they are plain JSON");
        let url = format!("http://127.0.0.1:{}", self.port);
        WebDriver::new(url, capabilities)
            .await
            .unwrap_or_else(|e| panic!("Chromium did not start: {e}\n{INSTALL}"))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn capabilities(
    profile: &TempDir,
    scripts: Scripts,
) -> thirtyfour::error::WebDriverResult<ChromeCapabilities> {
    let mut capabilities = DesiredCapabilities::chrome();
    for flag in FLAGS {
        capabilities.add_arg(flag)?;
    }
    capabilities.add_arg(&format!("--user-data-dir={}", profile.path().display()))?;
    capabilities.accept_insecure_certs(true)?; // of the app in `https.rs`
    capabilities.set_browser_log_level(LoggingPrefsLogLevel::All)?;
    if scripts == Scripts::Off {
        // 2 is "block".
        let settings =
            serde_json::json!({ "profile.managed_default_content_settings.javascript": 2 });
        capabilities.add_experimental_option("prefs", settings)?;
    }
    Ok(capabilities)
}

fn skipped<T>() -> Option<T> {
    let may_skip = env::var_os("TOWER_OAUTH_SKIP_SERVICES").is_some_and(|value| value == "1");
    assert!(may_skip, "{INSTALL}");
    // Past the capture of the test runner: whoever asked for it is to see it.
    writeln!(io::stderr(), "\nSKIPPED: {INSTALL}\n").ok();
    None
}
