//! The blocks of the manual about Standard Webhooks: `check` takes the one, and the other tells what is genuine.

use super::{one, run};
use crate::support::{Receiver, SOON, World, hook, need};

pub(super) const TITLE: &str = "Standard Webhooks";

/// 32 bytes, as `openssl rand -base64 32` prints them.
const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

#[test]
fn the_webhooks_are_taken_as_they_stand() {
    let world = World::new(&[]);
    let mut text = std::fs::read_to_string(world.path("webhooks.toml")).unwrap();
    text.push_str(&one(TITLE, "toml"));
    world.write("webhooks.toml", text);
    for name in ["billing.key", "production.whsec"] {
        world.write(name, SECRET);
    }
    world.write("production.old.whsec", SECRET.replace('M', "N"));
    world.write("production.key", "a vendor's secret");
    let checked = world.command(&["check"]).expect(0);
    assert!(!checked.stderr.contains("warning"), "{}", checked.stderr);
}

#[test]
fn a_receiver_verifies_it_as_the_page_says() {
    if !need("python3") {
        return;
    }
    let receiver = Receiver::ok();
    let own = hook("own", receiver.url("/own")).dialect("standard-webhooks");
    let beside = hook("beside", receiver.url("/beside"));
    let world = World::new(&[
        own.secret(SECRET),
        beside.line("standard_webhooks = { secret_file = 'a.key' }"),
    ]);
    world.write("a.key", SECRET);
    let daemon = world.start();
    world.emit("invoice.paid", r#"{"text": "für"}"#);
    let requests = receiver.wait(2, SOON);
    daemon.stop();
    for request in requests {
        world.write("body", &request.body);
        let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
        let headers = names.map(|name| format!("{name:?}: {:?}", request.header(name).unwrap()));
        let other = SECRET.replace('M', "N");
        let script = format!(
            "{}\nbody = open('body', 'rb').read()\nheaders = {{{}}}\n\
             late = {{**headers, 'webhook-timestamp': '1'}}\n\
             odd = {{**headers, 'webhook-timestamp': 'now', 'webhook-signature': 'v1,ü'}}\n\
             print(*(is_genuine(h, b, s) for h, b, s in [(headers, body, {SECRET:?}), \
             (headers, body + b' ', {SECRET:?}), (headers, body, {other:?}), (late, body, {SECRET:?}), (odd, body, {SECRET:?}), ({{}}, body, {SECRET:?})]))",
            one(TITLE, "python"),
            headers.join(", "),
        );
        let said = run(world.folder(), &["python3", "-c", &script]);
        assert_eq!(said, "True False False False False False\n");
    }
}
