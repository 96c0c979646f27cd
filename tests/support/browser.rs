//! A person at a browser: keeps cookies, goes where redirects lead, and fills forms in by what stands beside the fields.

use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, Url};

pub(crate) struct Browser {
    http: Client,
}

/// Where the browser stands. On another site than the one it came from, it is stopped before it goes there.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) url: Url,
    pub(crate) status: StatusCode,
    pub(crate) html: String,
}

impl Browser {
    pub(crate) fn new() -> Self {
        let http = Client::builder()
            .cookie_store(true)
            .redirect(Policy::none())
            .timeout(Duration::from_secs(60));
        Self {
            http: http.build().unwrap(),
        }
    }

    pub(crate) async fn open(&self, url: &str) -> Page {
        self.follow(self.http.get(url)).await
    }

    /// Fills the page's form in, by the labels of its fields, and presses a button.
    pub(crate) async fn submit(&self, page: &Page, fields: &[(&str, &str)], button: &str) -> Page {
        let (action, form) = page.fill_in(fields, button);
        let request = self
            .http
            .post(action)
            .header("sec-fetch-site", "same-origin");
        self.follow(request.form(&form)).await
    }

    async fn follow(&self, mut request: reqwest::RequestBuilder) -> Page {
        for _ in 0..10 {
            let response = request.send().await.unwrap();
            let (url, status) = (response.url().clone(), response.status());
            if !status.is_redirection() {
                let html = response.text().await.unwrap();
                return Page { url, status, html };
            }
            assert_eq!(status, 303, "a browser would send a form again, at {url}");
            let to = url.join(response.headers()["location"].to_str().unwrap());
            let to = to.unwrap();
            if to.origin() != url.origin() {
                let html = String::new();
                return Page {
                    url: to,
                    status,
                    html,
                };
            }
            request = self.http.get(to);
        }
        panic!("it went round in circles");
    }
}

impl Page {
    /// A parameter of the address.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        let mut pairs = self.url.query_pairs();
        let found = pairs.find(|(key, _)| key == name);
        found.map(|(_, value)| value.into_owned())
    }

    /// Where the form goes, and what it says: hidden fields, these, and the button.
    fn fill_in(&self, fields: &[(&str, &str)], button: &str) -> (Url, Vec<(String, String)>) {
        let missing = |what: &str| -> ! { panic!("no {what} at {}: {}", self.url, self.html) };
        let mut form: Vec<(String, String)> = Vec::new();
        for (input, _) in self.tags("input") {
            if attribute(input, "type") == Some("hidden") {
                let (name, value) = (attribute(input, "name"), attribute(input, "value"));
                form.push((name.unwrap().to_owned(), value.unwrap().to_owned()));
            }
        }
        for (label, value) in fields {
            let id = self.tags("label").find(|(_, text)| text == label);
            let id = id.and_then(|(tag, _)| attribute(tag, "for"));
            let mut inputs = self.tags("input").map(|(tag, _)| tag);
            let input = inputs.find(|tag| id.is_some() && attribute(tag, "id") == id);
            let name = input.and_then(|tag| attribute(tag, "name"));
            let name = name.unwrap_or_else(|| missing(label));
            form.push((name.to_owned(), (*value).to_owned()));
        }
        let pressed = self.tags("button").find(|(_, text)| *text == button);
        let (tag, _) = pressed.unwrap_or_else(|| missing(button));
        if let (Some(name), Some(value)) = (attribute(tag, "name"), attribute(tag, "value")) {
            form.push((name.to_owned(), value.to_owned()));
        }
        let mut forms = self.tags("form");
        let (tag, _) = forms.next().unwrap_or_else(|| missing("form"));
        assert_eq!(attribute(tag, "method"), Some("post"));
        let action = self.url.join(attribute(tag, "action").unwrap());
        (action.unwrap(), form)
    }

    /// The tags of this name: what stands inside, and the text up to the next tag.
    fn tags<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let tags = self.html.split('<');
        let tags = tags.filter_map(move |rest| rest.strip_prefix(name)?.split_once('>'));
        tags.filter(|(inside, _)| inside.is_empty() || inside.starts_with(' '))
    }
}

fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    Some(rest.split_once('"')?.0)
}
