// Draws every bird as a wedge that points where it flies.

export function draw(canvas, state, live) {
  const context = canvas.getContext("2d");
  const scale = Math.min(canvas.width / state.size[0], canvas.height / state.size[1]);
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.strokeStyle = "#8a94a6";
  context.strokeRect(0.5, 0.5, state.size[0] * scale - 1, state.size[1] * scale - 1);
  context.fillStyle = "#3b7dd8";
  for (const [x, y, dx, dy] of state.birds) {
    const length = 8 / (Math.hypot(dx, dy) || 1);
    const [u, v] = [dx * length, dy * length];
    context.beginPath();
    context.moveTo(x * scale + u, y * scale + v);
    context.lineTo(x * scale - u / 2 - v / 2, y * scale - v / 2 + u / 2);
    context.lineTo(x * scale - u / 2 + v / 2, y * scale - v / 2 - u / 2);
    context.fill();
  }
}
