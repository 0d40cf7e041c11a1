// Draws the entities as dots, each with its name, in a box that holds them all.

export function draw(canvas, state) {
  const context = canvas.getContext("2d");
  const { width, height } = canvas;
  const placed = Object.entries(state.entities).filter(([, entity]) => entity.position);
  const reach = Math.max(10, ...placed.flatMap(([, entity]) => entity.position.map(Math.abs))) * 1.1;
  const colour = getComputedStyle(canvas).color;
  const unit = width / canvas.clientWidth; // one pixel of the page
  context.clearRect(0, 0, width, height);
  context.strokeStyle = context.fillStyle = colour;
  context.globalAlpha = 0.3;
  context.strokeRect(0, height / 2, width, 0);
  context.strokeRect(width / 2, 0, 0, height);
  context.globalAlpha = 1;
  context.font = `${13 * unit}px system-ui, sans-serif`;
  for (const [name, { position }] of placed) {
    const x = width / 2 + (position[0] / reach) * (width / 2);
    const y = height / 2 - (position[1] / reach) * (height / 2);
    context.beginPath();
    context.arc(x, y, 4 * unit, 0, 2 * Math.PI);
    context.fill();
    context.fillText(name, x + 7 * unit, y);
  }
}
