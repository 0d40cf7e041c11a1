// The page of the document: what is sent, and what comes back.

import { connect, note } from "../documents/socket.js";

const form = document.querySelector("[data-part=say]");
const heard = document.querySelector("[data-part=heard]");
const socket = connect("/chat/", (text) => note(heard, text));

form.onsubmit = (event) => {
  event.preventDefault();
  const path = form.elements.path.value;
  const text = form.elements.text.value;
  if (path === "/chat/") {
    socket.send(text);
    return;
  }
  const other = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${path}`);
  other.onopen = () => other.send(text);
  other.onmessage = (event) => {
    note(heard, event.data);
    other.close();
  };
  other.onclose = ({ code }) => code === 4404 && note(heard, `${path} was refused: ${code}`);
};
