/** What the colours of the layers mean, under their titles, beside the picture. */

import { brief, cut } from "./hover.js";

const STOPS = 8; // of a scale that is shown

export class Legend {
  #shown = "";

  constructor(element, layers) {
    this.element = element;
    this.layers = layers.filter((layer) => layer.declared.legend);
  }

  update() {
    if (!this.element || !this.layers.length) return;
    const parts = this.layers.map((layer) => [layer.declared.legend, layer.colours.meaning()]);
    const text = JSON.stringify(parts);
    if (text === this.#shown) return;
    this.#shown = text;
    this.element.replaceChildren(...parts.map(([title, meaning]) => group(title, meaning)));
    this.element.hidden = false;
  }
}

function group(title, { values, scale }) {
  const element = make("p", "", make("strong", title));
  for (const [value, colour] of values) element.append(make("span", cut(value, 24), swatch(colour)));
  if (scale) element.append(make("span", "", brief(scale.low), ramp(scale.colours), brief(scale.high)));
  return element;
}

function swatch(colour) {
  const element = make("i", "");
  element.style.background = colour;
  return element;
}

function ramp(colours) {
  const element = make("i", "");
  const stops = Array.from({ length: STOPS }, (_, at) => colours[Math.round((at / (STOPS - 1)) * (colours.length - 1))]);
  element.style.background = `linear-gradient(to right, ${stops.join(", ")})`;
  element.className = "ls-ramp";
  return element;
}

function make(tag, text, ...inner) {
  const element = document.createElement(tag);
  element.append(...inner, text);
  return element;
}
