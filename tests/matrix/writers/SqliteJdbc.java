// sqlite-jdbc: Java's driver, with the statement closed as its documentation asks.
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.Statement;

public class SqliteJdbc {
  static final String INSERT = "INSERT INTO outbox (event, data, key) VALUES ('e', ?, ?)";

  static void row(Connection db, String sql, String data, String key) throws Exception {
    try (PreparedStatement statement = db.prepareStatement(sql)) {
      statement.setString(1, data);
      statement.setString(2, key);
      statement.executeUpdate();
    }
  }

  static void all(Connection db, String... sql) throws Exception {
    try (Statement statement = db.createStatement()) {
      for (String one : sql) statement.executeUpdate(one);
    }
  }

  public static void main(String[] words) throws Exception {
    try (Connection db = DriverManager.getConnection("jdbc:sqlite:" + words[0] + "?busy_timeout=10000")) {
      switch (words[1]) {
        case "commit" -> {
          db.setAutoCommit(false);
          for (int i = 0; i < Integer.parseInt(words[2]); i++) {
            all(db, "INSERT INTO story (title) VALUES ('" + i + "')");
            row(db, INSERT, "{\"n\":" + i + "}", "k" + i);
            db.commit();
          }
        }
        case "rollback" -> { db.setAutoCommit(false); row(db, INSERT, "{}", "never"); db.rollback(); }
        case "bad" -> row(db, INSERT, "no JSON", "bad");
        case "ignore" -> row(db, INSERT.replace("INSERT", "INSERT OR IGNORE"), "no JSON", "bad");
        case "upsert" -> row(db, INSERT + " ON CONFLICT (key) DO UPDATE SET data = excluded.data", "{\"n\":\"new\"}", "k0");
        case "update" -> all(db, "UPDATE outbox SET tenant = 'acme'");
        case "empty" -> all(db, "DELETE FROM outbox", "DELETE FROM sqlite_sequence WHERE name = 'outbox'");
        default -> System.exit(64);
      }
    }
  }
}
