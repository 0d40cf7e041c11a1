export function setup(canvas, live) {
  canvas.addEventListener("click", (event) => live.send("mark", live.point(event)));
}

export function draw(canvas, state, live) {
  const context = canvas.getContext("2d");
  context.fillStyle = live.theme.accent;
  context.fillRect(0, 0, canvas.width, canvas.height);
  canvas.dataset.drawn = live.tick;
}
