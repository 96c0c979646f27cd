//! The pages that people see: consent (RFC 6749 §4.1.1), the device code (RFC 8628 §3.3), connected applications, and messages.
//!
//! They are made on the server and need no script, send nothing elsewhere, and are under 30 kB with their style, unless very many scopes stand on them. `askama` escapes
//! every value; foreign text stands in `<bdi>`, so that a direction mark in it cannot turn the words around it. Each is in the language
//! that the browser asks for (English and German are there), and has a light and a dark theme.
//!
//! A host gives them its name, logo, colors and words with [`Pages`], or makes some of them itself ([`Pages::replace`]).
//!
//! | file | what |
//! |---|---|
//! | `settings.rs` | [`Pages`]: what a host sets, and how it is checked |
//! | `view.rs` | [`Page`] and its kinds: what stands on each page |
//! | `color.rs`, `theme.rs` | colors that can be read; the style made of them |
//! | `text.rs`, `english.rs`, `german.rs`, `language.rs` | the texts, and which language is spoken |
//! | `html.rs`, `*.html` | the templates |
//! | `respond.rs` | from a page to an answer: headers, and the policy of what a browser may do |

mod color;
mod english;
mod german;
mod html;
mod language;
mod respond;
mod settings;
mod text;
mod theme;
mod view;

pub use settings::{InvalidPages, Logo, Pages};
pub use text::Text;
pub use theme::Colors;
pub use view::{
    App, Asked, ConnectedApps, Consent, DeviceCode, Leaving, Link, LinkKind, Message, Page,
    ScopeInWords,
};

pub(crate) use respond::{Renderer, page};
pub(crate) use view::display_name;
