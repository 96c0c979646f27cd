//! What a node answers, and what a client does with it.

use http::{HeaderMap, StatusCode};
use serde_json::Value;

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    pub(crate) async fn of(response: reqwest::Response) -> Result<Self, reqwest::Error> {
        Ok(Self {
            status: response.status(),
            headers: response.headers().clone(),
            text: response.text().await?,
        })
    }

    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert!(self.status.is_success(), "{self:?}");
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The member of a JSON answer.
    #[track_caller]
    pub(crate) fn member(&self, name: &str) -> String {
        let json = self.json();
        let member = json.get(name).and_then(Value::as_str);
        member
            .unwrap_or_else(|| panic!("no {name} in {self:?}"))
            .to_owned()
    }

    #[track_caller]
    pub(crate) fn error(&self, status: u16, code: &str) {
        assert_eq!(
            (self.status.as_u16(), self.member("error").as_str()),
            (status, code),
            "{self:?}"
        );
    }

    /// A page from which nobody is sent anywhere.
    #[track_caller]
    pub(crate) fn page(&self, status: u16) {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        assert!(!self.headers.contains_key("location"), "{self:?}");
    }

    /// Whether it says that the store is out of reach, and when to come again.
    #[track_caller]
    pub(crate) fn is_unavailable(&self) -> bool {
        let is_unavailable = self.status == 503;
        assert!(
            !is_unavailable || self.headers.contains_key("retry-after"),
            "{self:?}"
        );
        is_unavailable
    }

    #[track_caller]
    pub(crate) fn location(&self) -> &str {
        assert_eq!(self.status, 303, "{self:?}");
        let location = self.headers.get("location");
        location.unwrap().to_str().unwrap()
    }

    /// A parameter of the address that the browser is sent to.
    #[track_caller]
    pub(crate) fn parameter(&self, name: &str) -> String {
        let (_, query) = self.location().split_once('?').unwrap();
        let mut pairs = url::form_urlencoded::parse(query.as_bytes());
        let found = pairs.find(|(key, _)| key == name);
        found
            .unwrap_or_else(|| panic!("no {name} in {self:?}"))
            .1
            .into_owned()
    }

    /// A hidden field of the page's form.
    #[track_caller]
    pub(crate) fn hidden(&self, name: &str) -> &str {
        let field = format!("name=\"{name}\"");
        let behind = self.text.split_once(&field).map(|(_, behind)| behind);
        let value = behind.and_then(|behind| behind.split_once("value=\"")?.1.split('"').next());
        value.unwrap_or_else(|| panic!("no field {name} in {self:?}"))
    }
}
