/** The shapes that points have. Nothing is made anew for a mark: a thousand of them are drawn each frame. */

const TURN = 2 * Math.PI;

function triangle(context, x, y, radius) {
  context.moveTo(x, y - radius);
  context.lineTo(x + radius * 0.87, y + radius * 0.6);
  context.lineTo(x - radius * 0.87, y + radius * 0.6);
}

function arrow(context, x, y, radius, angle) {
  const ux = Math.cos(angle) * radius;
  const uy = Math.sin(angle) * radius;
  context.moveTo(x + 1.4 * ux, y + 1.4 * uy);
  context.lineTo(x - 0.8 * ux - 0.8 * uy, y - 0.8 * uy + 0.8 * ux);
  context.lineTo(x - 0.4 * ux, y - 0.4 * uy);
  context.lineTo(x - 0.8 * ux + 0.8 * uy, y - 0.8 * uy - 0.8 * ux);
}

/** Draw one in the colour that is set; `angle` is where it points, NaN for nowhere. */
export function mark(context, shape, x, y, radius, angle) {
  const points = angle === angle; // not NaN
  if (shape === "square" && !points) {
    context.fillRect(x - radius, y - radius, 2 * radius, 2 * radius);
    return;
  }
  context.beginPath();
  if (shape === "square") context.rect(x - radius, y - radius, 2 * radius, 2 * radius);
  else if (shape === "triangle") triangle(context, x, y, radius);
  else if (shape === "arrow") arrow(context, x, y, radius, points ? angle : 0);
  else context.arc(x, y, radius, 0, TURN);
  context.fill();
  if (points && shape !== "arrow") ray(context, x, y, radius, angle);
}

function ray(context, x, y, radius, angle) {
  context.strokeStyle = context.fillStyle;
  context.lineWidth = Math.max(1, radius / 3);
  context.beginPath();
  context.moveTo(x, y);
  context.lineTo(x + 2.5 * radius * Math.cos(angle), y + 2.5 * radius * Math.sin(angle));
  context.stroke();
}
