// Draws every body as a dot with a line where it is heading.

/** A colour that stays with a body, from its name. */
function hue(name) {
  let hash = 0;
  for (const letter of name) hash = (hash * 131 + letter.codePointAt(0) * 17) % 360;
  return hash;
}

export function draw(canvas, state, live) {
  const context = canvas.getContext("2d");
  const scale = Math.min(canvas.width, canvas.height) / state.size;
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.strokeStyle = "#8888";
  context.strokeRect(0, 0, state.size * scale, state.size * scale);
  for (const [name, body] of Object.entries(state.entities)) {
    const [x, y] = body.position.map((value) => value * scale);
    const [dx, dy] = body.velocity.map((value) => value * scale * 0.3);
    context.strokeStyle = context.fillStyle = `hsl(${hue(name)} 70% 50%)`;
    context.beginPath();
    context.moveTo(x, y);
    context.lineTo(x + dx, y + dy);
    context.stroke();
    context.beginPath();
    context.arc(x, y, Math.max(2, scale), 0, 2 * Math.PI);
    context.fill();
  }
}
