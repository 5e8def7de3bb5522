// Runs the example on deliveries that are signed here: node run.mjs example-wasm.wasm
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { WASI } from "node:wasi";

const SECRET = "whsec_test";

const sign = (body) => createHmac("sha256", SECRET).update(body).digest("hex");
const confirmed = (at) =>
  JSON.stringify({
    event: "auth.confirmed",
    session_token: "sess_1",
    telegram_id: "7123456789",
    telegram_name: "Ada",
    confirmed_at: at,
  });

const fresh = confirmed(Date.now());
const stale = confirmed(Date.now() - 25 * 60 * 60 * 1000);
const deliveries = [
  `${sign(fresh)} ${fresh}`,
  `${sign(stale)} ${fresh}`,
  `${sign(stale)} ${stale}`,
  "unsigned",
];

const folder = mkdtempSync(join(tmpdir(), "example-wasm-"));
try {
  const input = join(folder, "deliveries");
  const output = join(folder, "output");
  writeFileSync(input, deliveries.join("\n") + "\n");
  const [stdin, stdout] = [openSync(input), openSync(output, "w")];
  const wasi = new WASI({
    version: "preview1",
    env: { BONDIFY_WEBHOOK_SECRET: SECRET },
    stdin,
    stdout,
  });
  const module = await WebAssembly.compile(readFileSync(process.argv[2]));
  const status = wasi.start(await WebAssembly.instantiate(module, wasi.getImportObject()));
  [stdin, stdout].forEach(closeSync);

  const said = readFileSync(output, "utf8");
  process.stdout.write(said);
  assert.equal(status, 0);
  assert.deepEqual(said.trimEnd().split("\n"), [
    "user 7123456789 logged in",
    "refused: the signature is not valid for this body",
    "refused: the event is outside the tolerance",
    "refused: there is no signature",
  ]);
} finally {
  rmSync(folder, { recursive: true });
}
