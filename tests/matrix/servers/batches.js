// Fastify with a schema for the array: one event that does not fit it, and the whole request is a 400.
const { createHmac, timingSafeEqual } = require("crypto");
const { appendFileSync } = require("fs");
const [port] = process.argv.slice(2).map(Number);
const server = require("fastify")();
server.addContentTypeParser("application/json", { parseAs: "buffer" }, (request, body, done) => {
  const own = Buffer.from("sha256=" + createHmac("sha256", "a-secret-that-both-know").update(body).digest("hex"));
  const theirs = Buffer.from(request.headers["x-webhook-signature"] ?? "");
  if (own.length !== theirs.length || !timingSafeEqual(own, theirs)) {
    return done(Object.assign(new Error("wrong signature"), { statusCode: 500 }));
  }
  done(null, JSON.parse(body));
});
const event = {
  type: "object",
  required: ["id", "data"],
  properties: { data: { type: "object", required: ["n"], not: { required: ["bad"] } } },
};
server.post("/many", { schema: { body: { type: "array", items: event } } }, async (request) => {
  appendFileSync(process.env.OUT, request.body.map((one) => one.id + "\n").join(""));
  return {};
});
server.listen({ port, host: "127.0.0.1" });
