// Draws a bar for each task, in order; those at a bench are coloured.

export function draw(canvas, state, live) {
  const context = canvas.getContext("2d");
  const height = Math.min(28 * live.scale, canvas.height / Math.max(state.order.length, 8));
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.font = `${Math.round(height * 0.5)}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  state.order.forEach((name, place) => {
    const task = state.tasks[name];
    const y = place * height;
    const share = Math.min(1, task.done / task.work);
    context.fillStyle = "#8883";
    context.fillRect(0, y + 2, canvas.width, height - 4);
    context.fillStyle = place < state.benches ? "#2a9d5c" : "#888a";
    context.fillRect(0, y + 2, canvas.width * share, height - 4);
    context.fillStyle = live.theme.ink;
    context.fillText(`${name}: ${task.done.toFixed(1)} of ${task.work}`, 8 * live.scale, y + height / 2);
  });
}
