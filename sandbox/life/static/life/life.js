// Draws the field; a click on a cell asks the run to switch it.

export function draw(canvas, state, live) {
  const context = canvas.getContext("2d");
  const size = Math.min(canvas.width / state.width, canvas.height / state.height);
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.fillStyle = "#8882";
  context.fillRect(0, 0, size * state.width, size * state.height);
  context.fillStyle = "#2a9d5c";
  state.rows.forEach((row, y) => {
    for (let x = 0; x < row.length; x += 1) {
      if (row[x] === "#") context.fillRect(x * size, y * size, size - 1, size - 1);
    }
  });
  canvas.onclick = (event) => {
    const box = canvas.getBoundingClientRect();
    const x = Math.floor(((event.clientX - box.left) * canvas.width) / box.width / size);
    const y = Math.floor(((event.clientY - box.top) * canvas.height) / box.height / size);
    if (x < state.width && y < state.height) live.send("toggle", { x, y }).catch(() => {});
  };
}
