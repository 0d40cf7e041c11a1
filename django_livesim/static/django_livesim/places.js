/** The places of one live page that are kept up to date: elements with `data-ls`, by name. */

/** Show an element or hide it; one that is so already costs no styles. */
export function reveal(element, isShown) {
  if (element.hidden === isShown) element.hidden = !isShown;
}

/** Set its text; where that is one already, it is changed rather than replaced, which concerns no style. */
export function put(element, text) {
  const [only, more] = element.childNodes;
  if (!(only instanceof Text) || more) element.textContent = text;
  else if (only.data !== text) only.data = text;
}

export class Places {
  constructor(root) {
    this.root = root;
  }

  find(name) {
    return this.root.querySelector(`[data-ls="${name}"]`);
  }

  /** The same; where a host's template has left it out, one that is in no document. */
  part(name) {
    return this.find(name) ?? document.createElement("div");
  }

  /** Set the text of a place, where there is one and it differs: an untouched one costs no layout. */
  write(name, text) {
    const element = this.find(name);
    if (element) put(element, text);
  }
}
