//! The page's words on the socket.

use super::page::one;
use super::{SOCKET, shell};
use crate::support::{World, need};

#[test]
fn the_socket_takes_events_as_the_page_says() {
    let world = World::new(&[]);
    world.configure_with("[socket]\npath = \"webhooksd.sock\"", &[]);
    let daemon = world.start();
    let block = one(SOCKET, "sh");
    if !need("socat") || !need("curl") {
        return;
    }
    let text = shell(world.folder(), &block);
    assert_eq!(text.lines().next(), Some("{\"ids\":[1]}"), "{text}");
    assert!(
        text.contains("{\"id\":2}") && text.contains("\"healthy\":true"),
        "{text}"
    );
    daemon.stop();
}
