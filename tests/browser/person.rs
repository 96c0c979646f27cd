//! A person at a browser: goes by what stands on the page, as people do. Whatever cannot be done fails the test.

use std::time::Duration;

use serde_json::{Value, json};
use thirtyfour::common::types::WindowHandle;
use thirtyfour::error::{WebDriverError, WebDriverErrorInner, WebDriverResult};
use thirtyfour::prelude::ElementWaitable as _;
use thirtyfour::{By, Key, TypingData, WebDriver, WebElement};
use tokio::time::{Instant, interval};
use url::Url;

/// How long a page may take to show what is waited for, and how often it is looked at.
const PATIENCE: Duration = Duration::from_secs(15);
const GLANCE: Duration = Duration::from_millis(50);

pub(crate) struct Person {
    browser: WebDriver,
    /// Statuses that a page of this test is meant to have; the console tells of them.
    expected: Vec<u16>,
}

impl Person {
    pub(crate) async fn at(browser: WebDriver) -> Self {
        let expected = Vec::new();
        let person = Self { browser, expected };
        // Of all the windows of a machine one has the focus; here each is to believe that it is this one.
        let focus = json!({ "enabled": true });
        person
            .devtools("Emulation.setFocusEmulationEnabled", focus)
            .await;
        person
    }

    /// Types an address in.
    pub(crate) async fn open(&self, url: &str) {
        done(self.browser.goto(url).await);
    }

    /// Waits until the page has this heading.
    pub(crate) async fn sees_heading(&self, heading: &str) {
        let path = format!("//h1[normalize-space()={}]", quoted(heading));
        self.at_last(&format!("the heading {heading:?}"), &path, async |_| Ok(()))
            .await;
    }

    /// The heading of the page.
    pub(crate) async fn heading(&self) -> String {
        self.at_last("a heading", "//h1", async |heading| heading.text().await)
            .await
    }

    /// The heading of what stands in the only frame of the page, which has been loaded by now, or refused. The browser's own page about
    /// that shows none.
    pub(crate) async fn framed_heading(&self) -> String {
        let frame = done(self.browser.find(By::Tag("iframe")).await);
        done(frame.enter_frame().await);
        let heading = done(self.browser.find(By::Tag("h1")).await);
        let heading = done(heading.text().await);
        done(self.browser.enter_default_frame().await);
        heading
    }

    pub(crate) async fn title(&self) -> String {
        done(self.browser.title().await)
    }

    /// Waits until the page shows this text somewhere, within one element.
    pub(crate) async fn sees(&self, text: &str) {
        let holds = format!("contains(normalize-space(), {})", quoted(text));
        let path = format!("//body//*[{holds} and not(*[{holds}])]");
        self.at_last(&format!("the text {text:?}"), &path, async |_| Ok(()))
            .await;
    }

    /// Writes into the field with this label, in place of what stands there.
    pub(crate) async fn fill_in(&self, label: &str, text: &str) {
        self.in_field(label, async |field| {
            field.clear().await?;
            field.send_keys(text).await
        })
        .await;
    }

    /// What stands in the field with this label.
    pub(crate) async fn reads(&self, label: &str) -> String {
        let value = self.in_field(label, async |field| field.value().await);
        value.await.unwrap_or_default()
    }

    async fn in_field<T>(
        &self,
        label: &str,
        act: impl AsyncFn(&WebElement) -> WebDriverResult<T>,
    ) -> T {
        let path = format!(
            "//input[@id=//label[normalize-space()={}]/@for]",
            quoted(label)
        );
        self.at_last(&format!("the field {label:?}"), &path, act)
            .await
    }

    /// Ticks the box with this label, or takes the tick away.
    pub(crate) async fn tick(&self, label: &str) {
        let path = format!("//label[normalize-space()={}]", quoted(label));
        self.at_last(&format!("the box {label:?}"), &path, WebElement::click)
            .await;
    }

    /// Presses a button, and waits until another page is there.
    pub(crate) async fn press(&self, button: &str) {
        let pressed = self.press_and_stay(button).await;
        self.leaves(&pressed).await;
    }

    /// Presses a button whose page stays and shows something else.
    pub(crate) async fn press_and_stay(&self, button: &str) -> WebElement {
        let path = format!("//button[normalize-space()={}]", quoted(button));
        self.click(&path, &format!("the button {button:?}")).await
    }

    /// Opens what stands behind a summary that begins so.
    pub(crate) async fn unfold(&self, summary: &str) {
        let path = format!(
            "//summary[starts-with(normalize-space(), {})]",
            quoted(summary)
        );
        self.click(&path, &format!("the summary {summary:?}")).await;
    }

    /// Follows a link, and waits until another page is there.
    pub(crate) async fn follow(&self, link: &str) {
        let path = format!("//a[normalize-space()={}]", quoted(link));
        let followed = self.click(&path, &format!("the link {link:?}")).await;
        self.leaves(&followed).await;
    }

    pub(crate) async fn sign_in(&self, username: &str, password: &str) {
        self.sees_heading("Sign in").await;
        self.fill_in("Username", username).await;
        self.fill_in("Password", password).await;
        self.press("Sign in").await;
    }

    pub(crate) async fn go_back(&self) {
        done(self.browser.back().await);
    }

    pub(crate) async fn reload(&self) {
        done(self.browser.refresh().await);
    }

    /// Presses Tab until the thing with this text or label has the focus. Each thing on the way, too, shows that it has it.
    pub(crate) async fn tabs_to(&self, name: &str) {
        for _ in 0..30 {
            let focus = self.focus().await;
            assert_eq!(
                focus["shown"], true,
                "nobody sees where the focus is: {focus}"
            );
            if focus["name"] == name {
                return;
            }
            self.types(Key::Tab).await;
        }
        panic!("Tab does not lead to {name:?} at {}", self.url().await);
    }

    /// Types into whatever has the focus.
    pub(crate) async fn types(&self, keys: impl Into<TypingData>) {
        let keyboard = self.browser.action_chain().send_keys(keys);
        done(keyboard.perform().await);
    }

    /// Presses Enter, and waits until another page is there.
    pub(crate) async fn presses_enter(&self) {
        let page = done(self.browser.find(By::Tag("html")).await);
        let enter = self.browser.action_chain().send_keys(Key::Enter);
        done(enter.perform().await);
        self.leaves(&page).await;
    }

    async fn focus(&self) -> Value {
        self.run(
            "const it = document.activeElement, style = getComputedStyle(it);
             const name = it.labels?.[0]?.textContent ?? it.textContent;
             // `auto` is the browser's own ring.
             const outline = style.outlineStyle === 'auto' || (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2);
             return { name: name.trim(), shown: it === document.body || (it.matches(':focus-visible') && outline) };",
        )
        .await
    }

    /// Opens another tab, and goes there.
    pub(crate) async fn open_tab(&self) -> WindowHandle {
        let tab = done(self.browser.new_tab().await);
        self.turn_to(&tab).await;
        tab
    }

    pub(crate) async fn tab(&self) -> WindowHandle {
        done(self.browser.window().await)
    }

    pub(crate) async fn turn_to(&self, tab: &WindowHandle) {
        done(self.browser.switch_to_window(tab.clone()).await);
    }

    pub(crate) async fn forget_cookies(&self) {
        self.devtools("Network.clearBrowserCookies", json!({}))
            .await;
    }

    /// From now on the browser asks for pages in this language.
    pub(crate) async fn speaks(&self, language: &str) {
        self.devtools("Network.enable", json!({})).await;
        let headers = json!({ "headers": { "Accept-Language": language } });
        self.devtools("Network.setExtraHTTPHeaders", headers).await;
    }

    pub(crate) async fn url(&self) -> Url {
        done(self.browser.current_url().await)
    }

    pub(crate) async fn source(&self) -> String {
        done(self.browser.source().await)
    }

    /// What a script answers, run beside the page: its policy has no say in that.
    pub(crate) async fn run(&self, script: &str) -> Value {
        done(self.browser.execute(script, Vec::new()).await)
            .json()
            .clone()
    }

    /// As `run`, for a script that calls the last of its arguments when it is done.
    pub(crate) async fn run_to_its_end(&self, script: &str) -> Value {
        done(self.browser.execute_async(script, Vec::new()).await)
            .json()
            .clone()
    }

    /// A command of the DevTools protocol.
    pub(crate) async fn devtools(&self, command: &str, parameters: Value) -> Value {
        done(self.browser.cdp().send_raw(command, parameters).await)
    }

    /// A page of this test is answered with this status. The console tells of it, and that is all right.
    pub(crate) fn expects_status(&mut self, status: u16) {
        self.expected.push(status);
    }

    /// What the browser's console has complained about since it was asked last.
    pub(crate) async fn complaints(&self) -> Vec<String> {
        let log = done(self.browser.browser_log().await);
        let expected = |message: &str| {
            let status = |status| format!("responded with a status of {status} ");
            self.expected.iter().any(|it| message.contains(&status(it)))
        };
        log.into_iter()
            .filter(|entry| !expected(&entry.message))
            .map(|entry| format!("{}: {}", entry.level, entry.message))
            .collect()
    }

    async fn click(&self, path: &str, what: &str) -> WebElement {
        let click = async |element: &WebElement| {
            element.click().await?;
            Ok(element.clone())
        };
        self.at_last(what, path, click).await
    }

    /// Waits until this is shown, and does something with it. Pages change: what is gone in the middle of that is not there yet.
    async fn at_last<T>(
        &self,
        what: &str,
        path: &str,
        act: impl AsyncFn(&WebElement) -> WebDriverResult<T>,
    ) -> T {
        let look = async || match self.shown(path).await? {
            Some(element) => act(&element).await.map(Some),
            None => Ok(None),
        };
        let until = Instant::now() + PATIENCE;
        let mut glances = interval(GLANCE);
        loop {
            glances.tick().await;
            match look().await {
                Ok(Some(done)) => return done,
                Err(error) if !is_gone(&error) => panic!("{what}: {error}"),
                Ok(None) | Err(_) => {}
            }
            if Instant::now() > until {
                let (url, page) = (self.url().await, self.source().await);
                panic!("{what} is not at {url}\n{page}")
            }
        }
    }

    /// The first element at this path that can be seen.
    async fn shown(&self, path: &str) -> WebDriverResult<Option<WebElement>> {
        for element in self.browser.find_all(By::XPath(path)).await? {
            if element.is_displayed().await? {
                return Ok(Some(element));
            }
        }
        Ok(None)
    }

    /// Waits until the page that this element was on has been left.
    async fn leaves(&self, element: &WebElement) {
        let gone = element.wait_until().wait(PATIENCE, GLANCE).stale().await;
        assert!(gone.is_ok(), "the page stays: {}", self.url().await);
    }
}

/// The page of the element has been left meanwhile.
fn is_gone(error: &WebDriverError) -> bool {
    matches!(
        error.as_inner(),
        WebDriverErrorInner::StaleElementReference(_)
    )
}

fn done<T>(result: WebDriverResult<T>) -> T {
    result.unwrap_or_else(|error| panic!("the browser: {error}"))
}

/// A text in the quotes of XPath, which has no escapes.
fn quoted(text: &str) -> String {
    assert!(!text.contains('"'), "{text}");
    format!("\"{text}\"")
}
