//! Keeps `README.md` and the manual in `packaging/manual` true: their snippets run, their configuration checks, their
//! commands exist.
//!
//! The SQL runs against a database made by `webhooksd schema outbox` and against a log made by the
//! daemon. The programs that the page uses, `sqlite3`, `openssl`, curl and socat, and Python and PHP
//! are used where they are installed; a test that goes without one says so, and does the same with
//! what the tests have. The C# snippet is compiled by nobody here. What only root may do is read by
//! the shell and not run.

mod batch;
mod first;
mod limits;
mod order;
mod page;
mod postgres;
mod recipes;
mod socket;
mod standard;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use page::{one, under};

use crate::support::{Receiver, SOON, World, hook, missing, need, sqlite};

const CONFIGURE: &str = "Configure";
const WRITE: &str = "Write events";
const READ: &str = "Read the log";
const OWN_DATABASE: &str = "The outbox in the application's own database";
const OWN_TABLE: &str = "An application with an event table of its own";
const OWN_FILE: &str = "The outbox in a file of its own";
const DIALECTS: &str = "Dialects";
const LOG: &str = "The log";
const WHERE: &str = "Only some events: `where`";

/// Every block and how many there are: whoever adds one says here that a test holds it.
const BLOCKS: [(&str, &str, usize); 32] = [
    ("Look at it", "sh", 1),
    ("The page", "sh", 1),
    // `page::served` serves it.
    ("The page", "toml", 1),
    ("Two commands", "sh", 1),
    ("Install", "sh", 2),
    (CONFIGURE, "toml", 1),
    (CONFIGURE, "sh", 1),
    (WHERE, "toml", 1),
    ("Several events in one POST: `batch`", "toml", 1),
    ("One at a time: `in_order`", "toml", 1),
    (WRITE, "sh", 2),
    (WRITE, "sql", 1),
    (OWN_DATABASE, "python", 1),
    (OWN_DATABASE, "php", 1),
    (OWN_DATABASE, "csharp", 1),
    (OWN_TABLE, "sql", 1),
    (postgres::TITLE, "sh", 1),
    (postgres::TITLE, "toml", 1),
    (postgres::TITLE, "sql", 1),
    (postgres::SHARED, "sh", 2),
    (postgres::SHARED, "toml", 1),
    (postgres::UNIT, "ini", 1),
    (postgres::LOG, "toml", 1),
    (postgres::LOG, "sql", 1),
    (OWN_FILE, "sh", 1),
    (SOCKET, "sh", 1),
    ("Two users, one database", "sh", 1),
    (DIALECTS, "python", 1),
    (DIALECTS, "sh", 1),
    (standard::TITLE, "toml", 1),
    (standard::TITLE, "python", 1),
    (READ, "sh", 1),
];

const SOCKET: &str = "The socket";

/// A program with its words, in a folder, with `webhooksd` in the path.
fn command(folder: &Path, words: &[&str]) -> Command {
    let binary = Path::new(env!("CARGO_BIN_EXE_webhooksd"));
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", binary.parent().unwrap().display());
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).current_dir(folder);
    command
        .env("PATH", path)
        .env_remove("CREDENTIALS_DIRECTORY");
    command.stdin(Stdio::null());
    command
}

/// What it prints; it must end well.
#[track_caller]
fn run(folder: &Path, words: &[&str]) -> String {
    succeeded(&command(folder, words).output().unwrap())
}

#[track_caller]
fn succeeded(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{stdout}{stderr}");
    stdout.into_owned()
}

#[track_caller]
fn shell(folder: &Path, script: &str) -> String {
    run(folder, &["sh", "-euc", script])
}

/// Runs a file in a language where its program is installed; whether it is.
#[track_caller]
fn run_file(folder: &Path, program: &str, name: &str, text: &str) -> bool {
    let there = need(program);
    if there {
        std::fs::write(folder.join(name), text).unwrap();
        run(folder, &[program, name]);
    }
    there
}

/// Whether there is a PHP that can SQLite, which is a package of its own.
fn has_php() -> bool {
    const ASK: &str = "exit(extension_loaded('pdo_sqlite') ? 0 : 1);";
    if !need("php") {
        return false;
    }
    let can = Command::new("php").args(["-r", ASK]).status().unwrap();
    if !can.success() {
        missing("PHP's pdo_sqlite");
    }
    can.success()
}

/// A folder with an application's `app.db`, its outbox made as the page says.
fn application() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    app_db(
        &folder,
        "CREATE TABLE story (id INTEGER PRIMARY KEY, state TEXT);
         INSERT INTO story VALUES (7, 'draft');",
    );
    let made = under(WRITE, "sh").remove(0);
    if need("sqlite3") {
        shell(folder.path(), &made);
    } else {
        let schema = made.strip_suffix(" | sqlite3 app.db\n").unwrap();
        app_db(&folder, &shell(folder.path(), schema));
    }
    folder
}

fn app_db(folder: &tempfile::TempDir, sql: &str) -> String {
    sqlite(&folder.path().join("app.db"), sql).unwrap()
}

/// What `app.db` complains about.
#[track_caller]
fn app_db_refuses(folder: &tempfile::TempDir, sql: &str) -> String {
    sqlite(&folder.path().join("app.db"), sql).expect_err(sql)
}

#[test]
fn every_block_is_held_by_a_test() {
    let mut known: BTreeSet<(String, String, usize)> = BLOCKS
        .iter()
        .map(|(heading, language, count)| ((*heading).into(), (*language).into(), *count))
        .collect();
    known.insert((READ.into(), "sql".into(), recipes::RECIPES.0));
    known.insert((LOG.into(), "sql".into(), recipes::RECIPES.1));
    let blocks = page::blocks();
    let found = blocks.iter().map(|block| {
        let same = |b: &&page::Block| b.heading == block.heading && b.language == block.language;
        let count = blocks.iter().filter(same).count();
        (block.heading.clone(), block.language.clone(), count)
    });
    assert_eq!(found.collect::<BTreeSet<_>>(), known);
}

#[test]
fn the_two_commands_are_there_and_scripts_are_scripts() {
    let two = one("Two commands", "sh");
    assert_eq!(two, "cargo run --release -- demo\ncargo test\n");
    let manifest = std::fs::read_to_string(page::top("Cargo.toml")).unwrap();
    assert!(manifest.contains("default-run = \"webhooksd\""));
    for block in page::blocks().iter().filter(|b| b.language == "sh") {
        run(Path::new("/"), &["sh", "-nc", &block.text]);
    }
}

#[test]
fn every_command_and_file_it_names_is_there() {
    let mut named = BTreeSet::new();
    for code in page::code() {
        for rest in code.split("webhooksd ").skip(1) {
            let end = rest.find(|c: char| !c.is_ascii_lowercase() && c != '-');
            named.insert(rest.split_at(end.unwrap_or(rest.len())).0.to_owned());
        }
    }
    named.retain(|word| !word.is_empty());
    for sure in ["run", "check", "emit", "schema", "start-from"] {
        assert!(named.contains(sure), "{sure} in {named:?}");
    }
    let text = page::text();
    let (_, table) = text.split_once("\n## The commands\n").unwrap();
    let (table, _) = table.split_once("\n## ").unwrap();
    for command in ["run", "check", "emit", "demo", "schema", "start-from"] {
        let row = format!("\n| `webhooksd {command}");
        assert!(
            table.contains(&row),
            "{command} is in no row of the commands"
        );
    }
    for word in &named {
        run(Path::new("/"), &["webhooksd", word, "--help"]);
    }
    let links = page::links();
    assert!(links.len() > 3);
    for link in links {
        assert!(link.exists(), "{}", link.display());
    }
}

#[test]
fn the_filter_is_what_it_says() {
    let receiver = Receiver::ok();
    let world = World::new(&[]);
    let block = one(WHERE, "toml");
    let (_, rules) = block.split_once("where = ").unwrap();
    let events = "events = [\"stockMovement.*\"]\n";
    assert!(block.contains(events), "{block}");
    let hook = hook("depot", receiver.url("/")).line(format!("where = {rules}"));
    world.configure(&[hook]);
    let daemon = world.start();
    let item = "\"lineItems\":[{\"product\":{\"id\":\"x\"}},{\"product\":{\"id\":\"prod-07\"}}]";
    for (n, more) in [
        (
            1,
            format!("\"origin\":{{\"id\":\"loc-001\"}},{item},\"priority\":5"),
        ),
        (
            2,
            format!("\"origin\":{{\"id\":\"loc-001\"}},{item},\"priority\":4"),
        ),
        (
            3,
            format!("\"origin\":{{\"id\":\"loc-003\"}},{item},\"rush\":true"),
        ),
        (
            4,
            "\"origin\":{\"id\":\"loc-001\"},\"rush\":true".to_owned(),
        ),
        (
            5,
            format!("\"origin\":{{\"id\":\"loc-002\"}},{item},\"rush\":true"),
        ),
    ] {
        let data = format!("{{\"n\":{n},{more}}}");
        let sql = "INSERT INTO outbox (event, data) VALUES ('stockMovement.shipped', ?1)";
        world.outbox().execute(sql, [data]).unwrap();
    }
    let numbers: BTreeSet<i64> = receiver.wait(2, SOON).iter().map(|r| r.n()).collect();
    assert_eq!(numbers, [1, 5].into());
    daemon.stop();
}

#[test]
fn the_configuration_checks() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("webhooks.toml"), one(CONFIGURE, "toml")).unwrap();
    let mut steps = one(CONFIGURE, "sh");
    if !need("openssl") {
        // Any secret does; `head` makes it raw.
        steps = steps.replace("openssl rand -hex 32", "head -c 32 /dev/urandom");
    }
    let output = command(folder.path(), &["sh", "-euc", &steps]).output();
    let output = output.unwrap();
    let said = succeeded(&output);
    assert!(said.contains("2 webhooks, no errors\n"), "{said}");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    // The secrets are closed to others, and what is made next is not by that.
    let mode = |name: &str| {
        let made = std::fs::metadata(folder.path().join(name)).unwrap();
        std::os::unix::fs::PermissionsExt::mode(&made.permissions()) & 0o777
    };
    assert_eq!(mode("search-index.key"), 0o600);
    shell(folder.path(), &format!("umask 022\n{steps}\ntouch app.db"));
    assert_eq!(mode("app.db"), 0o644);
}

#[test]
fn an_event_is_written_with_the_data_in_sql_and_in_each_language() {
    let folder = application();
    let mut events = 0;
    let mut wrote = |language: &str| {
        events += 1;
        let seen = app_db(
            &folder,
            "SELECT state FROM story; UPDATE story SET state = 'draft';
             SELECT count(*) || ' ' || min(event) || ' ' || max(event) FROM outbox;
             SELECT json_extract(data, '$.id', '$.headline') FROM outbox ORDER BY id DESC LIMIT 1;",
        );
        let expected =
            format!("approved\n{events} story-approve story-approve\n[7,\"Rain at last\"]\n");
        assert_eq!(seen, expected, "{language}");
    };
    app_db(&folder, &one(WRITE, "sql"));
    wrote("SQL");
    // Also where nothing but the outbox is there.
    let bare = tempfile::tempdir().unwrap();
    app_db(&bare, &run(bare.path(), &["webhooksd", "schema", "outbox"]));
    app_db(&bare, &one(WRITE, "sql"));
    for (program, name, language) in [("python3", "a.py", "python"), ("php", "a.php", "php")] {
        if language == "php" && !has_php() {
            continue;
        }
        if run_file(folder.path(), program, name, &one(OWN_DATABASE, language)) {
            wrote(language);
        }
    }
    println!("the C# snippet of the manual is not compiled");
}

#[test]
fn the_table_refuses_what_the_page_says_it_refuses() {
    let folder = application();
    let insert = |values: &str| format!("INSERT INTO outbox (id, event, data) VALUES ({values})");
    let text = page::text().replace("\n  ", " ");
    for bad in ["NULL, 'e', x'7b7d'", "NULL, 'e', '{'"] {
        let error = app_db_refuses(&folder, &insert(bad));
        let said = "CHECK constraint failed: data is JSON text";
        assert!(error.contains(said) && text.contains(said), "{error}");
    }
    app_db(&folder, &insert("NULL, 'e', '{}'"));
    app_db(&folder, &insert("NULL, 'e', '{}'"));
    app_db(&folder, "DELETE FROM outbox WHERE id = 1");
    let error = app_db_refuses(&folder, &insert("1, 'e', '{}'"));
    assert!(error.contains("outbox.id is given by the database"));
    let once = "INSERT INTO outbox (event, data, key) VALUES ('e', '{}', 'k') ON CONFLICT (key) DO NOTHING";
    app_db(&folder, once);
    app_db(&folder, once);
    assert_eq!(app_db(&folder, "SELECT count(*) FROM outbox"), "2\n");
}

#[test]
fn a_table_of_the_applications_own_is_copied_by_the_trigger() {
    let folder = application();
    let table = "CREATE TABLE app_event (id INTEGER PRIMARY KEY, name TEXT, payload TEXT, created_at INTEGER);";
    app_db(&folder, &format!("{table}{}", one(OWN_TABLE, "sql")));
    let insert = |or: &str, payload: &str| {
        format!(
            "INSERT {or} INTO app_event (name, payload, created_at) VALUES ('e', '{payload}', 1700000000)"
        )
    };
    app_db(&folder, &insert("", "[1]"));
    let error = app_db_refuses(&folder, &insert("", "["));
    assert!(error.contains("data is JSON text"), "{error}");
    let rows = "SELECT event, data, time FROM outbox; SELECT count(*) FROM app_event;";
    assert_eq!(app_db(&folder, rows), "e|[1]|1700000000000\n1\n");
    // What the page warns of.
    app_db(&folder, &insert("OR IGNORE", "["));
    assert_eq!(app_db(&folder, rows), "e|[1]|1700000000000\n2\n");
}

#[test]
fn emit_makes_a_file_and_writes_events() {
    let world = World::bare(&[hook("one", "http://127.0.0.1:9/")]);
    assert!(!world.path("outbox.db").exists());
    assert_eq!(shell(world.folder(), &one(OWN_FILE, "sh")), "1\n2\n");
    let sql = "SELECT event, data, key FROM outbox ORDER BY id";
    let rows = sqlite(&world.path("outbox.db"), sql).unwrap();
    let expected = "story-approve|{\"id\": 7}|\nstory-approve|{\"id\": 8}|story-8\n\
                    story-submit|{\"id\":9}|\nstory-approve|{\"id\":9}|story-9\n";
    assert_eq!(rows, expected);
}

#[test]
fn receivers_verify_each_dialect_as_the_page_says() {
    const SECRET: &str = "a-secret";
    let dialects = [
        ("bold-cms", "X-Qt-Signature"),
        ("bold-factory", "X-Bold-Signature"),
        ("openboxes-lift", "X-Webhook-Signature"),
    ];
    let receiver = Receiver::ok();
    let hooks = dialects.map(|(dialect, _)| {
        let url = receiver.url(&format!("/{dialect}"));
        hook(dialect, url).dialect(dialect).secret(SECRET)
    });
    let world = World::new(&hooks);
    let daemon = world.start();
    world.emit("e", r#"{"text": "für"}"#);
    let requests = receiver.wait(3, SOON);
    daemon.stop();
    let (python, openssl) = (need("python3"), need("openssl"));
    for (dialect, header) in dialects {
        let of = |r: &&crate::support::Received| r.lines()[0].contains(&format!("/{dialect} "));
        let request = requests.iter().find(of).unwrap();
        let signature = request.header(header).unwrap();
        world.write("body", &request.body);
        if python {
            let script = format!(
                "{}\nbody = open('body', 'rb').read()\nheaders = {{{header:?}: {signature:?}}}\n\
                 print(*(is_genuine({dialect:?}, h, b, s) for h, b, s in [(headers, body, b{SECRET:?}), \
                 (headers, body + b' ', b{SECRET:?}), (headers, body, b'other'), ({{}}, body, b{SECRET:?})]))",
                one(DIALECTS, "python")
            );
            let said = run(world.folder(), &["python3", "-c", &script]);
            assert_eq!(said, "True False False False\n", "{dialect}");
        }
        if dialect == "openboxes-lift" && openssl {
            let verify = |received: &str| {
                let mut command = command(world.folder(), &["sh", "-euc", &one(DIALECTS, "sh")]);
                command
                    .env("WEBHOOK_SECRET", SECRET)
                    .env("BODY_FILE", "body");
                command.env("RECEIVED_SIGNATURE", received);
                succeeded(&command.output().unwrap())
            };
            assert_eq!(verify(signature), "Signature valid\n");
            let bare = signature.trim_start_matches("sha256=");
            assert_eq!(verify(bare), "");
        }
    }
}
