/**
 * What happened to a run, the newest on top: commands, events, changes of status. Each of these has a limit of its
 * own, so that a flood of one leaves the others where they are. Texts are only ever text.
 */

const LIMIT = 200; // lines of each
const WAIT = 50; // ms in which what comes is put into the document at once
const GROUPS = { applied: "command", refused: "command", event: "event", status: "status" };
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "long", timeStyle: "medium" });

export class Log {
  #lines = { command: [], event: [], status: [] };
  #coming = { command: [], event: [], status: [] };
  #order = 0;
  #due = 0;

  /** Take over a list and what the server has put in it, in this browser's time; `filters` holds its buttons. */
  constructor(list, filters) {
    this.list = list;
    for (const line of [...list.children].reverse()) this.#lines.command.push(line);
    for (const time of list.querySelectorAll("time")) stamp(time, new Date(time.dateTime));
    this.#filter(filters);
  }

  /**
   * Add a line. `kind`: applied, refused, event, status; `tick` may be null; `parts`: texts, each with what it is:
   * "what", "result", "data", "who". A line with the same `id` that waits is replaced.
   */
  add(kind, tick, parts, { id = null, at = new Date() } = {}) {
    const coming = this.#coming[GROUPS[kind]];
    coming.push({ kind, tick, parts, id, at, order: this.#order++ });
    if (coming.length > LIMIT) coming.shift();
    this.#due ||= setTimeout(() => this.#put(), WAIT);
  }

  #put() {
    this.#due = 0;
    const coming = Object.values(this.#coming).flatMap((group) => group.splice(0));
    coming.sort((one, other) => one.order - other.order);
    const lines = coming.map((each) => this.#take(each));
    this.list.prepend(...lines.reverse());
    for (const group of Object.values(this.#lines)) {
      for (const old of group.splice(0, Math.max(0, group.length - LIMIT))) old.remove();
    }
  }

  #take({ kind, tick, parts, id, at }) {
    const line = document.createElement("li");
    const group = GROUPS[kind];
    Object.assign(line.dataset, { kind, group });
    line.append(stamp(document.createElement("time"), at), part(tick ?? "", "at"), told(parts));
    if (id) this.#replaces(id);
    this.#lines[group].push(line);
    return line;
  }

  #replaces(id) {
    const waiting = this.#lines.command.findIndex((line) => line.dataset.kind === "waiting" && line.dataset.id === id);
    if (waiting >= 0) this.#lines.command.splice(waiting, 1)[0].remove();
  }

  /** Buttons with `data-filter`, one of them pressed: what the list shows. */
  #filter(filters) {
    filters.hidden = false;
    filters.addEventListener("click", ({ target }) => {
      const chosen = target.closest("[data-filter]");
      if (!chosen) return;
      this.list.dataset.shows = chosen.dataset.filter;
      for (const each of filters.querySelectorAll("[data-filter]")) {
        each.setAttribute("aria-pressed", String(each === chosen));
      }
    });
  }
}

function told(parts) {
  const element = document.createElement("span");
  for (const [name, text] of Object.entries(parts)) {
    if (text === "" || text == null) continue;
    if (element.firstChild) element.append(" ");
    element.append(part(text, name));
  }
  return element;
}

function part(text, name) {
  const element = document.createElement("span");
  element.className = `ls-${name}`;
  element.textContent = text;
  return element;
}

function stamp(time, at) {
  time.dateTime = at.toISOString();
  time.title = full.format(at);
  time.textContent = clock.format(at);
  return time;
}
