/** The card of the state: its tree, what is chosen in it and what is searched for. */

import { Copying } from "./copying.js";
import { load } from "./loading.js";
import { Tree } from "./tree.js";
import { say } from "./words.js";

const EVERY = 100; // ms between two updates

export class StateCard {
  #due = 0;
  #search = null;

  /** `newest()` gives the frame whose state is shown, or null. */
  constructor(places, newest) {
    Object.assign(this, { places, newest });
    this.tree = new Tree(places.part("state"), { more: say("more") });
    this.copying = new Copying(this.tree, places);
    places.part("find").addEventListener("focus", () => this.#searching(), { once: true });
    places.part("state-tools").hidden = false;
    this.renew();
  }

  /** There is a newer frame, to be shown soon. */
  renew() {
    this.#due ||= setTimeout(() => requestAnimationFrame(() => this.#update()), EVERY);
  }

  #update() {
    this.#due = 0;
    const frame = this.newest();
    if (!frame) return;
    this.tree.update(frame.state);
    this.#search?.update();
  }

  async #searching() {
    const { Search } = await load(() => import("./search.js"));
    this.#search = new Search(this.tree, this.places, (node) => {
      this.tree.stopAt(node.line);
      this.copying.choose(node);
    });
  }
}
