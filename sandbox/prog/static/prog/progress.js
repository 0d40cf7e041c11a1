// The page of the document: a job that is started, watched and stopped; and one that would take an hour.

import { connect } from "../documents/socket.js";

function attach(card, path) {
  const value = card.querySelector(".doc-percent");
  const bar = card.querySelector("progress");
  const said = card.querySelector("[data-part=said]");
  const socket = connect(path, (text) => {
    const message = JSON.parse(text);
    if (message.progress !== undefined) {
      card.querySelector("[data-part=page]").hidden = false;
      value.textContent = `${message.progress}%`;
      bar.value = message.progress;
      value.classList.toggle("complete", message.complete === true);
    }
    if (message.error) said.textContent = message.error;
    else if (message.stopped) said.textContent = "Stopped.";
    else if (message.complete) said.textContent = "Complete.";
    else if (message.progress !== undefined) said.textContent = "It works.";
  });
  const ask = (action) => () => socket.send(JSON.stringify({ action }));
  card.querySelector("[data-part=start]").onclick = ask("start");
  card.querySelector("[data-part=stop]").onclick = ask("stop");
}

for (const card of document.querySelectorAll("[data-socket]")) attach(card, card.dataset.socket);
