
// The refresh is for browsers that do not run this script. The parser adds it to this element, where
// it has no effect once the element is out of the page.
document.getElementById("without-script")?.remove();

const main = document.querySelector("main");
const finish = document.getElementById("finish");

// The login is confirmed already: finish it.
if (finish?.elements.proof.value) finish.submit();

function decided({ state, proof }) {
  if (state !== "confirmed") return location.reload();
  finish.elements.proof.value = proof;
  finish.submit();
}

const note = document.querySelector("[data-lost]");
const waiting = note?.textContent;
function lost(isLost) {
  const text = isLost ? note?.dataset.lost : waiting;
  if (note && note.textContent !== text) note.textContent = text;
}

if (main.dataset.events) {
  const start = () => follow(location.href, main.dataset.events, decided, lost);
  let end = start();
  // The Back button shows the page as it was when it was left, maybe decided.
  addEventListener("pageshow", ({ persisted }) => {
    if (!persisted) return;
    end();
    end = start();
  });
}

// On a phone the link is enough: the code is for another device.
const phone = matchMedia("(pointer: coarse), (max-width: 30rem)");
const fold = () => document.querySelector("details.code")?.toggleAttribute("open", !phone.matches);
phone.addEventListener("change", fold);
fold();

const time = document.querySelector("time[data-seconds]");
if (time) {
  const end = Date.now() + Number(time.dataset.seconds) * 1000;
  const words = (number, unit) => new Intl.NumberFormat(document.documentElement.lang || undefined,
    { style: "unit", unit, unitDisplay: "long" }).format(number);
  const show = () => {
    const left = Math.max(0, Math.ceil((end - Date.now()) / 1000));
    time.textContent = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
    // A screen reader says minutes.
    time.setAttribute("aria-label", left < 60 ? words(left, "second") : words(Math.ceil(left / 60), "minute"));
  };
  show();
  setInterval(show, 1000);
}
