// @ts-check

/**
 * The state of a login, as the server has it.
 * @typedef {{state: "start" | "waiting" | "confirmed" | "cancelled" | "expired" | "used" | "unavailable" |
 *   "other_origin", id?: string, origin?: string, deeplink?: string, qr_code?: string,
 *   expires_in?: number, name?: string, proof?: string}} Login
 */

/**
 * Follows a login until it is decided, on networks that drop connections without closing them.
 *
 * The event stream tells of the decision at once. While no heartbeat of the stream is heard, and when
 * the page wakes up, it asks for the state instead.
 * @param {string} page The URL that answers with the state.
 * @param {string} events The URL of the event stream.
 * @param {(login: Login) => void} decided Is called once, with the decision.
 * @param {(isLost: boolean) => void} lost Is called with `true` when the server does not answer, and
 *   with `false` when it does.
 * @returns {() => void} Ends the following.
 */
function follow(page, events, decided, lost) {
  const [pause, timeout] = [3000, 10000]; // milliseconds
  const end = new AbortController();
  const { signal } = end;

  /** @param {Login} login */
  function hear(login) {
    lost(false);
    if (login.state === "waiting") return;
    end.abort();
    decided(login);
  }

  /** @type {AbortController | undefined} */
  let request;
  let asked = 0;
  async function ask() {
    if (signal.aborted || (request && Date.now() < asked + timeout)) return;
    if (request) lost(true);
    request?.abort();
    const mine = (request = new AbortController());
    asked = Date.now();
    // An answer that is not JSON is the error page of a proxy.
    const login = await fetch(page, { headers: { accept: "application/json" }, signal: mine.signal })
      .then((answer) => (answer.ok ? answer.json() : undefined))
      .catch(() => undefined);
    if (signal.aborted || mine !== request) return;
    request = undefined;
    login ? hear(login) : lost(true);
  }

  /** @type {EventSource | undefined} */
  let stream;
  let [isHeard, deadline] = [false, 0];
  function listen() {
    stream?.close();
    const opened = (stream = new EventSource(events));
    [isHeard, deadline] = [false, Date.now() + 3 * timeout];
    opened.addEventListener("heartbeat", ({ data }) => {
      [isHeard, deadline] = [true, Date.now() + 2 * Number(data) + pause];
      lost(false);
    });
    opened.addEventListener("state", ({ data }) => hear(JSON.parse(data)));
    opened.addEventListener("error", () => {
      isHeard = false;
      // The browser opens a lost stream again, but not one that was refused.
      if (opened.readyState === EventSource.CLOSED) deadline = Date.now() + pause;
    });
  }

  const timer = setInterval(() => {
    if (stream && Date.now() > deadline) listen();
    // A request in flight may be lost, too.
    if ((request || !isHeard) && !document.hidden) ask();
  }, pause);
  function wake() {
    if (document.hidden) return;
    // The stream may have gone silent meanwhile, and this answer may be a second old.
    isHeard = false;
    ask();
  }
  for (const type of ["focus", "online", "pageshow"]) addEventListener(type, wake, { signal });
  document.addEventListener("visibilitychange", wake, { signal });
  signal.addEventListener("abort", () => {
    clearInterval(timer);
    request?.abort();
    stream?.close();
  });

  // One page of a browser listens, as a browser has few connections to a host. The others only ask.
  const listener = () => new Promise((release) => {
    if (signal.aborted) return release(undefined);
    signal.addEventListener("abort", release);
    listen();
  });
  navigator.locks?.request("bondify-login", { signal }, listener).catch(() => {});
  ask();
  return () => end.abort();
}
