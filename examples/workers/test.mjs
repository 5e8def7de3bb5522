// The Worker in workerd. `scripts/places` builds it and runs this.
import assert from "node:assert/strict";
import { createHmac, randomUUID } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { request } from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";

const { Miniflare, Response } = createRequire(import.meta.url)("miniflare");

const SECRET = "whsec_test";
const build = join(import.meta.dirname, "build");
const storage = mkdtempSync(join(tmpdir(), "example-workers-"));

/** The users that the other Worker was called with, and how it answers. */
let users, answer;
let worker, url;

/** The modules of the Worker, the first of which is its entry. */
const modules = readdirSync(build)
  .filter((name) => /\.(js|wasm)$/.test(name))
  .sort((name) => (name === "index.js" ? -1 : 1))
  .map((name) => ({
    type: name.endsWith(".wasm") ? "CompiledWasm" : "ESModule",
    path: join(build, name),
  }));

/** An entry whose alarms go off at once. Its answers have the time for which the alarm was set. */
const early = {
  type: "ESModule",
  path: join(build, "early.js"),
  contents: `
    import { EventOnce } from "./index.js";
    export { default } from "./index.js";

    export class EarlyEventOnce extends EventOnce {
      constructor(state, env) {
        super(state, env);
        this.storage = state.storage;
      }

      async fetch(request) {
        const { body, status } = await super.fetch(request);
        const alarm = await this.storage.getAlarm();
        if (alarm > Date.now()) await this.storage.setAlarm(Date.now());
        return new Response(body, { status, headers: { alarm } });
      }
    }`,
};

const start = async (className = "EventOnce", entry = []) => {
  worker = new Miniflare({
    modules: [...entry, ...modules],
    modulesRoot: build,
    compatibilityDate: "2026-04-01",
    bindings: { BONDIFY_WEBHOOK_SECRET: SECRET },
    durableObjects: { EVENTS: { className, useSQLite: true } },
    durableObjectsPersist: storage,
    serviceBindings: {
      async USERS(request) {
        users.push(await request.json());
        return new Response(null, { status: await answer() });
      },
    },
  });
  url = await worker.ready;
};

before(() => start());
beforeEach(() => ([users, answer] = [[], () => 204]));
after(async () => {
  await worker.dispose();
  rmSync(storage, { recursive: true });
});

const sign = (body) => createHmac("sha256", SECRET).update(body).digest("hex");
const confirmed = (at = Date.now()) =>
  JSON.stringify({
    event: "auth.confirmed",
    session_token: `sess_${randomUUID()}`,
    telegram_id: "7123456789",
    telegram_name: "Ada",
    confirmed_at: at,
  });
const deliver = async (body, headers = { "x-bondify-signature": sign(body) }) => {
  const response = await fetch(new URL("/webhooks/bondify", url), { method: "POST", body, headers });
  return [response.status, await response.text()];
};
const DUPLICATE = [200, '{"status":"duplicate"}'];

/** A handler that waits: its start, and what ends it. */
const held = () => {
  let end;
  const started = new Promise((start) => {
    answer = () => (start(), new Promise((resolve) => (end = resolve)));
  });
  return { started, end: (status) => end(status) };
};

test("an event is handled once", async () => {
  const body = confirmed();
  assert.deepEqual(await deliver(body), [204, ""]);
  assert.deepEqual(users, [{ telegram_id: "7123456789", name: "Ada" }]);
  assert.deepEqual(await deliver(body), DUPLICATE);
  assert.equal(users.length, 1);
});

test("of concurrent deliveries of an event one is handled", async () => {
  const handler = held();
  const body = confirmed();
  const first = deliver(body);
  await handler.started;
  const others = await Promise.all(Array.from({ length: 20 }, () => deliver(body)));
  assert.deepEqual([...new Set(others.map(([status]) => status))], [409]);
  handler.end(204);
  assert.equal((await first)[0], 204);
  assert.deepEqual(await deliver(body), DUPLICATE);
  assert.equal(users.length, 1);
});

test("of 300 events with two deliveries at once each is handled once", async () => {
  const events = Array.from({ length: 300 }, () => confirmed());
  const answers = await Promise.all([...events, ...events].map((body) => deliver(body)));
  assert.equal(answers.filter(([status]) => status === 204).length, 300);
  assert.ok(answers.every(([status]) => [200, 204, 409].includes(status)));
  assert.equal(users.length, 300);
});

test("a delivery that the secret did not sign is refused", async () => {
  const body = confirmed();
  assert.equal((await deliver(body, { "x-bondify-signature": "0".repeat(64) }))[0], 401);
  assert.equal((await deliver(body, {}))[0], 401);
  assert.equal((await deliver(confirmed(Date.now() - 25 * 60 * 60 * 1000)))[0], 401);
  assert.equal((await deliver("[]"))[0], 400);
  assert.equal((await fetch(url)).status, 404);
  assert.equal(users.length, 0);
});

test("an event whose handler failed is handled again", async () => {
  const body = confirmed();
  answer = () => 500;
  assert.equal((await deliver(body))[0], 500);
  answer = () => {
    throw new Error("users are unavailable");
  };
  assert.equal((await deliver(body))[0], 500);
  answer = () => 204;
  assert.equal((await deliver(body))[0], 204);
  assert.equal(users.length, 3);
});

test("a client that hangs up does not cancel the handler", async () => {
  const handler = held();
  const body = confirmed();
  const headers = { "x-bondify-signature": sign(body) };
  const client = request(new URL("/webhooks/bondify", url), { method: "POST", headers });
  client.on("error", () => {}).end(body);
  await handler.started;
  await new Promise((closed) => client.on("close", closed).destroy());
  assert.equal((await deliver(body))[0], 409);
  handler.end(204);
  let retry;
  do retry = await deliver(body);
  while (retry[0] === 409);
  assert.deepEqual(retry, DUPLICATE);
  assert.equal(users.length, 1);
});

test("a restart forgets what was running, and nothing that is done", async () => {
  const [done, running] = [confirmed(), confirmed()];
  assert.equal((await deliver(done))[0], 204);
  const handler = held();
  const cut = deliver(running).catch(() => {});
  await handler.started;
  await worker.dispose();
  await cut;
  await start();
  answer = () => 204;
  assert.deepEqual(await deliver(done), DUPLICATE);
  assert.equal((await deliver(running))[0], 204);
});

test("an event is forgotten when its delivery no longer verifies", { timeout: 60_000 }, async () => {
  await worker.dispose();
  await start("EarlyEventOnce", [early]);
  const body = confirmed();
  const headers = { "x-bondify-signature": sign(body) };
  const first = await fetch(new URL("/webhooks/bondify", url), { method: "POST", body, headers });
  assert.equal(first.status, 204);
  const days = (first.headers.get("alarm") - JSON.parse(body).confirmed_at) / (24 * 60 * 60 * 1000);
  assert.ok(1 < days && days < 1.01, `after ${days} days`);
  let retry;
  do retry = await deliver(body);
  while (retry[0] === 200);
  assert.deepEqual(retry, [204, ""]);
  assert.equal(users.length, 2);
});
