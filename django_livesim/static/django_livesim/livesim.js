/** Entry of the pages: mounts live panels and settles what htmx leaves open. */

import { listen, onLoad } from "./htmx.js";
import { load } from "./loading.js";
import { LiveSocket, newId } from "./socket.js";
import { Panel } from "./panel.js";
import { say } from "./words.js";

export { LiveSocket, Panel };

const KINDS = {
  "[data-livesim-run]": (root) => new Panel(root),
  "[data-ls-parameters]:has(form, [data-param])": async (card) => new (await load(() => import("./parameters.js"))).Parameters(card),
  "[data-ls-copies]": async (button) => (await load(() => import("./clipboard.js"))).offer(button),
  "[data-livesim-list]": async (root) => new (await load(() => import("./list.js"))).RunList(root),
};
const mounted = new Map(); // what each element has come to be, or will soon

/** Bring to life what is in the page and is not yet; what is there no more is left. */
export function mount() {
  for (const [selector, make] of Object.entries(KINDS)) {
    for (const element of document.querySelectorAll(selector)) {
      if (!mounted.has(element)) mounted.set(element, make(element));
    }
  }
  for (const [element, part] of mounted) {
    if (element.isConnected) continue;
    mounted.delete(element);
    Promise.resolve(part).then((made) => made?.close?.());
  }
}

mount();
onLoad(document, mount);

/** The place for what goes wrong, nearest to an element. */
function noticeFor(element) {
  return element.closest(".livesim")?.querySelector('[data-ls="notice"]') ?? null;
}

/** The place beside a form where what becomes of it is told. */
function answerOf(form) {
  const beside = form?.nextElementSibling ?? null;
  if (beside?.matches(".ls-command-answer")) return beside;
  return form?.closest(".ls-controls")?.querySelector(".ls-control-answer") ?? null;
}

function warn(element, name, places) {
  const beside = name === "unreachable" ? answerOf(element.closest("form")) : null;
  if (beside) {
    const answer = Object.assign(document.createElement("p"), { className: "ls-answer", textContent: say(name) });
    answer.dataset.outcome = "refused";
    return beside.replaceChildren(answer);
  }
  const notice = noticeFor(element);
  if (!notice) return;
  notice.textContent = say(name, places);
  notice.hidden = false;
}

// What is embedded tells by what its ids begin with, so that the answer's do too.
listen(document, "configure", (exchange) => {
  const place = exchange.source.closest("[data-livesim-prefix]");
  if (place) exchange.tell("Livesim-Prefix", place.dataset.livesimPrefix);
});

// Our own answers to bad input are fragments with a 4xx status: show them, whatever the host's htmx is set to.
listen(document, "answer", (exchange) => {
  const notice = noticeFor(exchange.source);
  if (notice) notice.hidden = true;
  if (exchange.told("Livesim-Fragment")) exchange.show();
  else if (exchange.status >= 400 && isOurs(exchange.source)) exchange.drop();
});
listen(document, "failed", (exchange) => {
  const { source, status } = exchange;
  if (!isOurs(source) || isPoll(source) || exchange.told("Livesim-Fragment")) return;
  if (!status) return warn(source, "unreachable");
  warn(source, exchange.told("Livesim-Code") === "db_down" ? "db_down" : "server_error", { status });
});
listen(document, "begin", (exchange) => {
  if (document.hidden && isPoll(exchange.source)) exchange.stop();
});

// A form's id makes a repeated submit harmless; what was answered, or has been changed, is another command. One that
// waited for its turn, as htmx 4 has it, was filled in before: it gets the id that holds now.
listen(document, "begin", (exchange) => {
  const id = idOf(exchange.source.closest("form"));
  if (id) exchange.late?.("livesim_id", id.value);
});
listen(document, "end", (exchange) => exchange.isDone && renew(exchange.source.closest("form")));
document.addEventListener("input", ({ target }) => {
  renew(target.form);
  for (const told of answerOf(target.form)?.children ?? []) told.dataset.old = "";
});

function renew(form) {
  const id = idOf(form);
  if (id) id.value = newId();
}

function idOf(form) {
  return form?.elements?.livesim_id;
}

function isOurs(element) {
  return element.closest(".livesim") !== null;
}

function isPoll(element) {
  return element.closest("[data-ls-poll]") !== null;
}
