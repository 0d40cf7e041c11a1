/** Entry of the pages: mounts live panels and settles what htmx leaves open. */

import { LiveSocket, newId } from "./socket.js";
import { Panel } from "./panel.js";
import { say } from "./words.js";

export { LiveSocket, Panel };

for (const root of document.querySelectorAll("[data-livesim-run]")) new Panel(root);
for (const card of document.querySelectorAll("[data-ls-parameters]:has(form, [data-param])")) import("./parameters.js").then(({ Parameters }) => new Parameters(card));
for (const root of document.querySelectorAll("[data-livesim-list]")) import("./list.js").then(({ RunList }) => new RunList(root));

const notice = document.querySelector('[data-ls="notice"]');

function warn(name, places) {
  if (!notice) return;
  notice.textContent = say(name, places);
  notice.hidden = false;
}

// Our own answers to bad input are fragments with a 4xx status: show them, whatever the host's htmx is set to.
document.body.addEventListener("htmx:beforeSwap", ({ detail }) => {
  if (notice) notice.hidden = true;
  if (!detail.xhr.getResponseHeader("Livesim-Fragment")) return;
  detail.shouldSwap = true;
  detail.isError = false;
});
document.body.addEventListener("htmx:sendError", ({ target }) => isPoll(target) || warn("unreachable"));
document.body.addEventListener("htmx:responseError", ({ detail, target }) => {
  if (isPoll(target)) return;
  const told = detail.xhr.getResponseHeader("Livesim-Code") === "db_down";
  warn(told ? "db_down" : "server_error", { status: detail.xhr.status });
});
document.body.addEventListener("htmx:beforeRequest", (event) => {
  if (document.hidden && isPoll(event.target)) event.preventDefault();
});

// A form's id makes a repeated submit harmless; what was answered, or has been changed, is another command.
document.body.addEventListener("htmx:afterRequest", ({ detail, target }) => detail.successful && renew(target.closest("form")));
document.body.addEventListener("input", ({ target }) => renew(target.form));

function renew(form) {
  const id = form?.elements?.livesim_id;
  if (id) id.value = newId();
}

function isPoll(element) {
  return element.closest("[data-ls-poll]") !== null;
}
