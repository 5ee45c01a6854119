// knex over better-sqlite3, with its own ALTER TABLE for the rebuild.
const [file, action, n] = process.argv.slice(2);
const knex = require("knex")({ client: "better-sqlite3", connection: { filename: file }, useNullAsDefault: true });
const actions = {
  async commit() {
    for (let i = 0; i < Number(n); i++) {
      await knex.transaction(async (t) => {
        await t("story").insert({ title: String(i) });
        await t("outbox").insert({ event: "e", data: JSON.stringify({ n: i }), key: `k${i}` });
      });
    }
  },
  async rollback() {
    await knex.transaction(async (t) => {
      await t("outbox").insert({ event: "never", data: "{}" });
      throw new RangeError();
    }).catch((error) => { if (!(error instanceof RangeError)) throw error; });
  },
  async bad() { await knex("outbox").insert({ event: "e", data: "no JSON" }); },
  async ignore() { await knex("outbox").insert({ event: "e", data: "no JSON", key: "bad" }).onConflict().ignore(); },
  async upsert() { await knex("outbox").insert({ event: "e", data: '{"n":"new"}', key: "k0" }).onConflict("key").merge(["data"]); },
  async update() { await knex("outbox").update({ tenant: "acme" }); },
  async empty() { await knex("outbox").delete(); await knex("sqlite_sequence").where({ name: "outbox" }).delete(); },
  async rebuild() { await knex.schema.alterTable("outbox", (t) => t.setNullable("tenant")); await knex.schema.alterTable("outbox", (t) => t.dropNullable("event")); },
};
actions[action]().finally(() => knex.destroy());
