// A socket that connects again, and says in the page whether it is connected.

const PAUSE = 2000; // ms before the next try
const lines = []; // of this page, of which each must be open before it is said

/** `hear` gets the text of each message. The socket of the result is another one after each connection. */
export function connect(path, hear) {
  const place = document.querySelector("[data-doc=connection]");
  const line = { send: (text) => line.ws.readyState === WebSocket.OPEN && line.ws.send(text) };
  const show = (state, text) => {
    place.dataset.state = state;
    place.textContent = text;
  };
  const open = () => {
    if (!line.ws) show("opening", "connecting to");
    line.ws = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${path}`);
    line.ws.onopen = () => lines.every(({ ws }) => ws.readyState === WebSocket.OPEN) && show("open", "connected to");
    line.ws.onmessage = (event) => hear(event.data);
    line.ws.onclose = () => {
      show("lost", "not connected to");
      setTimeout(open, PAUSE);
    };
  };
  lines.push(line);
  open();
  return line;
}

/** Put a line on top of those that were heard; the last `most` are kept. */
export function note(list, text, most = 20) {
  list.textContent = [text, ...list.textContent.split("\n").filter(Boolean)].slice(0, most).join("\n");
}
