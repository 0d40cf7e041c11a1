/** The places of one live page that are kept up to date: elements with `data-ls`, by name. */

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
    if (element && element.textContent !== text) element.textContent = text;
  }
}
