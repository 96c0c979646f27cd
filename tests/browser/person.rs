//! A person at a browser: goes by what stands on the page, as people do. Whatever cannot be done fails the test.

use std::time::Duration;

use serde_json::{Value, json};
use thirtyfour::common::types::WindowHandle;
use thirtyfour::error::WebDriverResult;
use thirtyfour::prelude::{ElementQueryable as _, ElementWaitable as _};
use thirtyfour::{By, Key, TypingData, WebDriver, WebElement};
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
        self.find(&path, &format!("the heading {heading:?}")).await;
    }

    /// The heading of the page.
    pub(crate) async fn heading(&self) -> String {
        done(self.find("//h1", "a heading").await.text().await)
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
        self.find(&path, &format!("the text {text:?}")).await;
    }

    /// Writes into the field with this label, in place of what stands there.
    pub(crate) async fn fill_in(&self, label: &str, text: &str) {
        let field = self.field(label).await;
        done(field.clear().await);
        done(field.send_keys(text).await);
    }

    /// What stands in the field with this label.
    pub(crate) async fn reads(&self, label: &str) -> String {
        done(self.field(label).await.value().await).unwrap_or_default()
    }

    async fn field(&self, label: &str) -> WebElement {
        let path = format!(
            "//input[@id=//label[normalize-space()={}]/@for]",
            quoted(label)
        );
        self.find(&path, &format!("the field {label:?}")).await
    }

    /// Ticks the box with this label, or takes the tick away.
    pub(crate) async fn tick(&self, label: &str) {
        let path = format!("//label[normalize-space()={}]", quoted(label));
        let label = self.find(&path, &format!("the box {label:?}")).await;
        done(label.click().await);
    }

    /// Presses a button, and waits until another page is there.
    pub(crate) async fn press(&self, button: &str) {
        let button = self.button(button).await;
        self.leaves(&button, async || button.click().await).await;
    }

    /// Presses a button whose page stays and shows something else.
    pub(crate) async fn press_and_stay(&self, button: &str) {
        done(self.button(button).await.click().await);
    }

    async fn button(&self, button: &str) -> WebElement {
        let path = format!("//button[normalize-space()={}]", quoted(button));
        self.find(&path, &format!("the button {button:?}")).await
    }

    /// Follows a link, and waits until another page is there.
    pub(crate) async fn follow(&self, link: &str) {
        let path = format!("//a[normalize-space()={}]", quoted(link));
        let link = self.find(&path, &format!("the link {link:?}")).await;
        self.leaves(&link, async || link.click().await).await;
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
        self.leaves(&page, async || enter.perform().await).await;
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

    async fn find(&self, path: &str, what: &str) -> WebElement {
        let query = self.browser.query(By::XPath(path));
        let query = query.and_displayed().wait(PATIENCE, GLANCE);
        match query.first().await {
            Ok(element) => element,
            Err(error) => {
                let (url, page) = (self.url().await, self.source().await);
                panic!("{what} is not at {url}: {error}\n{page}")
            }
        }
    }

    /// Does what leads away from the page that this element is on, and waits until the next one is there.
    async fn leaves(&self, element: &WebElement, act: impl AsyncFnOnce() -> WebDriverResult<()>) {
        done(act().await);
        let gone = element.wait_until().wait(PATIENCE, GLANCE).stale().await;
        assert!(gone.is_ok(), "the page stays: {}", self.url().await);
    }
}

fn done<T>(result: WebDriverResult<T>) -> T {
    result.unwrap_or_else(|error| panic!("the browser: {error}"))
}

/// A text in the quotes of XPath, which has no escapes.
fn quoted(text: &str) -> String {
    assert!(!text.contains('"'), "{text}");
    format!("\"{text}\"")
}
