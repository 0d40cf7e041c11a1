/**
 * What htmx does, told in one way whether the page has loaded version 2 or 4. The two differ in the names of their events,
 * in what comes with them, and in what they do with an answer that is an error.
 *
 *   listen(element, "begin", (exchange) => exchange.stop())
 *
 * configure: what is sent can be changed; begin: it goes off, or is stopped; send: it does go off; answer: it is about to be shown;
 * end: it is over; shown: what came is on the page; failed: the server cannot be reached, or answers with an error.
 */

const NAMES = {
  configure: { 2: ["htmx:configRequest"], 4: ["htmx:config:request"] },
  begin: { 2: ["htmx:beforeRequest"], 4: ["htmx:before:request"] },
  send: { 2: ["htmx:beforeSend"], 4: ["htmx:before:request"] },
  answer: { 2: ["htmx:beforeSwap"], 4: ["htmx:before:swap"] },
  end: { 2: ["htmx:afterRequest"], 4: ["htmx:finally:request"] },
  shown: { 2: ["htmx:afterSwap"], 4: ["htmx:after:swap"] },
  failed: { 2: ["htmx:sendError", "htmx:responseError"], 4: ["htmx:error", "htmx:response:error"] },
};
const LOADED = ["htmx:load", "htmx:after:process"];

/**
 * Call `act(exchange)` for what is asked from within `element`. An answer that replaces what asked ends where that was no
 * more: only who listens at the document hears it with either version.
 */
export function listen(element, name, act, options) {
  for (const event of NAMES[name][2]) {
    element.addEventListener(event, (each) => each.detail?.ctx === undefined && act(new Exchange2(each)), options);
  }
  for (const event of NAMES[name][4]) {
    element.addEventListener(event, (each) => each.detail?.ctx !== undefined && act(new Exchange4(each)), options);
  }
}

/** Call `act(element)` for what htmx has put into the page within `root`. */
export function onLoad(root, act, options) {
  for (const event of LOADED) root.addEventListener(event, ({ target }) => act(target), options);
}

class Exchange2 {
  constructor(event) {
    this.event = event;
    this.detail = event.detail;
    this.source = this.detail.requestConfig?.elt ?? this.detail.elt;
    this.target = this.detail.target ?? null;
    this.submitter = this.detail.triggeringEvent?.submitter ?? null;
  }

  /** Of the answer; 0 where there is none. */
  get status() {
    return this.detail.xhr?.status ?? 0;
  }

  get isDone() {
    return this.detail.successful === true;
  }

  /** A header of the answer; null where there is none of that name. */
  told(name) {
    return this.detail.xhr?.getResponseHeader(name) ?? null;
  }

  /** Send another value. */
  set(name, value) {
    this.detail.parameters[name] = value;
  }

  /** Send a header along. */
  tell(name, value) {
    this.detail.headers[name] = value;
  }

  stop() {
    this.event.preventDefault();
  }

  /** Show the answer though it is an error. */
  show() {
    this.detail.shouldSwap = true;
    this.detail.isError = false;
  }

  /** Do not show it. */
  drop() {
    this.detail.shouldSwap = false;
  }
}

class Exchange4 {
  constructor(event) {
    this.event = event;
    this.ctx = event.detail.ctx;
    this.source = this.ctx.sourceElement;
    this.submitter = this.ctx.request.submitter ?? null;
  }

  get target() {
    return this.ctx.target ?? null;
  }

  get status() {
    return this.ctx.response?.status ?? 0;
  }

  get isDone() {
    return this.status >= 200 && this.status < 400;
  }

  told(name) {
    return this.ctx.response?.headers.get(name) ?? null;
  }

  set(name, value) {
    this.ctx.request.body.set(name, value);
  }

  tell(name, value) {
    this.ctx.request.headers[name] = value;
  }

  /** Send another value of what may have waited for its turn. */
  late(name, value) {
    this.ctx.request.body?.set(name, value);
  }

  stop() {
    this.event.preventDefault();
  }

  /** Where the host's `noSwap` has an error left out, what was meant by the element itself holds. */
  show() {
    const main = this.event.detail.tasks.find(({ type }) => type === "main");
    if (!main || this.ctx.hx?.reswap || main.swapSpec.style !== "none") return;
    main.swapSpec.style = this.source.getAttribute("hx-swap") ?? globalThis.htmx?.config.defaultSwap ?? "innerHTML";
  }

  drop() {
    this.event.preventDefault();
  }
}
