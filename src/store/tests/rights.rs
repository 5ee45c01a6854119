//! A person's rights in a log in PostgreSQL: who may order needs to be given nothing but that.

use super::engine::{Engine as _, admit};
use super::server::{ServerLog, postgres};
use super::*;

#[test]
fn who_may_insert_a_redelivery_or_a_pause_needs_no_other_right() {
    let Some(on) = postgres() else { return };
    let engine = ServerLog::new(on);
    let mut log = engine.open();
    log.register(&[("a".into(), true)], NOW).unwrap();
    let made = admit(&mut *log, &admission(1..=2, &["a"]), NOW);
    log.record(&[attempt(&made[0], NOW, Verdict::Failed)])
        .unwrap();
    let (name, id) = (format!("person_of_{}", engine.name()), made[0].id);
    assert!(engine.by_hand(&format!(
        "CREATE ROLE {name}; GRANT USAGE ON SCHEMA webhooksd TO {name}; GRANT SELECT ON health, failed TO {name};
         GRANT INSERT ON redelivery TO {name}; GRANT INSERT, SELECT, DELETE ON pause TO {name}"
    )));
    let person = |sql: &str| engine.by_hand(&format!("SET ROLE {name}; {sql}"));
    assert!(person("SELECT * FROM health; SELECT * FROM failed"));
    assert!(!person("SELECT * FROM log"));
    let again = |id| format!("INSERT INTO redelivery (delivery_id) VALUES ({id})");
    assert!(person(&again(id)) && !person(&again(made[1].id)));
    assert!(person("INSERT INTO pause (webhook) VALUES ('a')"));
    assert!(person(
        "INSERT INTO pause (webhook, reason) VALUES ('a', 'why')"
    ));
    assert_eq!(log.pauses().unwrap()[0].reason.as_deref(), Some("why"));
    assert!(person("DELETE FROM pause"));
    assert!(!person("INSERT INTO pause (webhook) VALUES ('b')"));
    let due = log.due("a", i64::MAX - 1, 9, usize::MAX, &|_| false);
    assert_eq!(due.unwrap().len(), 2);
}
