/**
 * Single keys that steer a run, by the forms that are there for who looks: what they may not do, no key does. None
 * ends anything. `?` shows them all; there they can be switched off, which this browser remembers.
 */

const STORED = "livesim.keys";
const TYPED_IN = "input, select, textarea, [contenteditable]:not([contenteditable='false'])";
const PRESSED_BY_SPACE = "button, a, summary, audio, video, [tabindex], [role]"; // or scrolled
const SPEED_KEYS = { "+": 1, "-": -1 };
const PATIENCE = 5000; // ms in which a speed that was chosen is told, or is not to be

/** The value of `options` that is the next after `speed` ("max", or a factor) upwards or downwards; null at the end. */
export function nextSpeed(options, speed, direction) {
  const factor = (each) => (each === "max" ? Infinity : Number(each));
  const beyond = options.filter((each) => direction * (factor(each) - factor(speed)) > 0);
  beyond.sort((one, other) => direction * (factor(one) - factor(other)));
  return beyond[0] ?? null;
}

export class Keys {
  #wished = null; // the speed that was asked for last, until it is told
  #waiting = 0;

  /** `root` holds the forms with `data-key`, `places` the dialog. In a page that is not ours keys act within `root`. */
  constructor(root, places, { isEmbedded = false, signal } = {}) {
    Object.assign(this, { root, isEmbedded });
    this.dialog = places.find("keys");
    this.speed = 1;
    this.#chooses();
    document.addEventListener("keydown", (event) => this.#press(event), { signal });
    if (!this.dialog) return;
    const opener = places.part("keys-open");
    opener.hidden = false;
    opener.addEventListener("click", () => this.#explain());
    places.part("keys-close").addEventListener("click", () => this.dialog.close());
    const choice = places.part("keys-on");
    choice.checked = isOn();
    choice.addEventListener("change", () => turn(choice.checked));
  }

  /** A speed holds as soon as it is chosen: the button is for pages without scripts. */
  #chooses() {
    const button = this.root.querySelector('form[data-key="Speed"] button');
    if (!button) return;
    button.hidden = true;
    this.choice = button.form.querySelector("select");
    this.choice.dataset.when = button.dataset.when;
    this.choice.disabled = button.disabled;
    this.speed = read(this.choice);
    this.choice.addEventListener("change", () => this.#wish());
  }

  /** Ask for what is chosen. Until it is told the choice stays, since others' speeds come meanwhile; then it is the run's. */
  #wish() {
    this.#wished = read(this.choice);
    clearTimeout(this.#waiting);
    this.#waiting = setTimeout(() => {
      this.#wished = null;
      this.told(this.speed);
    }, PATIENCE);
    this.choice.form.requestSubmit();
  }

  /** The run's speed, as it was told. */
  told(speed) {
    this.speed = speed;
    if (speed === this.#wished) this.#wished = null;
    if (!this.choice || this.#wished !== null) return;
    this.choice.value = speed;
    if (!this.choice.value) this.choice.add(new Option(`×${speed}`, speed, false, true));
  }

  #press(event) {
    if (!isOurs(event) || !isOn() || (this.isEmbedded && !this.root.contains(event.target))) return;
    if (this.#act(event)) event.preventDefault();
  }

  /** Whether the key means anything here. */
  #act({ key, target }) {
    if (key === "?") return this.#explain();
    if (key === " ") return !target.closest?.(PRESSED_BY_SPACE) && this.#submit("Space");
    if (key === ".") return this.#submit("Period");
    return key in SPEED_KEYS && this.#faster(SPEED_KEYS[key]);
  }

  #explain() {
    if (!this.dialog) return false;
    this.dialog.showModal();
    return true;
  }

  #submit(name) {
    const form = [...this.root.querySelectorAll(`form[data-key="${name}"]`)].find(isUsable);
    form?.requestSubmit();
    return form !== undefined;
  }

  #faster(direction) {
    const { choice } = this;
    if (!choice || !isUsable(choice.form)) return false;
    const options = [...choice.options].map(({ value }) => value);
    const speed = nextSpeed(options, this.#wished ?? this.speed, direction);
    if (speed === null) return true;
    choice.value = speed;
    this.#wish();
    return true;
  }
}

/** The speed that is chosen: "max", or a factor. */
function read({ value }) {
  return value === "max" ? value : Number(value);
}

/** Whether a key press is one for us: no typing, no shortcut of the browser's, none held down, no dialog open. */
function isOurs(event) {
  if (event.defaultPrevented || event.isComposing || event.repeat) return false;
  if (event.ctrlKey || event.altKey || event.metaKey) return false;
  if (event.shiftKey && !["?", "+"].includes(event.key)) return false;
  return !event.target.closest?.(TYPED_IN) && !document.querySelector("dialog[open]");
}

/** Whether a form is shown and can be sent. */
function isUsable(form) {
  const button = form.querySelector("button");
  return button !== null && !button.matches(":disabled") && form.getClientRects().length > 0;
}

let isOff = null; // until it is looked up

function isOn() {
  if (isOff === null) {
    try {
      isOff = localStorage.getItem(STORED) === "off";
    } catch {
      isOff = false; // nothing is kept in this browser: what is chosen holds as long as the page does
    }
  }
  return !isOff;
}

function turn(on) {
  isOff = !on;
  try {
    if (on) localStorage.removeItem(STORED);
    else localStorage.setItem(STORED, "off");
  } catch {
    // as above
  }
}
