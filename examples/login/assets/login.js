// The server says when the login has ended. Should the connection break, the browser opens
// it again by itself.
const events = new EventSource("/login/events");
events.addEventListener("ended", (ended) => {
  events.close();
  location.assign(ended.data);
});
