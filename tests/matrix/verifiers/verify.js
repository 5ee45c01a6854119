// Standard Webhooks in JavaScript: lines of secret, headers and body in, yes or no out.
"use strict";
const [, , folder, library] = process.argv;
const { Webhook } = require(`${folder}/node_modules/${library}`);
require("node:readline").createInterface({ input: process.stdin }).on("line", (line) => {
  const { secret, headers, body } = JSON.parse(line);
  try {
    new Webhook(secret).verify(body, headers);
    console.log("yes");
  } catch (error) {
    if (!/WebhookVerificationError/.test(error.name + error.constructor.name)) throw error;
    console.log("no");
  }
});
