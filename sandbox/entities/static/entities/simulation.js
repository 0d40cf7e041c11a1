// The page of the document: its three commands as buttons, and what comes back.

import { connect } from "../documents/socket.js";
import { draw } from "./entities.js";

const part = (name) => document.querySelector(`[data-part=${name}]`);
const form = part("add");

function hear(text) {
  const message = JSON.parse(text);
  if (message.error) {
    part("error").textContent = message.error;
    return;
  }
  part("time").textContent = message.state.time;
  part("count").textContent = Object.keys(message.state.entities).length;
  part("heard").textContent = text;
  draw(part("canvas"), message.state);
}

const socket = connect("/ws/simulation/", hear);

function send(message) {
  part("error").textContent = "";
  socket.send(JSON.stringify(message));
}

part("start").onclick = () => send({ command: "start_simulation" });
part("stop").onclick = () => send({ command: "stop_simulation" });
form.onsubmit = (event) => {
  event.preventDefault();
  const number = (name) => form.elements[name].valueAsNumber;
  const entity_data = { position: [number("x"), number("y")], velocity: [number("dx"), number("dy")] };
  send({ command: "add_entity", entity_id: form.elements.entity_id.value, entity_data });
};
