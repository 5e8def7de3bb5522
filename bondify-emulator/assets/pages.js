// Updates an open page when the emulator's state changes. Every form and every link works without this
// script.
"use strict";

const $ = (id) => document.getElementById(id);
const all = (selector, part = document) => [...part.querySelectorAll(selector)];
const opened = () => new URLSearchParams(location.search).get("delivery");

// Shows times in the reader's time zone, and counts down to times in the future.

const clock = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
const day = { month: "short", day: "numeric" };
const exact = { ...clock, ...day, year: "numeric", fractionalSecondDigits: 3, timeZoneName: "short" };
const [short, title] = [{ ...day, ...clock }, exact]
  .map((options) => new Intl.DateTimeFormat(undefined, options));

function localise(part) {
  for (const time of all("time", part)) {
    const at = new Date(time.dateTime);
    time.title = title.format(at);
    time.textContent = short.format(at);
  }
  for (const timer of all("[data-left]", part)) timer.end = Date.now() + Number(timer.dataset.left);
}

function tick() {
  for (const timer of all("[data-left]")) {
    const left = Math.max(0, Math.ceil((timer.end - Date.now()) / 1000));
    timer.textContent = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
    if (left > 0) continue;
    delete timer.dataset.left;
    "feed" in document.body.dataset ? connect() : location.reload();
  }
}

// Loads the live parts of the page. A part replaces the element with its id, if it differs.

const link = (state, text) => Object.assign($("link"), { textContent: text }).dataset.state = state;

let [view, shown, isLoading, isOutdated] = [0, "", false, false];
async function load() {
  isOutdated = true;
  if (isLoading) return;
  isLoading = true;
  while (isOutdated) {
    isOutdated = false;
    const loaded = view;
    try {
      const answer = await fetch(`/inspector/feed${location.search}`);
      const html = await answer.text();
      if (!answer.ok) throw answer;
      if (loaded !== view) continue;
      put(html);
      shown = answer.headers.get("next-change");
      link("on", "live");
    } catch {
      link("off", "reconnecting");
      setTimeout(load, 1000);
    }
  }
  isLoading = false;
}

// Loads the page anew, for example after the address has changed.
function connect() {
  [view, shown] = [view + 1, ""];
  load();
}

// One page listens for changes and tells the others, because a browser limits its connections to a host.

const lost = "lost";
function hear(change) {
  if (change === lost) link("off", "reconnecting");
  else if (change === shown) link("on", "live");
  else load();
}

function listen(pages) {
  const source = new EventSource("/inspector/changes");
  const tell = (change) => {
    pages.postMessage(change);
    hear(change);
  };
  source.onmessage = ({ data }) => tell(data);
  source.onerror = () => {
    tell(lost);
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, 2000, pages);
  };
}

function follow() {
  // Locks need https or an address of this machine. Without locks, every page polls.
  if (!navigator.locks) return setInterval(load, 1000);
  const pages = new BroadcastChannel("changes");
  pages.onmessage = ({ data }) => hear(data);
  navigator.locks.request("changes", () => new Promise(() => listen(pages)));
}

// The HTML of parts and rows as it was loaded.
const sources = new WeakMap();

const isEdited = (input) => input.value !== input.defaultValue;
const texts = "input:not([type=checkbox], [type=radio]), textarea";

let landing;
function put(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  const focused = document.activeElement.id;
  for (const part of [...template.content.children]) {
    const [old, rows] = [$(part.id), all(".rows > [id]", part)];
    if (!old || sources.get(old) === part.outerHTML || all(texts, old).some(isEdited)) continue;
    for (const loaded of [part, ...rows]) sources.set(loaded, loaded.outerHTML);
    localise(part);
    rows.reverse().forEach(keep); // the newest is said last
    replace(old, part);
  }
  const target = $(landing ?? focused);
  if (target !== document.activeElement) target?.focus({ preventScroll: !landing });
  landing = undefined;
}

// Keeps a row that is shown already, and marks a new one.
function keep(row) {
  const old = $(row.id);
  if (old && sources.get(old) === sources.get(row)) return row.replaceWith(old);
  if (!shown || old?.dataset.say === row.dataset.say) return;
  $("said").textContent = row.dataset.say;
  if (!old) row.classList.add("fresh");
}

// Replaces a part, but keeps what is open or selected.
function replace(old, part) {
  if (old.dataset.delivery === part.dataset.delivery) {
    for (const { id, open, checked } of all("details[id], [type=radio][id]", old)) {
      const twin = part.querySelector(`#${CSS.escape(id)}`);
      if (twin) Object.assign(twin, { open, checked });
    }
  }
  old.replaceWith(part);
}

// Reactions to input.

function go(link) {
  const closing = opened();
  history.pushState(null, "", link.href);
  landing = opened() ? "detail-title" : `open-${closing}`;
  connect();
}

let filtering;
function filter(form) {
  const query = new URLSearchParams([...new FormData(form)].filter(([, value]) => value));
  if (opened()) query.set("delivery", opened());
  history.replaceState(null, "", `/?${query}`);
  connect();
}

// Submits a form. A refused form keeps its input.
async function send(form, submitter) {
  const body = new URLSearchParams(new FormData(form, submitter));
  const { follow, swap, live } = form.dataset;
  try {
    const redirect = follow === undefined ? "manual" : "follow";
    const answer = await fetch(form.action, { method: "POST", body, redirect });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const refusal = page.getElementById("refusal");
    if (refusal) return toast(refusal.textContent);
    for (const input of all("input, textarea", form)) input.defaultValue = input.value;
    if (swap && answer.ok) return show(page.getElementById(swap));
    toast(live);
    if (follow === undefined) return;
    if (!opened() && !new URL(answer.url).searchParams.has("delivery")) return location.assign(answer.url);
    history.pushState(null, "", answer.url);
    landing = "detail-title";
    connect();
  } catch {
    toast("The emulator does not answer.");
  }
}

// Shows a part that stays until the live part changes.
function show(part) {
  const old = $(part.id);
  sources.set(part, sources.get(old));
  old.replaceWith(part);
}

// Copies a text, a part of the open delivery exactly as it was sent, or the exports.
async function copy({ dataset }) {
  const text = dataset.copy ?? (dataset.reveal ? await exports(dataset.reveal) : await part(dataset.copyFrom));
  if (navigator.clipboard) await navigator.clipboard.writeText(text);
  else copyBySelection(text);
  toast("Copied");
}

// The exports with the secret, which the page does not have.
async function exports(reveal) {
  const answer = await fetch(reveal, { method: "POST" });
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const secret = page.getElementById("whole-secret").textContent;
  return $("exports").textContent.replace($("preview").textContent, () => secret);
}

async function part(name) {
  const answer = await fetch(`/emulator/deliveries/${opened()}`);
  const { url, body, signature } = await answer.json();
  if (name === "body") return body;
  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  const headers = ["content-type: application/json", `x-bondify-signature: ${signature}`];
  return ["curl", "-sS", quoted(url), ...headers.flatMap((header) => ["-H", quoted(header)]),
    "--data-binary", quoted(body)].join(" ");
}

// The clipboard API needs a secure context; this does not.
function copyBySelection(text) {
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

let toasting;
function toast(text) {
  $("toast").textContent = text;
  clearTimeout(toasting);
  toasting = setTimeout(toast, 5000, "");
}

function move(by) {
  const links = all("#deliveries a");
  const from = links.includes(document.activeElement) ? document.activeElement : $(`open-${opened()}`);
  links[Math.max(0, Math.min(links.length - 1, links.indexOf(from) + by))]?.focus();
}

const keys = {
  "/": () => $("text")?.focus(),
  j: () => move(1),
  k: () => move(-1),
  r: () => $("resend")?.click(),
  Escape: () => $("close")?.click(),
  "?": () => $("keys")?.toggleAttribute("open"),
};

function press(event) {
  const { target } = event;
  const arrows = target.closest("#deliveries") ? { ArrowDown: keys.j, ArrowUp: keys.k } : {};
  const act = { ...keys, ...arrows }[event.key];
  if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
  if (target.matches("input, select, textarea")) return event.key === "Escape" && target.blur();
  event.preventDefault();
  act();
}

function edit({ type, target: { form } }) {
  if (type === "change" && form && "auto" in form.dataset) form.requestSubmit();
  if (type === "change" && form?.id === "project-switch") form.submit();
  if (form?.id !== "filter") return;
  clearTimeout(filtering);
  filtering = setTimeout(filter, 150, form);
}

function click(event) {
  const button = event.target.closest("button.copy");
  if (button) return copy(button);
  const link = event.target.closest("a[data-go]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  go(link);
}

function submit(event) {
  const form = event.target;
  if (form.id !== "filter" && !("live" in form.dataset)) return;
  event.preventDefault();
  form.id === "filter" ? filter(form) : send(form, event.submitter);
}

localise(document);
setInterval(tick, 1000);
if ("feed" in document.body.dataset) {
  connect();
  follow();
  const listeners = { click, submit, input: edit, change: edit, keydown: press, popstate: connect };
  for (const [type, listener] of Object.entries(listeners)) addEventListener(type, listener);
}
