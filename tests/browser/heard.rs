//! What is said of each page to who does not see it: the accessibility tree that the browser gives to screen readers.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};

use crate::app::{App, NAME};
use crate::chromium::browse;
use crate::demo;
use crate::looks::each_page;
use crate::pages::Page;
use crate::person::Person;

/// What people operate.
const BUTTONS: [&str; 3] = ["button", "DisclosureTriangle", "link"];
const FIELDS: [&str; 5] = ["textbox", "searchbox", "checkbox", "radio", "combobox"];

/// Names that say nothing to who goes from one link or button to the next.
const VAGUE: [&str; 6] = ["more", "here", "click here", "details", "link", "ok"];

/// A thing that is said, in the order in which it is.
#[derive(Debug)]
struct Said {
    role: String,
    name: String,
    description: String,
    /// All that is said of what stands within it.
    text: String,
    level: u64,
    is_invalid: bool,
}

/// What of the page is said.
async fn said(person: &Person) -> Vec<Said> {
    let tree = person
        .devtools("Accessibility.getFullAXTree", json!({}))
        .await;
    let nodes = tree["nodes"].as_array().unwrap();
    let by_id = nodes
        .iter()
        .map(|node| (node["nodeId"].as_str().unwrap(), node));
    let root = nodes.iter().find(|node| node["parentId"].is_null());
    let mut said = Vec::new();
    listen(root.unwrap(), &by_id.collect(), &mut said);
    said
}

/// Adds what is said of a node and of those within it, and gives its text.
fn listen(node: &Value, nodes: &HashMap<&str, &Value>, said: &mut Vec<Said>) -> String {
    let value = |name: &str| node[name]["value"].as_str().unwrap_or_default().to_owned();
    let properties = node["properties"].as_array().into_iter().flatten();
    let properties: Vec<_> = properties.collect();
    let property = |name: &str| {
        let found = properties.iter().find(|property| property["name"] == name);
        found.map_or(Value::Null, |property| property["value"]["value"].clone())
    };
    let is_said = node["ignored"] != true;
    let place = said.len();
    if is_said {
        said.push(Said {
            role: value("role"),
            name: value("name"),
            description: value("description"),
            text: String::new(),
            level: property("level").as_u64().unwrap_or_default(),
            is_invalid: property("invalid") == "true",
        });
    }
    let mut text = match value("role").as_str() {
        "StaticText" if is_said => value("name"),
        _ => String::new(),
    };
    for child in node["childIds"].as_array().into_iter().flatten() {
        if let Some(child) = nodes.get(child.as_str().unwrap()) {
            text += &listen(child, nodes, said);
        }
    }
    if is_said {
        said[place].text.clone_from(&text);
    }
    text
}

/// What somebody who only listens would miss.
fn missed(said: &[Said], messages: &[String]) -> Vec<String> {
    let mut missed = Vec::new();
    let mut miss = |is_missed: bool, what: String| missed.extend(is_missed.then_some(what));
    let of = |roles: &'static [&str]| said.iter().filter(move |it| roles.contains(&&*it.role));

    // The host's name behind the dash is the same on all pages.
    let title = of(&["RootWebArea"]).next().map(|root| root.name.as_str());
    let about = title.unwrap_or_default().split('–').next().map(str::trim);
    miss(
        about.is_none_or(str::is_empty),
        format!("what the page is about: {title:?}"),
    );
    let mains = of(&["main"]).count();
    miss(
        mains != 1,
        format!("where the page begins: {mains} main landmarks"),
    );
    let levels: Vec<_> = of(&["heading"]).map(|heading| heading.level).collect();
    let tops = levels.iter().filter(|level| **level == 1).count();
    miss(
        tops != 1 || levels[0] != 1 || levels.windows(2).any(|two| two[1] > two[0] + 1),
        format!("how the page is divided: headings of levels {levels:?}"),
    );

    for it in of(&FIELDS)
        .chain(of(&BUTTONS))
        .chain(of(&["image", "heading"]))
    {
        miss(it.name.trim().is_empty(), format!("the name of {it:?}"));
    }
    let mut names = HashSet::new();
    for it in of(&BUTTONS) {
        let vague = VAGUE.contains(&&*it.name.to_lowercase());
        miss(vague, format!("what {:?} does", it.name));
        let is_new = names.insert((&it.role, &it.name));
        miss(!is_new, format!("which {} {:?} is meant", it.role, it.name));
    }
    for it in of(&FIELDS).filter(|field| field.is_invalid) {
        let is_said = messages.iter().any(|text| it.description.contains(&**text));
        miss(!is_said, format!("what is wrong with {it:?}"));
    }
    for text in messages {
        let is_said = of(&["alert", "status"]).any(|it| it.text.contains(&**text));
        miss(!is_said, format!("the message {text:?}"));
    }
    missed
}

/// What the page says of what has just happened.
async fn messages(person: &Person) -> Vec<String> {
    let script = "return [...document.querySelectorAll('.problem, .notice, [role=alert], [role=status]')].map(it => it.textContent.trim())";
    let texts = person.run(script).await;
    let texts = texts.as_array().unwrap().iter();
    texts
        .map(|text| text.as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn who_only_listens_misses_nothing_on_any_page() {
    browse(async |person| {
        each_page(person, async |person, page| {
            let missed = missed(&said(person).await, &messages(person).await);
            assert!(missed.is_empty(), "{page:?}: {missed:#?}");
            let language = person.run("return document.documentElement.lang").await;
            let spoken = match page {
                Page::ConsentInGerman | Page::AppsInGerman => "de",
                _ => "en",
            };
            assert_eq!(language, spoken, "{page:?}");
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn what_somebody_would_miss_is_found() {
    const BAD: &str = "<title> – Notes</title><h1>One</h1><h3>Two</h3><p class=problem>That was wrong.</p>\
        <input aria-invalid=true><img src=data:,><button>More</button><button></button><a href=?1>Remove</a><a href=?2>Remove</a>";
    browse(async |person| {
        person
            .open(&format!("data:text/html;charset=utf-8,{BAD}"))
            .await;
        let missed = missed(&said(person).await, &messages(person).await).join("\n");
        for what in [
            "what the page is about",
            "0 main landmarks",
            "headings of levels [1, 3]",
            "the name of Said { role: \"textbox\"",
            "the name of Said { role: \"image\"",
            "the name of Said { role: \"button\"",
            "what \"More\" does",
            "which link \"Remove\" is meant",
            "what is wrong with",
            "the message \"That was wrong.\"",
        ] {
            assert!(missed.contains(what), "{what} in {missed}");
        }
    })
    .await;
}

#[tokio::test]
async fn of_two_connected_apps_each_button_says_which_it_is_about() {
    browse(async |person| {
        let demo = demo();
        for name in [NAME, "Calendar"] {
            person.forget_cookies().await;
            App::register_as(demo.base(), name)
                .await
                .is_allowed(person)
                .await;
        }
        person
            .open(&format!("{}/connected-apps", demo.base()))
            .await;
        person
            .run("document.querySelectorAll('details').forEach(it => it.open = true)")
            .await;
        person.sees("Yes, remove").await;
        let said = said(person).await;
        let missed = missed(&said, &[]);
        assert!(missed.is_empty(), "{missed:#?}");
        for what in ["Remove access", "Yes, remove"] {
            for app in [NAME, "Calendar"] {
                let name = format!("{what} {app}");
                assert!(said.iter().any(|it| it.name == name), "{name} in {said:#?}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn the_code_of_a_device_is_said_letter_by_letter_and_copied_as_it_is() {
    browse(async |person| {
        let demo = demo();
        let app = App::register(demo.base()).await;
        let device = app.device().await;
        person.open(&device.verification_uri_complete).await;
        person.press("Continue").await;
        person.sign_in("alice", "wonderland").await;
        person.sees(&device.user_code).await;
        let letters: Vec<_> = device.user_code.chars().map(String::from).collect();
        let page = said(person).await.remove(0).text;
        assert!(page.contains(&letters.join(" ")) && !page.contains(&device.user_code), "{page}");
        let copied = person
            .run("const all = getSelection(); all.selectAllChildren(document.querySelector('.user-code')); return String(all)")
            .await;
        assert_eq!(copied.as_str().map(str::trim), Some(&*device.user_code));
    })
    .await;
}
