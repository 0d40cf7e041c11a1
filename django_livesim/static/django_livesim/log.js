/** The newest things that happened to a run, on top; at most `LIMIT` of them. */

const LIMIT = 200;
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });

export class Log {
  /** Take over a list and what the server has put in it, in this browser's time. */
  constructor(list) {
    this.list = list;
    for (const time of list.querySelectorAll("time")) time.textContent = clock.format(new Date(time.dateTime));
  }

  /** Add a line; `kind` colours it: applied, refused, event, status. `tick` may be null. */
  add(kind, tick, text) {
    const line = document.createElement("li");
    line.dataset.kind = kind;
    line.append(part("time", clock.format(new Date())), part("span", tick ?? "", "ls-at"), part("span", text));
    this.list.prepend(line);
    while (this.list.childElementCount > LIMIT) this.list.lastElementChild.remove();
  }
}

function part(tag, text, className = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.textContent = text;
  return element;
}
