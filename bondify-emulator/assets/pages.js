// Keeps a page as the emulator has it. Every form and every link works without.
"use strict";

const $ = (id) => document.getElementById(id);
const isLive = "feed" in document.body.dataset;
const opened = () => new URLSearchParams(location.search).get("delivery");

function say(text) {
  $("said").textContent = text;
}

let toasting;
function toast(text, isBad = false) {
  $("toast").textContent = text;
  $("toast").classList.toggle("bad", isBad);
  clearTimeout(toasting);
  toasting = setTimeout(toast, 5000, "");
}

// Times, in the reader's zone; and how long it is until then.

const time = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
const formats = {
  today: new Intl.DateTimeFormat(undefined, time),
  earlier: new Intl.DateTimeFormat(undefined, { ...time, month: "short", day: "numeric" }),
  exact: new Intl.DateTimeFormat(undefined, { ...time, month: "short", day: "numeric",
    year: "numeric", fractionalSecondDigits: 3, timeZoneName: "short" }),
};

function localise(part) {
  const today = new Date().toDateString();
  for (const element of part.querySelectorAll("time")) {
    const at = new Date(element.dateTime);
    element.title = formats.exact.format(at);
    element.textContent = formats[at.toDateString() === today ? "today" : "earlier"].format(at);
  }
  for (const timer of part.querySelectorAll("[data-left]")) {
    timer.end = Date.now() + Number(timer.dataset.left);
  }
}

function tick() {
  let isOver = false;
  for (const timer of document.querySelectorAll("[data-left]")) {
    const left = Math.max(0, Math.ceil((timer.end - Date.now()) / 1000));
    timer.textContent = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
    if (left === 0) {
      isOver = true;
      delete timer.dataset.left;
    }
  }
  if (isOver) isLive ? connect() : location.reload();
}

// Parts of the page that the emulator sends, each for the one with its id.

function put(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  const parts = [...template.content.children];
  for (const part of parts) {
    localise(part);
    const old = $(part.id);
    if ("gone" in part.dataset) old?.remove();
    else if (old) replace(old, part);
    else insert($(part.dataset.into), part);
    if (part.dataset.say) say(part.dataset.say);
  }
  if (parts.some((part) => part.id === opened() || part.id === "deliveries-section")) show();
}

function insert(list, row) {
  if (!list) return;
  row.classList.add("fresh");
  list.prepend(row);
  while (list.children.length > list.dataset.keep) list.lastElementChild.remove();
}

// What somebody is about to change, has focused, opened or chosen, stays so.
function replace(old, part) {
  const typed = [...old.querySelectorAll("input:not([type=checkbox], [type=radio])")];
  if (typed.some((input) => input.value !== input.defaultValue)) return;
  const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
  const twin = (element) => part.querySelector(`#${CSS.escape(element.id)}`);
  for (const open of old.querySelectorAll("details[id]")) twin(open)?.toggleAttribute("open", open.open);
  for (const chosen of old.querySelectorAll("[type=radio][id]:checked")) {
    if (twin(chosen)) twin(chosen).checked = true;
  }
  old.replaceWith(part);
  if (focused) $(focused)?.focus({ preventScroll: true });
}

let source;
function connect() {
  source?.close();
  source = new EventSource(`/inspector/feed${location.search}`);
  const link = (state, text) => {
    $("link").dataset.state = state;
    $("link").textContent = text;
  };
  source.onopen = () => link("on", "live");
  source.onmessage = ({ data }) => put(data);
  source.onerror = ({ target }) => {
    link("off", "reconnecting");
    if (target === source && target.readyState === EventSource.CLOSED) setTimeout(connect, 2000);
  };
}

// The delivery that the address names.

async function show() {
  const id = opened();
  for (const link of document.querySelectorAll("#deliveries a")) {
    link.parentElement.id === id ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current");
  }
  if (!id) return $("detail").replaceChildren();
  const answer = await fetch(`/inspector/deliveries/${encodeURIComponent(id)}${location.search}`);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  if (id !== opened()) return;
  const detail = page.getElementById("detail") ?? document.createElement("article");
  if (!answer.ok) detail.append(page.getElementById("refusal"));
  detail.id = "detail";
  localise(detail);
  const isAnother = $("detail").dataset.delivery !== id;
  isAnother ? $("detail").replaceWith(detail) : replace($("detail"), detail);
  if (!isAnother) return;
  detail.parentElement.scrollTop = 0;
  const row = $(`open-${id}`);
  if (!row?.checkVisibility()) $("detail-title")?.focus();
}

function go(link) {
  const closing = opened();
  history.pushState(null, "", link.href);
  show().then(() => "close" in link.dataset && $(`open-${closing}`)?.focus());
}

// What people do.

async function send(form, submitter) {
  const body = new URLSearchParams(new FormData(form, submitter));
  for (const input of form.querySelectorAll("input")) input.defaultValue = input.value;
  try {
    const answer = await fetch(form.action, { method: "POST", body, redirect: "manual" });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (answer.type === "opaqueredirect") toast(form.dataset.live);
    else if (answer.ok) replace($(form.dataset.swap), page.getElementById(form.dataset.swap));
    else toast(page.getElementById("refusal").textContent, true);
  } catch {
    toast("The emulator does not answer.", true);
  }
}

let filtering;
function filter(form) {
  const query = new URLSearchParams(new FormData(form));
  for (const [name, value] of [...query]) if (!value) query.delete(name);
  if (opened()) query.set("delivery", opened());
  history.replaceState(null, "", `/?${query}`);
  connect();
}

function move(by) {
  const links = [...document.querySelectorAll("#deliveries a")];
  const current = links.findIndex((link) => link === document.activeElement || (link.ariaCurrent && !links.includes(document.activeElement)));
  links[Math.max(0, Math.min(links.length - 1, current + by))]?.focus();
}

const keys = {
  "/": () => $("text")?.focus(),
  j: () => move(1),
  ArrowDown: () => move(1),
  k: () => move(-1),
  ArrowUp: () => move(-1),
  r: () => $("resend")?.click(),
  Escape: () => $("close")?.click(),
  "?": () => $("keys").toggleAttribute("open"),
};

function press(event) {
  const { target, key } = event;
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (target.matches("input, select, textarea")) return key === "Escape" && target.blur();
  const isArrow = key.startsWith("Arrow");
  if (!(key in keys) || (isArrow && !target.closest("#deliveries, body:focus"))) return;
  event.preventDefault();
  keys[key]();
}

localise(document);
setInterval(tick, 1000);
if (isLive) {
  connect();
  addEventListener("popstate", show);
  addEventListener("keydown", press);
  addEventListener("click", (event) => {
    const link = event.target.closest("a[data-open], a[data-close]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    go(link);
  });
  addEventListener("submit", (event) => {
    const form = event.target;
    if (form.id === "filter") filter(form);
    else if (!("live" in form.dataset)) return;
    else send(form, event.submitter);
    event.preventDefault();
  });
  const edited = ({ type, target: { form } }) => {
    if (!form) return;
    if (type === "change" && "auto" in form.dataset) form.requestSubmit();
    if (form.id !== "filter") return;
    clearTimeout(filtering);
    filtering = setTimeout(filter, 150, form);
  };
  addEventListener("input", edited);
  addEventListener("change", edited);
}
