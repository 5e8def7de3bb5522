const main = document.querySelector("main");
const finish = document.getElementById("finish");

// The login is confirmed already: finish it.
if (finish?.elements.proof.value) finish.submit();

if (main.dataset.events) {
  const events = new EventSource(main.dataset.events);
  events.addEventListener("state", (event) => {
    events.close();
    const { state, proof } = JSON.parse(event.data);
    if (state === "confirmed") {
      finish.elements.proof.value = proof;
      finish.submit();
    } else {
      location.reload();
    }
  });
  // The browser reopens a lost connection, but not a connection that was refused.
  events.addEventListener("error", () => {
    if (events.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 5000);
  });
}

const time = document.querySelector("time[data-seconds]");
if (time) {
  const end = performance.now() + Number(time.dataset.seconds) * 1000;
  const show = () => {
    const left = Math.max(0, Math.ceil((end - performance.now()) / 1000));
    time.textContent = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
  };
  show();
  setInterval(show, 1000);
}
