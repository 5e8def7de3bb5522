// Keeps a page as the emulator has it. Every form and every link works without.
"use strict";

const $ = (id) => document.getElementById(id);
const all = (selector, part = document) => [...part.querySelectorAll(selector)];
const opened = () => new URLSearchParams(location.search).get("delivery");

// Times are in the reader's zone, and what is ahead is counted down.

const clock = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
const day = { month: "short", day: "numeric" };
const exact = { ...clock, ...day, year: "numeric", fractionalSecondDigits: 3, timeZoneName: "short" };
const [today, earlier, title] = [clock, { ...day, ...clock }, exact]
  .map((options) => new Intl.DateTimeFormat(undefined, options));

function localise(part) {
  for (const time of all("time", part)) {
    const at = new Date(time.dateTime);
    const isToday = at.toDateString() === new Date().toDateString();
    time.title = title.format(at);
    time.textContent = (isToday ? today : earlier).format(at);
  }
  for (const timer of all("[data-left]", part)) timer.end = Date.now() + Number(timer.dataset.left);
}

function tick() {
  for (const timer of all("[data-left]")) {
    const left = Math.max(0, Math.ceil((timer.end - Date.now()) / 1000));
    timer.textContent = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
    if (left > 0) continue;
    delete timer.dataset.left;
    source ? connect() : location.reload();
  }
}

// The emulator sends parts of the page that the address names, each for the one of its id.

let source;
function connect() {
  source?.close();
  const feed = source = new EventSource(`/inspector/feed${location.search}`);
  const link = (state, text) => Object.assign($("link"), { textContent: text }).dataset.state = state;
  feed.onopen = () => link("on", "live");
  feed.onmessage = ({ data }) => put(data);
  feed.onerror = () => {
    link("off", "reconnecting");
    if (feed === source && feed.readyState === EventSource.CLOSED) setTimeout(connect, 2000);
  };
}

let landing;
function put(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  for (const part of [...template.content.children]) {
    localise(part);
    const [old, list] = [$(part.id), $(part.dataset.into)];
    if (part.dataset.say) $("said").textContent = part.dataset.say;
    if ("gone" in part.dataset) old?.remove();
    else if (old) replace(old, part);
    else if (list) insert(list, part);
  }
  if (landing) $(landing)?.focus();
  landing = undefined;
}

function insert(list, row) {
  row.classList.add("fresh");
  list.prepend(row);
  while (list.children.length > list.dataset.keep) list.lastElementChild.remove();
}

// What somebody is about to change, has focused, opened or chosen, stays so.
function replace(old, part) {
  const isEdited = (input) => input.value !== input.defaultValue;
  if (all("input:not([type=checkbox], [type=radio])", old).some(isEdited)) return;
  const focused = old.contains(document.activeElement) && document.activeElement.id;
  if (old.dataset.delivery === part.dataset.delivery) {
    for (const { id, open, checked } of all("details[id], [type=radio][id]", old)) {
      const twin = part.querySelector(`#${CSS.escape(id)}`);
      if (twin) Object.assign(twin, { open, checked });
    }
  }
  old.replaceWith(part);
  if (focused) $(focused)?.focus({ preventScroll: true });
}

// What people do.

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

async function send(form, submitter) {
  const body = new URLSearchParams(new FormData(form, submitter));
  for (const input of all("input", form)) input.defaultValue = input.value;
  try {
    const answer = await fetch(form.action, { method: "POST", body, redirect: "manual" });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (answer.ok) put(page.getElementById(form.dataset.swap).outerHTML);
    else toast(page.getElementById("refusal")?.textContent ?? form.dataset.live);
  } catch {
    toast("The emulator does not answer.");
  }
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
  "?": () => $("keys").toggleAttribute("open"),
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
  if (form?.id !== "filter") return;
  clearTimeout(filtering);
  filtering = setTimeout(filter, 150, form);
}

function click(event) {
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
  const listeners = { click, submit, input: edit, change: edit, keydown: press, popstate: connect };
  for (const [type, listener] of Object.entries(listeners)) addEventListener(type, listener);
}
