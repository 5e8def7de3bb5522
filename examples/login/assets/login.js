// The server says when the login has ended. Should the connection break, the browser opens
// it again by itself; but not if the server knows nothing of the login any more.
const events = new EventSource("/login/events");
events.addEventListener("ended", (ended) => {
  events.close();
  location.assign(ended.data);
});
events.addEventListener("error", () => {
  if (events.readyState === EventSource.CLOSED) location.assign("/login/done");
});
