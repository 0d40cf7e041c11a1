/** The card of a run's parameters: sliders beside number fields, and fields that follow what others set. */

import { listen, onLoad } from "./htmx.js";

const SEND_AFTER = 250; // ms that a slider rests before it is sent
const FOLLOW_AFTER = 100; // ms, up to twice as many, after which it is asked what holds now: not by all at once,
const FOLLOW_EVERY = 1000; // ms and at most so often, however fast somebody slides
const STEPS = 100; // of a slider over a range of which any value may be set

export class Parameters {
  #slid = new Set();
  #sending = 0;
  #following = 0;
  #followed = -FOLLOW_EVERY;
  #asked = 0;
  #behind = false;

  constructor(card) {
    this.card = card;
    this.#addSliders();
    card.addEventListener("input", ({ target }) => this.#changed(target));
    card.addEventListener("change", ({ target }) => target.dataset.slides && this.#sendSoon(target.dataset.slides));
    card.addEventListener("focusout", () => this.#behind && this.#followSoon());
    listen(card, "configure", (exchange) => exchange.source === this.#form && this.#narrow(exchange));
    listen(card, "end", (exchange) => exchange.source === this.#form && this.#answered(exchange));
    onLoad(card, () => this.#addSliders());
    const run = card.closest("[data-livesim-run]") ?? document.body;
    run.addEventListener("livesim:verdict", ({ detail }) => detail?.command === "set" && this.#followSoon());
    run.addEventListener("livesim:status", () => this.#followSoon()); // verdicts may have been missed
  }

  get #form() {
    return this.card.querySelector("form");
  }

  /** A slider for each number that has a least and a greatest value. */
  #addSliders() {
    for (const number of this.card.querySelectorAll('input[type="number"][min][max]')) {
      if (number.previousElementSibling?.dataset.slides || !(range(number) > 0)) continue;
      const slider = document.createElement("input");
      slider.type = "range";
      slider.id = `${number.id}_slider`;
      slider.dataset.slides = number.name;
      Object.assign(slider, { min: number.min, max: number.max, step: stepOf(number), value: number.value });
      slider.setAttribute("aria-label", number.labels[0]?.textContent.trim() ?? number.name);
      const help = number.getAttribute("aria-describedby");
      if (help) slider.setAttribute("aria-describedby", help);
      number.before(slider);
    }
  }

  #changed(control) {
    const number = control.dataset.slides ? this.#form.elements[control.dataset.slides] : control;
    if (number !== control) number.value = control.value;
    else if (sliderOf(number)) sliderOf(number).value = number.value;
    const field = fieldOf(number);
    field.classList.remove("ls-wrong");
    field.querySelector(".ls-errors")?.remove();
    for (const name of ["aria-invalid", "data-sent"]) number.removeAttribute(name);
    number.dataset.edited = "";
    this.card.querySelector("fieldset > .ls-errors")?.remove();
  }

  #sendSoon(name) {
    this.#slid.add(name);
    clearTimeout(this.#sending);
    this.#sending = setTimeout(() => this.#form.requestSubmit(), SEND_AFTER);
  }

  /** Of what sliders send: what somebody is about to type in other fields is not for now. */
  #narrow(exchange) {
    const all = !this.#slid.size || exchange.submitter;
    clearTimeout(this.#sending);
    for (const control of named(this.#form)) {
      const sent = all || this.#slid.has(control.name);
      if (sent) control.dataset.sent = "";
      else if (initialOf(control)) exchange.set(control.name, initialOf(control).value);
    }
    this.#slid.clear();
  }

  #answered({ isDone }) {
    if (isDone) this.#followSoon();
    else for (const control of named(this.#form)) delete control.dataset.sent;
  }

  #followSoon() {
    if (this.#following || document.hidden) return; // a page that is looked at again says so
    const rest = this.#followed + FOLLOW_EVERY - performance.now();
    this.#following = setTimeout(() => this.#follow(), Math.max(rest, FOLLOW_AFTER * (1 + Math.random())));
  }

  /** Take over what the server says now, but where somebody is about to change it. */
  async #follow() {
    const asked = ++this.#asked;
    this.#following = 0;
    this.#followed = performance.now();
    const url = new URL(this.card.dataset.lsParameters, location.href);
    url.searchParams.set("part", "parameters");
    const prefix = this.card.closest("[data-livesim-prefix]")?.dataset.livesimPrefix;
    const headers = { "HX-Request": "true", ...(prefix && { "Livesim-Prefix": prefix }) };
    const response = await fetch(url, { headers }).catch(() => null);
    if (!response?.ok || !response.headers.get("Livesim-Fragment") || asked !== this.#asked) return;
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
    if (asked !== this.#asked) return;
    const left = named(this.#form).filter((control) => !takeOver(control, fresh.getElementById(control.id)));
    this.#behind = left.some((control) => !isEdited(control));
    for (const text of this.card.querySelectorAll("[data-param]")) {
      const now = fresh.querySelector(`[data-param="${CSS.escape(text.dataset.param)}"]`);
      if (now && now.textContent !== text.textContent) text.textContent = now.textContent;
    }
  }
}

/** The controls that somebody fills in, without those that the page keeps for itself. */
function named(form) {
  return [...(form?.elements ?? [])].filter(({ name, type }) => name && type !== "hidden");
}

/** With its label, help and errors; the control alone in a template that has no such place. */
function fieldOf(control) {
  return control.closest(".ls-field") ?? control;
}

function isEdited(control) {
  return "edited" in control.dataset && !("sent" in control.dataset);
}

/** Whether a control shows what it does in the server's fresh form; not where somebody is at it. */
function takeOver(control, fresh) {
  if (!fresh) return true;
  const same = Object.is(value(control), value(fresh));
  const busy = isEdited(control) || fieldOf(control).contains(document.activeElement);
  if (!same && busy && !("sent" in control.dataset)) return false;
  if (initialOf(control) && initialOf(fresh)) initialOf(control).value = initialOf(fresh).value;
  if (!same && isTick(control)) control.checked = fresh.checked;
  else if (!same) control.value = fresh.value;
  for (const name of ["edited", "sent"]) delete control.dataset[name];
  if (sliderOf(control)) sliderOf(control).value = control.value;
  return true;
}

function value(control) {
  if (isTick(control)) return control.checked;
  return control.type === "number" ? control.valueAsNumber : control.value;
}

function isTick({ type }) {
  return type === "checkbox" || type === "radio";
}

/** What the page showed at first, which is posted along. */
function initialOf(control) {
  const found = control.form.elements.namedItem(`initial-${control.name}`);
  return found instanceof RadioNodeList ? null : found;
}

function sliderOf(number) {
  const before = number.previousElementSibling;
  return before?.dataset.slides ? before : null;
}

function range({ min, max }) {
  return Number(max) - Number(min);
}

/** The step of a field; where any value will do, the power of ten that gives a hundred of them or more. */
function stepOf(number) {
  if (number.step !== "any") return number.step || "1";
  return String(10 ** Math.floor(Math.log10(range(number) / STEPS)));
}
