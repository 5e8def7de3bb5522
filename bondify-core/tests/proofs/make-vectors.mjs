// Makes vectors.json with an implementation of JWT that shares nothing with ours, the one
// that Node servers use:
//
//     npm install --no-save jsonwebtoken@9 && node make-vectors.mjs > vectors.json
//
// Each vector is a token, the time at which it is verified (Unix seconds) and the expected result:
// "ok", or the code that is answered.

import { createHmac, generateKeyPairSync } from "node:crypto";
import jwt from "jsonwebtoken";

const SECRET = "whsec_5f2b0c9d8e7a6b5c4d3e2f1a";
const ISSUED = 1_700_000_000;
const claims = {
  telegram_id: "7123456789",
  telegram_name: "Ada Lovelace",
  telegram_username: "ada",
  telegram_phone: "+15550001234",
  project_id: "proj_vectors",
  session_token: "sess_vectors",
  confirmed_at: ISSUED * 1000 - 123,
  iat: ISSUED,
  exp: ISSUED + 300,
};

const without = (...names) =>
  Object.fromEntries(Object.entries(claims).filter(([name]) => !names.includes(name)));
const sign = (payload, options = {}, key = SECRET) =>
  jwt.sign(payload, key, { algorithm: "HS256", noTimestamp: !payload.iat, ...options });
const cut = (token) => token.split(".").slice(0, 2).join(".");
const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
const good = sign(claims);

const vectors = [];
const add = (name, token, expected, now = ISSUED + 10) =>
  vectors.push({ name, token, now, expected });

add("everything filled in", good, "ok");
add("username and phone null", sign({ ...claims, telegram_username: null, telegram_phone: null }), "ok");
add("username and phone absent", sign(without("telegram_username", "telegram_phone")), "ok");
add("no confirmed_at", sign(without("confirmed_at")), "ok");
add("any Unicode in the name", sign({ ...claims, telegram_name: "مُحَمَّد 🦀 \"İlker\"\u0000" }), "ok");
add("half an emoji in the name", sign({ ...claims, telegram_name: "Ada \ud83d" }), "ok");
add("claims unheard of", sign({ ...claims, plan: { pro: [1, null] } }), "ok");
add("a key id in the header", sign(claims, { keyid: "1" }), "ok");
add("no type in the header", sign(claims, { header: { typ: undefined } }), "ok");
add("the last second", good, "ok", ISSUED + 300 + 29);
add("a second too late", good, "TOKEN_EXPIRED", ISSUED + 300 + 30);
add("issued a little ahead", good, "ok", ISSUED - 30);
add("issued in the future", good, "INVALID_TOKEN", ISSUED - 31);
add("no exp", sign(without("exp")), "MISSING_FIELDS");
add("no iat", sign(without("iat")), "MISSING_FIELDS");
for (const name of ["telegram_id", "telegram_name", "project_id", "session_token"]) {
  add(`no ${name}`, sign(without(name)), "MISSING_FIELDS");
  add(`empty ${name}`, sign({ ...claims, [name]: "" }), "MISSING_FIELDS");
  add(`null ${name}`, sign({ ...claims, [name]: null }), "MISSING_FIELDS");
  add(`${name} a number`, sign({ ...claims, [name]: 1 }), name === "telegram_id" ? "ok" : "MISSING_FIELDS");
}
add("another project", sign({ ...claims, project_id: "proj_other" }), "WRONG_PROJECT");
add("another secret", sign(claims, {}, "whsec_another"), "INVALID_SIGNATURE");
add("the secret without its prefix", sign(claims, {}, SECRET.slice(6)), "INVALID_SIGNATURE");
add("HS384", sign(claims, { algorithm: "HS384" }), "INVALID_TOKEN");
add("HS512", sign(claims, { algorithm: "HS512" }), "INVALID_TOKEN");
add("RS256", sign(claims, { algorithm: "RS256" }, rsa), "INVALID_TOKEN");
add("none", sign(claims, { algorithm: "none" }, ""), "INVALID_TOKEN");
add("a signature of another token", `${cut(sign({ ...claims, telegram_id: "1" }))}.${good.split(".")[2]}`, "INVALID_SIGNATURE");
add("no signature", cut(good), "INVALID_TOKEN");
add("an empty signature", `${cut(good)}.`, "INVALID_TOKEN");
add("half a signature", good.slice(0, -20), "INVALID_TOKEN");
add("padding", `${good}=`, "INVALID_TOKEN");
add("whitespace", ` ${good}`, "INVALID_SIGNATURE");
add("a fourth part", `${good}.${good.split(".")[2]}`, "INVALID_SIGNATURE");
add("empty", "", "INVALID_TOKEN");
add("dots", "..", "INVALID_TOKEN");
add("a string for claims", jwt.sign("sess_vectors", SECRET, { algorithm: "HS256" }), "INVALID_TOKEN");

// Tokens that the library refuses to write, correctly signed by hand.
const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
const forge = (header, payload = part(claims)) => {
  const signed = `${part(header)}.${payload}`;
  return `${signed}.${createHmac("sha256", SECRET).update(signed).digest("base64url")}`;
};
for (const alg of ["none", "HS384", "HS512", "RS256", "ES256", "hs256", "", null]) {
  add(`HS256 that says ${alg}`, forge({ alg, typ: "JWT" }), "INVALID_TOKEN");
}
add("no alg", forge({ typ: "JWT" }), "INVALID_TOKEN");
add("an extension that must be understood", forge({ alg: "HS256", crit: ["exp"] }), "INVALID_TOKEN");
add("claims that are no JSON", forge({ alg: "HS256" }, Buffer.from("sess").toString("base64url")), "INVALID_TOKEN");
add("claims that are no object", forge({ alg: "HS256" }, part([claims])), "INVALID_TOKEN");
add("claims in ordinary base64", forge({ alg: "HS256" }, Buffer.from(JSON.stringify({ ...claims, telegram_name: "~~~???" })).toString("base64")), "INVALID_TOKEN");

console.log(JSON.stringify({ secret: SECRET, project: claims.project_id, claims, vectors }, null, 2));
