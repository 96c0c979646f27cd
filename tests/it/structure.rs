//! The rules of the tree, read from the sources: who may import what, how long a file may be, what a test must not do.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// What a module may do. A new module of `src/` needs a line here.
struct Row {
    module: &'static str,
    imports: &'static [&'static str],
    is_async: bool,
    asks_clock: bool,
    makes_secrets: bool,
}

const fn row(module: &'static str, imports: &'static [&'static str]) -> Row {
    Row {
        module,
        imports,
        is_async: false,
        asks_clock: false,
        makes_secrets: false,
    }
}

#[rustfmt::skip]
const TABLE: [Row; 9] = [
    Row { asks_clock: true, makes_secrets: true, ..row("types", &[]) },
    row("protocol", &["types"]),
    row("grant", &["types", "protocol"]),
    row("pages", &["types"]),
    row("qr", &[]),
    Row { is_async: true, ..row("store", &["types"]) },
    Row { is_async: true, asks_clock: true, makes_secrets: true, ..row("server", &["types", "protocol", "grant", "pages", "store"]) },
    Row { is_async: true, asks_clock: true, ..row("resource", &["types", "protocol"]) },
    Row { is_async: true, asks_clock: true, makes_secrets: true, ..row("testing", &["types", "resource"]) },
];

/// Files that may import, or await, more than their module.
const MAY_ALSO_IMPORT: [(&str, &[&str]); 1] =
    [("src/resource/in_process.rs", &["store", "server"])];
const MAY_BE_ASYNC: [&str; 1] = ["src/types/clock.rs"]; // a clock that stands still makes its sleepers wait
/// The computer's clock; and whoever waits for a server to come back, which no clock of ours can make it do.
const MAY_SLEEP: [&str; 2] = ["src/types/clock.rs", "src/store/postgres_listener.rs"];
const MAY_MAKE_SECRETS: [&str; 1] = ["src/resource/client_auth.rs"]; // each assertion has an identifier of its own

const LONGEST: usize = 400;

#[test]
fn modules_import_what_the_table_allows() {
    keeps(&sources(&["src"]), imports);
}

#[test]
fn modules_are_async_and_ask_for_time_and_secrets_where_the_table_allows() {
    keeps(&sources(&["src"]), effects);
}

#[test]
fn files_are_short_named_for_one_thing_and_one_folder_deep() {
    keeps(&sources(&["src"]), length);
    keeps(&sources(&["src", "tests", "benches", "examples"]), name);
    keeps(&sources(&["src", "tests"]), depth);
}

#[test]
fn nothing_is_ignored_slept_through_or_left_to_do() {
    keeps(&sources(&["src", "tests"]), refused);
}

#[test]
fn s12_nobody_is_called_but_issuers_and_from_one_place() {
    keeps(&sources(&["src"]), calls);
}

#[test]
fn s19_v30_no_secret_has_an_equality_that_stops_at_the_first_difference() {
    keeps(&sources(&["src"]), equalities);
}

#[test]
fn each_rule_that_a_test_names_is_in_the_table_of_requirements_and_the_reverse() {
    let table = read("docs/requirements.tsv");
    let known: BTreeSet<&str> = table.lines().skip(1).filter_map(id_of_line).collect();
    let sources = sources(&["src", "tests"]);
    keeps(&sources, |source| requirements(source, &known));
    let named: BTreeSet<&str> = sources.iter().flat_map(|s| named_rules(&s.text)).collect();
    let stale: Vec<_> = known.difference(&named).collect();
    assert!(stale.is_empty(), "no test names {stale:?}: {HOW_TO_UPDATE}");
    let malformed = malformed_lines(&table);
    assert!(malformed.is_empty(), "{malformed:?}");
}

#[test]
fn each_test_that_architecture_md_names_is_there() {
    let sources = sources(&["src", "tests"]);
    let page = read("ARCHITECTURE.md");
    let missing = missing_tests(&page, &sources);
    assert!(missing.is_empty(), "{missing:?}");
}

const HOW_TO_UPDATE: &str = "docs/requirements.py rewrites docs/requirements.tsv";

/// `crate::` and `super::` paths to modules that the table does not allow.
fn imports(source: &Source) -> Vec<String> {
    let module = source.module();
    let Some(row) = TABLE.iter().find(|row| row.module == module) else {
        let known = source.path == "src/lib.rs";
        return complain(!known, || format!("module {module} is not in the table"));
    };
    let more = MAY_ALSO_IMPORT.iter().find(|(path, _)| source.is(path));
    let more = more.map_or(&[] as &[&str], |(_, modules)| modules);
    let shipped = source.shipped();
    let words = words(&shipped);
    let mut found = roots(&words, source.depth());
    found.retain(|root| *root != module && !row.imports.contains(root) && !more.contains(root));
    found
        .into_iter()
        .map(|root| format!("{module} must not import {root}"))
        .collect()
}

/// `async`, the `Clock` and randomness where the table has none.
fn effects(source: &Source) -> Vec<String> {
    let module = source.module();
    let Some(row) = TABLE.iter().find(|row| row.module == module) else {
        return Vec::new(); // `imports` complains
    };
    let shipped = source.shipped();
    let words = words(&shipped);
    let says = |word: &str| words.contains(&word);
    let is_async = says("async") || says("await");
    let makes_secrets = says("getrandom")
        || words
            .windows(3)
            .any(|w| matches!(w, ["Secret", "::", made] if made.starts_with("generate")));
    let asks_clock = says("Clock") || says("SystemClock");
    let may_be_async = row.is_async || MAY_BE_ASYNC.iter().any(|path| source.is(path));
    let mut found = complain(is_async && !may_be_async, || {
        format!("{module} is not async")
    });
    found.extend(complain(asks_clock && !row.asks_clock, || {
        format!("{module} takes `now`; it does not ask the Clock")
    }));
    let may_make_secrets = row.makes_secrets || MAY_MAKE_SECRETS.iter().any(|path| source.is(path));
    found.extend(complain(makes_secrets && !may_make_secrets, || {
        format!("{module} makes no secrets")
    }));
    found
}

/// More than 400 lines of code, comments and tests not counted.
fn length(source: &Source) -> Vec<String> {
    let lines = source
        .shipped()
        .lines()
        .filter(|line| !line.trim().is_empty())
        .count();
    complain(lines > LONGEST, || {
        format!("{lines} lines of code: split it by meaning")
    })
}

fn name(source: &Source) -> Vec<String> {
    let name = source.path.rsplit('/').next().unwrap_or_default();
    let vague = ["helpers.rs", "utils.rs", "common.rs", "util.rs", "misc.rs"].contains(&name);
    complain(vague, || "named for nothing in particular".to_owned())
}

/// More than one level of folders; templates are not Rust files and do not count.
fn depth(source: &Source) -> Vec<String> {
    let folders = source.path.matches('/').count().saturating_sub(1);
    complain(folders > 1, || {
        format!("{folders} levels of folders: there is one")
    })
}

/// Tests that do not run, tests that wait, and work that was put off.
fn refused(source: &Source) -> Vec<String> {
    let (shipped, tests) = split_tests(&source.code());
    let in_src = source.path.starts_with("src/");
    let mut found = Vec::new();
    for (code, is_test) in [(&shipped, !in_src), (&tests, true)] {
        let words = words(code);
        let undone = words
            .windows(2)
            .any(|w| matches!(w, ["todo" | "unimplemented", "!"]));
        found.extend(complain(undone, || "left to do".to_owned()));
        let ignored = words
            .windows(3)
            .any(|w| matches!(w, ["[" | ",", "ignore", "]" | "=" | ")"]));
        found.extend(complain(ignored, || "an ignored test".to_owned()));
        let slept = words.windows(3).any(|w| sleeps(w, is_test));
        let may_sleep = MAY_SLEEP.iter().any(|path| source.is(path));
        found.extend(complain(slept && !may_sleep, || {
            "sleeps: time moves by a ManualClock".to_owned()
        }));
    }
    let skipped = |line: &&str| line.trim_start().starts_with("//") && line.contains("```ignore");
    found.extend(complain(source.text.lines().any(|l| skipped(&l)), || {
        "an ignored example".to_owned()
    }));
    found
}

/// Whether three words end in a call that waits for real time. A `Clock`'s own method is `fn sleep(` or `.sleep(`.
fn sleeps(words: &[&str], is_test: bool) -> bool {
    let [before, called, "("] = words else {
        return false;
    };
    if !["sleep", "sleep_until", "sleep_ms", "park_timeout"].contains(called) {
        return false;
    }
    *before != "fn" && (*before != "." || is_test)
}

/// The one place that asks anybody: issuers, for a resource server, by the client that the host can replace.
const ASKS_OTHERS: &str = "src/resource/http_client.rs";

/// Names of what opens a connection or asks a resolver.
fn calls(source: &Source) -> Vec<String> {
    if source.is(ASKS_OTHERS) {
        return Vec::new();
    }
    let shipped = source.shipped();
    let words = words(&shipped);
    let callers = [
        "TcpStream",
        "UnixStream",
        "UdpSocket",
        "TcpSocket",
        "ToSocketAddrs",
        "lookup_host",
        "reqwest",
        "hyper",
        "hyper_util",
        "ureq",
        "Command",
    ];
    let found = callers.iter().filter(|name| words.contains(name));
    found
        .map(|name| format!("{name}: nobody is called from here"))
        .collect()
}

/// Types that hold a secret and derive `==`, and secrets that are compared by it once they are exposed.
fn equalities(source: &Source) -> Vec<String> {
    let shipped = source.shipped();
    let words = words(&shipped);
    let mut found = Vec::new();
    for (at, pair) in words.windows(2).enumerate() {
        let ["struct" | "enum", name] = pair else {
            continue;
        };
        let (before, after) = words.split_at(at);
        let begin = before
            .iter()
            .rposition(|word| matches!(*word, ";" | "}" | "{"));
        let attributes = before.split_at(begin.unwrap_or_default()).1;
        let fields = after.split_at(fields(after)).0;
        let is_secret = SECRET_TYPES.iter().any(|secret| fields.contains(secret));
        found.extend(complain(
            is_secret && attributes.contains(&"PartialEq"),
            || format!("{name} holds a secret: its == has to take the same time always"),
        ));
    }
    let compared = words.windows(5).any(|w| {
        matches!(
            w,
            ["expose", "(", ")", "=" | "!", "="] | ["=" | "!", "=", _, ".", "expose"]
        )
    });
    found.extend(complain(compared, || {
        "an exposed secret is compared: compare digests".to_owned()
    }));
    found
}

const SECRET_TYPES: [&str; 5] = [
    "Zeroizing",
    "Secret",
    "OwnedToken",
    "BearerToken",
    "CodeVerifier",
];

/// How many words a struct or an enum takes from its name to its end.
fn fields(words: &[&str]) -> usize {
    let mut open = 0_usize;
    for (at, word) in words.iter().enumerate() {
        match *word {
            "{" | "(" => open += 1,
            "}" if open <= 1 => return at + 1,
            "}" | ")" => open = open.saturating_sub(1),
            ";" if open == 0 => return at + 1,
            _ => {}
        }
    }
    words.len()
}

/// `// req:` lines that do not stand above a test, name too many rules, or name a rule that is not in the table.
fn requirements(source: &Source, known: &BTreeSet<&str>) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = source.text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        let comment = line.trim_start_matches(['/', '!', ' ']);
        if !line.starts_with("//") || !comment.starts_with(REQ) {
            continue;
        }
        let Some(ids) = line.strip_prefix("// ").and_then(|l| l.strip_prefix(REQ)) else {
            found.push(format!("`{line}`: write `// {REQ}` and the ids"));
            continue;
        };
        let ids: Vec<_> = ids.trim().split(", ").collect();
        let unlike: BTreeSet<_> = ids.iter().collect();
        found.extend(complain(ids.len() > 4 || unlike.len() < ids.len(), || {
            format!("`{line}`: at most four ids, each once")
        }));
        let unknown = ids.iter().filter(|id| !known.contains(*id));
        found.extend(unknown.map(|id| format!("no rule {id:?} is known: {HOW_TO_UPDATE}")));
        let is_test =
            |line: &&str| line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        let above = lines
            .clone()
            .take_while(|line| line.starts_with("#["))
            .any(|line| is_test(&line));
        found.extend(complain(!above, || {
            format!("`{line}` does not stand directly above a test")
        }));
    }
    found
}

const REQ: &str = "req:";

fn named_rules(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("// ")?.strip_prefix(REQ))
        .flat_map(|ids| ids.split(',').map(str::trim))
}

fn id_of_line(line: &str) -> Option<&str> {
    line.split('\t').next()
}

fn malformed_lines(table: &str) -> Vec<&str> {
    let is_fine = |line: &&str| {
        let cells: Vec<_> = line.split('\t').collect();
        cells.len() == 3 && cells.iter().all(|cell| !cell.is_empty())
    };
    table.lines().filter(|line| !is_fine(line)).collect()
}

/// The paths to functions in the section on invariants that lead nowhere.
fn missing_tests<'a>(page: &'a str, sources: &[Source]) -> Vec<&'a str> {
    let section = page.split("\n## ").find(|s| s.starts_with("Invariants"));
    let quoted = section.unwrap_or(page).split('`').skip(1).step_by(2);
    let paths = quoted.filter(|quoted| quoted.contains("::"));
    let is_there = |path: &str| {
        let function = format!("fn {}(", path.rsplit("::").next().unwrap_or(path));
        sources.iter().any(|source| source.text.contains(&function))
    };
    paths.filter(|path| !is_there(path)).collect()
}

fn complain(wrong: bool, what: impl Fn() -> String) -> Vec<String> {
    if wrong { vec![what()] } else { Vec::new() }
}

/// Runs a check over files and fails with everything it found.
fn keeps(sources: &[Source], check: impl Fn(&Source) -> Vec<String>) {
    let found: Vec<String> = sources
        .iter()
        .flat_map(|source| {
            check(source)
                .into_iter()
                .map(|c| format!("{}: {c}", source.path))
        })
        .collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

struct Source {
    /// From the root of the package, with `/`.
    path: String,
    text: String,
}

impl Source {
    fn is(&self, path: &str) -> bool {
        self.path == path
    }

    /// The module under `src/` that the file belongs to.
    fn module(&self) -> &str {
        let path = self.path.strip_prefix("src/").unwrap_or(&self.path);
        path.split('/')
            .next()
            .unwrap_or(path)
            .trim_end_matches(".rs")
    }

    /// How many `super` lead from the file to the root of the crate.
    fn depth(&self) -> usize {
        let folders = self.path.matches('/').count();
        if self.path.ends_with("/mod.rs") {
            folders - 1
        } else {
            folders
        }
    }

    /// The text with comments and what stands in quotes blanked out; lines stay lines.
    fn code(&self) -> String {
        blank(&self.text)
    }

    /// The code without its tests.
    fn shipped(&self) -> String {
        split_tests(&self.code()).0
    }
}

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(root.join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The Rust files under some folders of the package; a folder that is not there has none.
fn sources(folders: &[&str]) -> Vec<Source> {
    let mut paths = BTreeSet::new();
    for folder in folders {
        find(Path::new(env!("CARGO_MANIFEST_DIR")), folder, &mut paths);
    }
    paths
        .into_iter()
        .map(|path| Source {
            text: read(&path),
            path,
        })
        .collect()
}

fn find(root: &Path, folder: &str, paths: &mut BTreeSet<String>) {
    let Ok(entries) = fs::read_dir(root.join(folder)) else {
        return;
    };
    for entry in entries {
        let entry = entry.expect("the folder can be read");
        let path = format!("{folder}/{}", entry.file_name().display());
        if entry.path().is_dir() {
            if entry.file_name() != "node_modules" {
                find(root, &path, paths);
            }
        } else if path.ends_with(".rs") {
            paths.insert(path);
        }
    }
}

/// Blanks comments, strings and characters, so that only what the compiler acts on is left.
fn blank(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let after_word = code.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let hidden = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => block_comment(rest),
            '"' => quoted(rest, '"'),
            'r' | 'b' | 'c' if !after_word => raw_string(rest),
            '\'' if is_char(rest) => quoted(rest, '\''),
            _ => 0,
        };
        let (gone, kept) = rest.split_at(hidden);
        code.extend(gone.chars().map(|c| if c == '\n' { c } else { ' ' }));
        rest = kept;
        if hidden == 0 {
            code.push(first);
            rest = rest.split_at(first.len_utf8()).1;
        }
    }
    code
}

fn block_comment(text: &str) -> usize {
    let mut open = 0;
    let mut at = 0;
    for pair in text.as_bytes().windows(2) {
        at += 1;
        match pair {
            b"/*" => open += 1,
            b"*/" => open -= 1,
            _ => {}
        }
        if open == 0 {
            return at + 1;
        }
    }
    text.len()
}

fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of a raw string at the beginning of the text; 0 if there is none.
fn raw_string(text: &str) -> usize {
    let Some(body) = text.trim_start_matches(['b', 'c']).strip_prefix('r') else {
        return 0;
    };
    let hashes = body.len() - body.trim_start_matches('#').len();
    let close = format!("\"{}", "#".repeat(hashes));
    let Some(inside) = body.trim_start_matches('#').strip_prefix('"') else {
        return 0;
    };
    let end = inside
        .find(&close)
        .map_or(inside.len(), |at| at + close.len());
    text.len() - inside.len() + end
}

/// Whether a quote begins a character and not a lifetime.
fn is_char(text: &str) -> bool {
    let mut chars = text.chars().skip(1);
    chars.next() == Some('\\') || chars.next() == Some('\'')
}

/// Parts code into what ships and what stands under `#[cfg(test)]`; both keep all lines.
fn split_tests(code: &str) -> (String, String) {
    let (mut shipped, mut tests) = (String::new(), String::new());
    let mut rest = code;
    let hide = |text: &str| -> String {
        text.chars()
            .map(|c| if c == '\n' { c } else { ' ' })
            .collect()
    };
    while !rest.is_empty() {
        let start = ["#[cfg(test)]", "#[cfg(all(test"]
            .iter()
            .filter_map(|mark| rest.find(mark))
            .min()
            .unwrap_or(rest.len());
        let (before, after) = rest.split_at(start);
        shipped.push_str(before);
        tests.push_str(&hide(before));
        let (test, after) = after.split_at(item(after));
        shipped.push_str(&hide(test));
        tests.push_str(test);
        rest = after;
    }
    (shipped, tests)
}

/// The length of the item at the beginning of the code: to its last brace, or to a semicolon before the first.
fn item(code: &str) -> usize {
    let mut open = 0_usize;
    for (at, c) in code.char_indices() {
        match c {
            '{' => open += 1,
            '}' if open <= 1 => return at + 1,
            '}' => open -= 1,
            ';' if open == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

/// Names, `::`, and every other sign by itself.
fn words(code: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let is_name = |c: char| c.is_alphanumeric() || c == '_';
        let length = match first {
            _ if is_name(first) => rest.find(|c| !is_name(c)).unwrap_or(rest.len()),
            ':' if rest.starts_with("::") => 2,
            _ => first.len_utf8(),
        };
        let (word, after) = rest.split_at(length);
        words.push(word);
        rest = after.trim_start();
    }
    words
}

/// What is named directly under the root of the crate. A name that `super` reaches counts if the table has it: in an inline module,
/// which stands one step deeper than its file, it may be any name of the file.
fn roots<'a>(words: &[&'a str], depth: usize) -> Vec<&'a str> {
    let mut found = Vec::new();
    let mut rest = words;
    while let [first, after @ ..] = rest {
        rest = after;
        let mut path = after;
        if *first == "super" {
            let mut climbed = 1;
            while let ["::", "super", more @ ..] = path {
                climbed += 1;
                path = more;
            }
            rest = path;
            if climbed != depth {
                continue;
            }
        } else if *first != "crate" {
            continue;
        }
        let named = match path {
            ["::", "{", group @ ..] => heads(group),
            ["::", name, ..] => vec![*name],
            _ => Vec::new(),
        };
        let is_row = |name: &&str| TABLE.iter().any(|row| row.module == *name);
        found.extend(named.into_iter().filter(|n| *first == "crate" || is_row(n)));
    }
    found
}

/// The first names of the paths in a group `{a::b, c::{d, e}}`.
fn heads<'a>(group: &[&'a str]) -> Vec<&'a str> {
    let mut found = Vec::new();
    let mut open = 1;
    let mut begins = true;
    for word in group {
        match *word {
            "{" => open += 1,
            "}" => open -= 1,
            "," => {}
            name if begins && open == 1 => found.push(name),
            _ => {}
        }
        begins = *word == ",";
        if open == 0 {
            break;
        }
    }
    found
}

/// Examples on which each check must fail, and their neighbours on which it must not.
mod checks {
    use super::*;

    fn file(path: &str, text: &str) -> Source {
        let (path, text) = (path.to_owned(), text.to_owned());
        Source { path, text }
    }

    /// Each file with the number of complaints that the check must have about it.
    fn counts<const N: usize>(
        check: impl Fn(&Source) -> Vec<String>,
        files: [(&str, &str, usize); N],
    ) {
        for (path, text, count) in files {
            let found = check(&file(path, text));
            assert_eq!(found.len(), count, "{path}: {text}: {found:?}");
        }
    }

    #[test]
    fn an_import_against_the_table_is_found() {
        counts(
            imports,
            [
                ("src/types/scope.rs", "use crate::store::Key;", 1),
                (
                    "src/types/scope.rs",
                    "use crate::types::Digest; use super::Secret;",
                    0,
                ),
                (
                    "src/types/scope.rs",
                    "/// [`x`](crate::server::Clients)\nfn f() { g(\"crate::store\") }",
                    0,
                ),
                (
                    "src/types/scope.rs",
                    "use crate::{store, types::{Scope, server}};",
                    1,
                ),
                ("src/types/scope.rs", "use crate::Scope;", 1),
                ("src/types/scope.rs", "fn f(x: &crate::grant::Issue) {}", 1),
                (
                    "src/types/scope.rs",
                    "#[cfg(test)]\nmod tests { use crate::store::Key; }",
                    0,
                ),
                (
                    "src/types/scope.rs",
                    "#[cfg(test)]\nmod tests { fn f() {} }\nuse crate::store::Key;",
                    1,
                ),
                ("src/types/scope.rs", "use super::super::store::Key;", 1),
                ("src/types/mod.rs", "use super::store::Key;", 1),
                (
                    "src/types/mod.rs",
                    "pub(crate) mod record; mod m { use super::Key; }",
                    0,
                ),
                ("src/protocol/form.rs", "use crate::grant::Issue;", 1),
                (
                    "src/grant/mod.rs",
                    "use crate::protocol::Form; use crate::types::Scope;",
                    0,
                ),
                ("src/grant/mod.rs", "use crate::store::Records;", 1),
                ("src/store/mod.rs", "use crate::protocol::Form;", 1),
                (
                    "src/server/token.rs",
                    "use crate::{grant, protocol, store, types};",
                    0,
                ),
                ("src/server/token.rs", "use crate::resource::Policy;", 1),
                ("src/resource/policy.rs", "use crate::{store, server};", 2),
                (
                    "src/resource/in_process.rs",
                    "use crate::{store, server};",
                    0,
                ),
                ("src/resource/in_process.rs", "use crate::grant::Issue;", 1),
                ("src/elsewhere.rs", "", 1),
                ("src/lib.rs", "pub mod types;", 0),
            ],
        );
    }

    #[test]
    fn an_effect_against_the_table_is_found() {
        counts(
            effects,
            [
                ("src/grant/mod.rs", "async fn f() {}", 1),
                ("src/protocol/form.rs", "fn f() { g(async move { 1 }) }", 1),
                (
                    "src/protocol/form.rs",
                    "fn f() { g(\"async\", 'a', '\\'') } // async\n/* async /* */ async */",
                    0,
                ),
                ("src/types/body.rs", "async fn f() {}", 1),
                ("src/types/clock.rs", "async fn f() {}", 0),
                ("src/store/mod.rs", "async fn f() {}", 0),
                ("src/store/mod.rs", "fn f(clock: &dyn Clock) {}", 1),
                ("src/grant/mod.rs", "use crate::types::SystemClock;", 1),
                (
                    "src/server/mod.rs",
                    "use crate::types::{Clock, Secret}; fn f() { Secret::generate() }",
                    0,
                ),
                (
                    "src/resource/mod.rs",
                    "fn f(clock: &dyn Clock) { Secret::generate_with_prefix(\"\") }",
                    1,
                ),
                (
                    "src/store/mod.rs",
                    "fn f() { getrandom::fill(&mut [0]) }",
                    1,
                ),
            ],
        );
    }

    #[test]
    fn a_long_a_vague_and_a_deep_file_are_found() {
        let code = "fn f() {}\n";
        counts(
            length,
            [
                ("src/types/scope.rs", &code.repeat(401), 1),
                ("src/types/scope.rs", &code.repeat(400), 0),
                (
                    "src/types/scope.rs",
                    &format!("{}// x\n/* y\n z */\n\n", code.repeat(400)),
                    0,
                ),
                (
                    "src/types/scope.rs",
                    &format!("#[cfg(test)]\nmod tests {{\n{}}}\n", code.repeat(500)),
                    0,
                ),
            ],
        );
        counts(
            name,
            [
                ("src/types/utils.rs", "", 1),
                ("tests/it/helpers.rs", "", 1),
                ("src/types/scope.rs", "", 0),
            ],
        );
        counts(
            depth,
            [
                ("src/a/b/c.rs", "", 1),
                ("src/a/b.rs", "", 0),
                ("src/b.rs", "", 0),
            ],
        );
    }

    #[test]
    fn a_test_that_does_not_run_or_waits_is_found() {
        counts(
            refused,
            [
                ("tests/it/x.rs", "#[ignore]\n#[test]\nfn f() {}", 1),
                (
                    "tests/it/x.rs",
                    "#[test]\n#[ignore = \"slow\"]\nfn f() {}",
                    1,
                ),
                (
                    "tests/it/x.rs",
                    "#[cfg_attr(windows, ignore)]\n#[test]\nfn f() { ignore() }",
                    1,
                ),
                ("src/types/scope.rs", "fn f() { todo!() }", 1),
                ("tests/it/x.rs", "fn f() { std::thread::sleep(d) }", 1),
                (
                    "tests/it/x.rs",
                    "async fn f() { tokio::time::sleep_until(d).await; }",
                    1,
                ),
                (
                    "tests/it/x.rs",
                    "async fn f() { sleep(d).await; clock.sleep(d).await; }",
                    1,
                ),
                (
                    "tests/it/x.rs",
                    "impl Clock for C { fn sleep(&self) {} }",
                    0,
                ),
                (
                    "src/server/mod.rs",
                    "async fn f() { self.clock.sleep(d).await; }",
                    0,
                ),
                (
                    "src/server/mod.rs",
                    "async fn f() { tokio::time::sleep(d).await; }",
                    1,
                ),
                ("src/types/clock.rs", "fn f() { tokio::time::sleep(d) }", 0),
                (
                    "src/types/scope.rs",
                    "/// ```ignore\n/// f();\n/// ```\nfn f() {}",
                    1,
                ),
                (
                    "src/types/scope.rs",
                    "// todo!() and sleep(1) are words here: #[ignore]\nfn f() {}",
                    0,
                ),
            ],
        );
    }

    #[test]
    fn a_call_and_an_equality_of_secrets_are_found() {
        counts(
            calls,
            [
                ("src/server/x.rs", "use tokio::net::TcpStream;", 1),
                ("src/server/x.rs", "fn f() { reqwest::get(u) }", 1),
                ("src/server/x.rs", "// reqwest\nfn f() {}", 0),
                ("src/resource/x.rs", "use reqwest::Client;", 1),
                ("src/resource/http_client.rs", "use reqwest::Client;", 0),
                (
                    "src/server/x.rs",
                    "#[cfg(test)]\nmod tests { use std::net::TcpStream; }",
                    0,
                ),
            ],
        );
        counts(
            equalities,
            [
                (
                    "src/types/x.rs",
                    "#[derive(Clone, PartialEq)]\npub struct S(Zeroizing<String>);",
                    1,
                ),
                (
                    "src/types/x.rs",
                    "#[derive(PartialEq)]\nstruct A { a: u8 }\nstruct B { b: Secret }",
                    0,
                ),
                (
                    "src/types/x.rs",
                    "#[derive(PartialEq)]\nenum E { A(u8), B(Secret) }",
                    1,
                ),
                ("src/types/x.rs", "fn f() { a.expose() == b }", 1),
                ("src/types/x.rs", "fn f() { a != b.expose() }", 1),
                ("src/types/x.rs", "fn f() { let a = b.expose(); }", 0),
            ],
        );
    }

    #[test]
    fn a_test_that_is_named_and_not_there_is_found() {
        let sources = [file("src/types/scope.rs", "#[test]\nfn there() {}")];
        let page = "`x::elsewhere`\n## Invariants\n`x::there`, `y::gone`, `…::there`, `Secret`\n## More\n`x::not_asked`";
        assert_eq!(missing_tests(page, &sources), ["y::gone"]);
        assert_eq!(missing_tests("", &sources), [""; 0]);
    }

    #[test]
    fn a_misplaced_or_unknown_requirement_is_found() {
        let known = BTreeSet::from(["a-1", "a-2", "a-3", "a-4", "a-5"]);
        for (text, count) in [
            ("// @ a-1\n#[test]\nfn f() {}", 0),
            (
                "// @ a-1, a-2, a-3, a-4\n#[tokio::test(start_paused = true)]\nasync fn f() {}",
                0,
            ),
            ("// @ a-1\n#[cfg(unix)]\n#[test]\nfn f() {}", 0),
            ("// @ a-1\nfn f() {}", 1),
            ("// @ a-1\n\n#[test]\nfn f() {}", 1),
            ("// @ a-1\n// why\n#[test]\nfn f() {}", 1),
            ("// @ a-1\n#[cfg(unix)]\nfn f() {}", 1),
            ("// @ a-1, a-2, a-3, a-4, a-5\n#[test]\nfn f() {}", 1),
            ("// @ a-1, a-1\n#[test]\nfn f() {}", 1),
            ("// @ b-1\n#[test]\nfn f() {}", 1),
            ("// @ a-1 a-2\n#[test]\nfn f() {}", 1),
            ("// @\n#[test]\nfn f() {}", 1),
            ("//@ a-1\n#[test]\nfn f() {}", 1),
            ("/// @ a-1\n#[test]\nfn f() {}", 1),
        ] {
            let text = text.replace('@', REQ);
            let found = requirements(&file("tests/it/x.rs", &text), &known);
            assert_eq!(found.len(), count, "{text}: {found:?}");
        }
        let text = "// @ a-1, a-2\n#[test]\n// @ b-1".replace('@', REQ);
        assert_eq!(
            named_rules(&text).collect::<Vec<_>>(),
            ["a-1", "a-2", "b-1"]
        );
        assert_eq!(
            malformed_lines("a-1\tMUST\tIt is so.\nb\nc\t\tx"),
            ["b", "c\t\tx"]
        );
    }
}
