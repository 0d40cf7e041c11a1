// socket.io: the whole state to everybody.
import { each, entities, load, port } from "./state.mjs";

const { Server } = load("socket.io");
const deflate = process.argv.includes("--deflate");
const io = new Server(port, { transports: ["websocket"], perMessageDeflate: deflate, serveClient: false });
const state = { time: 0, entities: entities() };
const [cos, sin] = [Math.cos(0.05), Math.sin(0.05)];
each(() => {
  state.time++;
  for (const entity of Object.values(state.entities)) {
    const [x, y] = entity.position;
    const [across, along] = entity.velocity;
    entity.velocity = [across * cos - along * sin, across * sin + along * cos];
    entity.position = [x + across, y + along];
  }
  io.emit("update", { type: "update", sent: Date.now() + (performance.now() % 1), state });
});
