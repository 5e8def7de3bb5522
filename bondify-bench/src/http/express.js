// A server that handles deliveries like the official SDK's handler for Express. Prints its port.
const { createHmac, timingSafeEqual } = require("node:crypto");
const express = require("express");

const secret = process.argv[2];
const onConfirmed = async () => {};
const onCancelled = async () => {};

function verify(raw, signature) {
  const expected = createHmac("sha256", secret).update(raw).digest();
  const given = Buffer.from(signature ?? "", "hex");
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) {
    throw new Error("the signature is wrong");
  }
  return JSON.parse(raw.toString("utf8"));
}

const app = express();
app.post("/webhooks/bondify", express.raw({ type: "application/json" }), async (request, response) => {
  try {
    const event = verify(request.body, request.get("x-bondify-signature"));
    await (event.event === "auth.confirmed" ? onConfirmed : onCancelled)(event);
    response.status(200).json({ ok: true });
  } catch (error) {
    response.status(400).json({ error: error.message });
  }
});
const server = app.listen(0, "127.0.0.1", () => console.log(server.address().port));
