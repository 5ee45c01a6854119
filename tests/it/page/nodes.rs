//! The nodes of a log that several share: listed with what each one has, and whose a webhook is.

use super::Browser;
use crate::postgres::logging;
use crate::socket::SECTION;
use crate::support::{Daemon, Database, Receiver, SOON, World, check, eventually, hook};

/// Two nodes with two webhooks, each of them one's.
pub(super) fn shared(database: &Database, receiver: &Receiver) -> World {
    let hooks = ["good", "bad"].map(|name| hook(name, receiver.url("/")));
    logging(database, SECTION, &hooks)
}

/// The second of them, with a socket of its own.
pub(super) fn second(world: &World) -> Daemon {
    let socket = world.path("two.sock");
    world.start_with(&["--node", "two", "--socket", socket.to_str().unwrap()])
}

/// Waits until each node has a webhook.
pub(super) fn shared_out(database: &Database) {
    let sql = "SELECT n.name FROM webhooksd.webhook w JOIN webhooksd.slot s ON s.slot = w.slot
        JOIN webhooksd.node n ON n.id = s.owner ORDER BY n.name";
    eventually("each has one", SOON, || {
        let owners = database.sql(sql);
        check(owners == "one\ntwo", || owners)
    });
}

/// The part of a page about a node.
fn row<'p>(page: &'p str, node: &str) -> &'p str {
    let begin = format!("data-label=\"Node\">{node}");
    let (_, row) = page
        .split_once(&begin)
        .unwrap_or_else(|| panic!("{node}: {page}"));
    row.split_once("</tr>").unwrap().0
}

#[test]
fn nodes_are_listed_and_each_webhook_says_whose_it_is() {
    let Some(server) = crate::support::postgres() else {
        return;
    };
    let database = server.database();
    let receiver = Receiver::ok();
    let world = shared(&database, &receiver);
    let one = world.start_with(&["--node", "one"]);
    let two = second(&world);
    shared_out(&database);
    let browser = Browser::start(world.folder(), &[]);
    let version = env!("CARGO_PKG_VERSION");
    // What was asked of the daemon is kept for a moment.
    eventually("both are told of", SOON, || {
        let page = browser.page("/");
        let (this, other) = (row(&page, "one"), row(&page, "two"));
        let is_told = this.contains("(this one)")
            && this.contains("it answers")
            && other.contains(">well<")
            && [this, other]
                .iter()
                .all(|row| row.contains("1 webhook") && row.contains(version));
        check(is_told, || page.clone())
    });
    let page = browser.page("/");
    let leads = "and takes events in";
    assert_eq!(page.matches(leads).count(), 1, "one of them leads: {page}");
    assert!(
        page.contains("node one") && page.contains("node two"),
        "{page}"
    );
    for name in ["good", "bad"] {
        let owner = database.sql(&format!(
            "SELECT n.name FROM webhooksd.webhook w JOIN webhooksd.slot s ON s.slot = w.slot
             JOIN webhooksd.node n ON n.id = s.owner WHERE w.name = '{name}'"
        ));
        let page = browser.page(&format!("/webhooks/{name}"));
        assert!(page.contains(&format!("node {owner}")), "{page}");
    }
    two.stop();
    one.stop();
    // From the log alone: nobody is there.
    let page = browser.page("/");
    assert!(!page.contains(">Nodes<"), "{page}");
    assert!(
        page.contains("no node&#39;s yet") || page.contains("no node's yet"),
        "{page}"
    );
}

#[test]
fn a_log_in_a_file_has_no_nodes_to_tell_of() {
    let (world, daemon, _receivers) = super::one_of_each();
    let browser = Browser::start(world.folder(), &[]);
    for path in ["/", "/webhooks/good"] {
        let page = browser.page(path);
        for word in [">Nodes<", "node ", "no node"] {
            assert!(!page.contains(word), "{word}: {page}");
        }
    }
    daemon.stop();
}
