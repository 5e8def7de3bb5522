// @ts-check

/**
 * The state of a login, as the server has it.
 * @typedef {{state: "start" | "waiting" | "confirmed" | "cancelled" | "expired" | "used" | "unavailable",
 *   deeplink?: string, qr_code?: string, expires_in?: number, name?: string, proof?: string}} Login
 * @typedef {{id: string, name: string, username: string | null}} User
 */

const main = /** @type {HTMLElement} */ (document.querySelector("main"));

/**
 * Creates an element. Text is never read as HTML.
 * @param {string} tag
 * @param {Record<string, unknown>} properties
 * @param {(Node | string)[]} children
 */
function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/**
 * @param {string} method
 * @returns {Promise<Login>}
 */
async function login(method) {
  const response = await fetch("/login", { method, headers: { accept: "application/json" } });
  return response.json();
}

async function start() {
  const me = await fetch("/me");
  if (me.ok) welcome(await me.json());
  else show(await login("GET"));
}

/** @param {Login} login */
function show({ state, deeplink = "", qr_code = "", proof = "" }) {
  switch (state) {
    case "waiting":
      main.replaceChildren(
        element("h1", {}, "Confirm in Telegram"),
        element("a", { className: "primary", href: deeplink, target: "_blank", rel: "noopener" }, "Open Telegram"),
        element("img", { alt: "QR code of the same link", src: `data:image/svg+xml,${encodeURIComponent(qr_code)}` }),
        element("p", {}, "Waiting for you to confirm …"),
      );
      return wait();
    case "confirmed":
      return finish(proof);
    default:
      main.replaceChildren(
        element("h1", {}, titles[state]),
        element("button", { className: "primary", onclick: async () => show(await login("POST")) }, "Sign in with Telegram"),
      );
  }
}

const titles = {
  start: "Welcome",
  cancelled: "You cancelled the login",
  expired: "The login has expired",
  used: "This login is finished",
  unavailable: "Signing in is not possible right now",
};

function wait() {
  const events = new EventSource("/login/events");
  events.addEventListener("state", (event) => {
    events.close();
    show(JSON.parse(event.data));
  });
  // The browser opens a lost connection again by itself, but not one that was refused.
  events.addEventListener("error", () => {
    if (events.readyState === EventSource.CLOSED) setTimeout(start, 5000);
  });
}

/** @param {string} proof */
async function finish(proof) {
  const response = await fetch("/login/finish", {
    method: "POST",
    headers: { accept: "application/json" },
    body: new URLSearchParams({ proof }),
  });
  if (response.ok) welcome(await response.json());
  else show(await response.json());
}

/** @param {User} user */
function welcome(user) {
  const signOut = async () => {
    await fetch("/me", { method: "DELETE" });
    await start();
  };
  main.replaceChildren(
    element("h1", {}, "Welcome, ", element("bdi", {}, user.name)),
    element("p", {}, `Telegram id ${user.id}`),
    element("button", { onclick: signOut }, "Sign out"),
  );
}

start();
