// Draws everybody as a square in the colour of their kind; the unhappy are hollow.

export function draw(canvas, state, live) {
  const context = canvas.getContext("2d");
  const size = Math.min(canvas.width / state.width, canvas.height / state.height);
  context.clearRect(0, 0, canvas.width, canvas.height);
  for (const [x, y, kind, happy] of state.people) {
    context.fillStyle = context.strokeStyle = kind ? "#d9822b" : "#3b7dd8";
    if (happy) context.fillRect(x * size, y * size, size - 1, size - 1);
    else context.strokeRect(x * size + 1, y * size + 1, size - 3, size - 3);
  }
}
