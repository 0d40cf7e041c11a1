// Colyseus: what has changed, in its own encoding. Entities have a position alone, since the rest never changes:
// with --tenths as whole numbers of two bytes, else as floats of four.
import { each, entities, load, port } from "./state.mjs";

const { LocalDriver, LocalPresence, Room, Server } = load("@colyseus/core");
const { MapSchema, schema } = load("@colyseus/schema");
const { WebSocketTransport } = load("@colyseus/ws-transport");
const tenths = process.argv.includes("--tenths");
const number = tenths ? "int16" : "float32";
const Entity = schema({ x: number, y: number, kind: "string" }, "Entity");
const State = schema({ sent: "float64", time: "uint32", entities: { map: Entity } }, "State");
const put = (value) => (tenths ? Math.round(value * 10) : value);

class Watched extends Room {
  onCreate() {
    this.autoDispose = false;
    this.patchRate = null;
    this.state = new State();
    this.state.time = 0;
    this.state.entities = new MapSchema();
    const made = entities();
    for (const [name, { kind }] of Object.entries(made)) {
      const entity = new Entity();
      entity.kind = kind;
      this.state.entities.set(name, entity);
    }
    each(() => {
      this.state.time++;
      for (const [name, entity] of Object.entries(made)) {
        entity.position = entity.position.map((at, axis) => at + entity.velocity[axis]);
        const shown = this.state.entities.get(name);
        [shown.x, shown.y] = entity.position.map(put);
      }
      this.state.sent = performance.timeOrigin + performance.now();
      this.broadcastPatch();
    });
  }
}

const server = new Server({
  transport: new WebSocketTransport(),
  presence: new LocalPresence(),
  driver: new LocalDriver(),
  greet: false,
});
server.define("watched", Watched);
await server.listen(port, "127.0.0.1");
