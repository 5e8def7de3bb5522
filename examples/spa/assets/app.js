// @ts-check

/** @typedef {{id: string, name: string, username: string | null}} User */

const view = /** @type {HTMLElement} */ (document.getElementById("view"));
const note = /** @type {HTMLElement} */ (document.getElementById("note"));

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
 * A button that can be pressed once, as its action replaces it.
 * @param {string} label
 * @param {() => void} act
 */
function button(label, act) {
  const made = element("button", { className: "primary" }, label);
  made.addEventListener("click", () => {
    made.toggleAttribute("disabled", true);
    act();
  });
  return made;
}

/** @param {boolean} isLost */
function lost(isLost) {
  note.textContent = isLost ? "No connection. Trying again …" : "";
}

/**
 * Sends a request until the app answers, and returns the JSON of the answer. The answer of a proxy in
 * its place is no JSON, or an error without a state.
 * @param {string} method
 * @param {string} path
 * @param {Record<string, string>} [form]
 */
async function send(method, path, form) {
  for (;;) {
    const request = new AbortController();
    const timeout = setTimeout(() => request.abort(), 10000);
    try {
      const body = form && new URLSearchParams(form);
      const headers = { accept: "application/json" };
      const answer = await fetch(path, { method, body, headers, signal: request.signal });
      const json = await answer.json();
      if (answer.ok || json.state) {
        lost(false);
        return json;
      }
    } catch {
      // Nothing has answered.
    } finally {
      clearTimeout(timeout);
    }
    lost(true);
    await new Promise((resolve) => setTimeout(resolve, 3000));
  }
}

/**
 * Shows the user who is signed in, or else the login.
 * @param {Login} [login]
 */
async function start(login) {
  const user = await send("GET", "/me");
  if (user) welcome(user);
  else show(login ?? await send("GET", "/login"));
}

/** @param {Login} login */
function show({ state, id, deeplink = "", qr_code = "", proof = "", origin = "" }) {
  // Other tabs may have logins of their own.
  const query = id ? `?id=${id}` : "";
  switch (state) {
    case "waiting":
      view.replaceChildren(
        element("h1", {}, "Confirm in Telegram"),
        element("a", { className: "primary", href: deeplink, target: "_blank", rel: "noopener" }, "Open Telegram"),
        element("img", { alt: "QR code of the same link", src: `data:image/svg+xml,${encodeURIComponent(qr_code)}` }),
        element("p", {}, "Waiting for you to confirm …"),
      );
      return follow(`/login${query}`, `/login/events${query}`, decided, lost);
    case "confirmed":
      return finish(`/login/finish${query}`, proof);
    case "other_origin":
      return view.replaceChildren(
        element("h1", {}, "Signing in does not work at this address"),
        element("a", { href: origin }, origin),
      );
    default:
      view.replaceChildren(
        element("h1", {}, titles[state]),
        button("Sign in with Telegram", async () => show(await send("POST", "/login"))),
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

/**
 * Another tab may have signed the user in.
 * @param {Login} login
 */
function decided(login) {
  if (login.state === "confirmed") show(login);
  else start(login);
}

/**
 * @param {string} path
 * @param {string} proof
 */
async function finish(path, proof) {
  view.replaceChildren(element("h1", {}, "Signing you in …"));
  const answer = await send("POST", path, { proof });
  if (answer.state) start(answer);
  else welcome(answer);
}

/** @param {User} user */
function welcome(user) {
  const signOut = async () => {
    await send("DELETE", "/me");
    start();
  };
  view.replaceChildren(
    element("h1", {}, "Welcome, ", element("bdi", {}, user.name)),
    element("p", {}, `Telegram id ${user.id}`),
    button("Sign out", signOut),
  );
}

start();
