# Ruby's sqlite3 gem, whose busy time-out is 0 unless set.
require "json"
require "sqlite3"
file, action, n = ARGV
db = SQLite3::Database.new(file)
db.busy_timeout = 10_000
insert = "INSERT INTO outbox (event, data, key) VALUES ('e', ?, ?)"
case action
when "commit"
  n.to_i.times do |i|
    db.transaction do
      db.execute("INSERT INTO story (title) VALUES (?)", [i.to_s])
      db.execute(insert, [JSON.generate({ n: i }), "k#{i}"])
    end
  end
when "rollback"
  db.transaction
  db.execute(insert, ["{}", "never"])
  db.rollback
when "bad" then db.execute(insert, ["no JSON", "bad"])
when "ignore" then db.execute(insert.sub("INSERT", "INSERT OR IGNORE"), ["no JSON", "bad"])
when "upsert" then db.execute("#{insert} ON CONFLICT (key) DO UPDATE SET data = excluded.data", ['{"n":"new"}', "k0"])
when "update" then db.execute("UPDATE outbox SET tenant = 'acme'")
when "empty" then db.execute_batch("BEGIN; DELETE FROM outbox; DELETE FROM sqlite_sequence WHERE name = 'outbox'; COMMIT;")
else exit 64
end
db.close
