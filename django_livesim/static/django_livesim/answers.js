/** What becomes of commands: shown at the forms that sent them, and in the log with who sent them, and what with. */

import { onLoad } from "./htmx.js";
import { say } from "./words.js";

const REMEMBERED = 100; // verdicts kept for forms whose answer comes later than the socket's, and arguments
const LONG = 300; // characters shown of one value
const REASON = 1000; // and, where a form is answered, of why something was refused
const UNSAID = new Set(["csrfmiddlewaretoken", "livesim_id"]);

export class Answers {
  #verdicts = new Map();
  #sent = new Map();
  #labels = new Map();

  /** `root` holds the forms, `log` takes what others did, too. */
  constructor(root, log) {
    Object.assign(this, { root, log });
    root.addEventListener("animationend", ({ animationName, target }) => {
      if (animationName === "ls-leave") target.parentElement.replaceChildren();
    });
    onLoad(root, () => {
      this.#fill();
      this.#read();
    });
  }

  /** What the server tells of the commands there are. */
  learn(commands = []) {
    this.#labels = new Map(commands.map(({ name, label }) => [name, label]));
  }

  /** A command was sent from here, by the socket or by a form; `args` by their names. */
  sent(id, args, command) {
    if (id) keep(this.#sent, id, { args, command });
  }

  take(verdict) {
    const { type, id, tick, result, message, code, by } = verdict;
    if (this.#verdicts.has(id)) return; // the form has told it before the socket did
    const sent = this.#sent.get(id);
    const command = verdict.command ?? sent?.command;
    if (id) {
      this.#sent.delete(id);
      keep(this.#verdicts, id, verdict);
      this.#fill();
    }
    const isDeclared = this.#labels.has(command);
    const args = sent && command === "step" && !isDeclared ? { n: 1, ...sent.args } : sent?.args;
    const isApplied = type === "applied";
    const what = this.#labels.get(command) ?? (command ? say(`verb_${command}`, {}, command) : "");
    const kind = isApplied ? "applied" : "refused";
    const told = say(isApplied ? "log_applied" : what ? "log_refused" : "refused", { why: brief(message || code || "") });
    const parts = { what, result: told, data: written(args, result), who: who(id, by) };
    this.log.add(kind, tick, parts, { id });
  }

  /** What the server has answered to a form, and the socket, which was not there then, has not told. */
  #read() {
    for (const answer of this.root.querySelectorAll("[data-answered]")) {
      const { answered: id, outcome: type, command, tick, result, why: message } = answer.dataset;
      if (this.#sent.has(id)) this.take({ type, id, command, tick, result, message });
    }
  }

  #fill() {
    for (const waiting of this.root.querySelectorAll('[data-command-id][data-outcome=""]')) {
      const verdict = this.#verdicts.get(waiting.dataset.commandId);
      if (verdict) waiting.replaceWith(answer(verdict));
    }
  }
}

/**
 * The arguments in a form, by their names, as far as they may be shown; of parameters, those that are set anew; of a free
 * message, as they were written where they are no JSON.
 */
export function argsOf(form) {
  const isFree = /^(?!.*command-).*message$/.test(form.getAttribute("id")); // `form.id` may be a field of that name
  if (isFree && form.elements.namedItem("args")) return parsed(form.elements.args.value);
  const args = {};
  for (const control of form.elements) {
    const { name, type } = control;
    if (!name || UNSAID.has(name) || name.startsWith("initial-") || type === "password" || type === "file") continue;
    if (isLeft(control)) continue;
    const texts = new FormData(form).getAll(name);
    if (isTick(control)) args[name] = control.checked;
    else if (texts.length) args[name] = texts.length > 1 ? texts : texts[0];
  }
  return args;
}

/** Whether a control stands alone for yes or no. */
function isTick({ type, name, form }) {
  return type === "checkbox" && !(form.elements.namedItem(name) instanceof RadioNodeList);
}

/** Whether the value that the page showed, which is posted along, is to stay. */
function isLeft(control) {
  const shown = control.form.elements.namedItem(`initial-${control.name}`);
  if (!shown || shown instanceof RadioNodeList) return false;
  if ("edited" in control.dataset && !("sent" in control.dataset)) return true; // a slider was moved, and this is for later
  return isTick(control) ? control.checked === (shown.value === "True") : control.value === shown.value;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** A value on one line, cut where it is long. */
export function brief(value, most = LONG) {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text.length > most ? `${text.slice(0, most)}…` : text;
}

function keep(map, id, value) {
  map.set(id, value);
  if (map.size > REMEMBERED) map.delete(map.keys().next().value);
}

function written(args, result) {
  const came = result == null ? "" : `→ ${brief(result)}`;
  return brief([given(args), came].filter(Boolean).join(" "));
}

function given(args) {
  if (typeof args === "string") return args;
  const names = Object.entries(args ?? {});
  return names.map(([name, value]) => `${name}: ${brief(value ?? "")}`).join(", ");
}

/** Who sent a command, as far as that is told: an own one has its id. */
function who(id, by) {
  if (id) return say("by_you");
  if (!by) return "";
  return say(by.kind === "user" && !by.name ? "by_somebody" : `by_${by.kind}`, { name: by.name });
}

/** What became of a command, as the server's own fragment shows it. */
function answer({ type, tick, result, message, code }) {
  const element = document.createElement("p");
  element.className = "ls-answer";
  element.dataset.outcome = type === "applied" ? "applied" : "refused";
  if (type === "applied") {
    const text = say("applied", { tick });
    element.textContent = result == null ? text : `${text} → ${brief(result)}`;
  } else {
    element.textContent = say("refused", { why: brief(message || code, REASON) });
  }
  return element;
}
