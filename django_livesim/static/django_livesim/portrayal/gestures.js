/**
 * What people do to a picture, as calls: `pan(dx, dy)`, `zoom(factor, x, y)`, `hover(x, y)`, `leave()`, `click(x, y)`,
 * `arrow(dx, dy)`, `enter()`, `fit()`, `escape()`, in CSS pixels from the upper left corner of the canvas.
 *
 * The page stays one that can be scrolled: the wheel zooms with Ctrl, or once the canvas has the focus, and a
 * single finger is the page's.
 */

const STILL = 4; // px that a pointer may move in a click
const STEP = 1.25;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Gestures {
  #from = null; // where the pointer went down
  #last = null;
  #wasDragged = false;
  #fingers = null;

  constructor(canvas, act) {
    Object.assign(this, { canvas, act });
    const on = (name, listen, options) => canvas.addEventListener(name, listen.bind(this), options);
    on("pointerdown", this.#down);
    on("pointermove", this.#move);
    on("pointerup", this.#up);
    on("pointercancel", this.#up);
    on("pointerleave", () => this.#from || act.leave());
    on("click", this.#click);
    on("wheel", this.#wheel, { passive: false });
    on("keydown", this.#key);
    on("blur", () => (act.escape(), act.leave()));
    for (const name of ["touchstart", "touchmove"]) on(name, this.#touch, { passive: false });
    for (const name of ["touchend", "touchcancel"]) on(name, this.#lift);
  }

  #at({ clientX, clientY }) {
    const box = this.canvas.getBoundingClientRect();
    return [clientX - box.left, clientY - box.top];
  }

  #down(event) {
    this.#wasDragged = false;
    if (event.pointerType === "touch" || event.button !== 0) return;
    this.#from = this.#last = this.#at(event);
  }

  #move(event) {
    if (event.pointerType === "touch") return;
    const [x, y] = this.#at(event);
    if (!this.#from) return this.act.hover(x, y);
    const far = Math.hypot(x - this.#from[0], y - this.#from[1]) > STILL;
    if (far && !this.#wasDragged) {
      this.#wasDragged = true;
      this.canvas.setPointerCapture(event.pointerId);
      this.act.leave();
    }
    if (!this.#wasDragged) return;
    this.act.pan(x - this.#last[0], y - this.#last[1]);
    this.#last = [x, y];
  }

  #up() {
    this.#from = null;
  }

  #click(event) {
    if (this.#wasDragged || event.detail === 0) return;
    this.act.click(...this.#at(event));
  }

  #wheel(event) {
    if (!event.ctrlKey && document.activeElement !== this.canvas) return;
    event.preventDefault();
    const pixels = event.deltaY * (event.deltaMode === 1 ? 16 : event.deltaMode === 2 ? 400 : 1);
    const turned = Math.min(Math.max(pixels, -200), 200);
    this.act.zoom(Math.exp(-turned * (event.ctrlKey && Math.abs(pixels) < 20 ? 0.01 : 0.002)), ...this.#at(event));
  }

  #touch(event) {
    if (event.touches.length !== 2) return this.#lift();
    if (!event.cancelable) return; // the page is being scrolled already
    event.preventDefault();
    const [one, other] = Array.from(event.touches, (touch) => this.#at(touch));
    const middle = [(one[0] + other[0]) / 2, (one[1] + other[1]) / 2];
    const apart = Math.hypot(one[0] - other[0], one[1] - other[1]) || 1;
    const before = this.#fingers;
    this.#fingers = { middle, apart };
    this.#wasDragged = true;
    if (!before) return;
    this.act.pan(middle[0] - before.middle[0], middle[1] - before.middle[1]);
    if (apart !== before.apart) this.act.zoom(apart / before.apart, ...middle);
  }

  #lift() {
    this.#fingers = null;
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (!this.#does(event)) return;
    event.preventDefault();
  }

  #does({ key, shiftKey, repeat }) {
    const { act } = this;
    if (key in ARROWS) act.arrow(...ARROWS[key], shiftKey);
    else if (key === "Enter" || key === " ") return repeat || act.enter();
    else if (key === "+" || key === "=") act.zoom(STEP);
    else if (key === "-") act.zoom(1 / STEP);
    else if (key === "0") act.fit();
    else if (key === "Escape") act.escape();
    else return false;
    return true;
  }
}
