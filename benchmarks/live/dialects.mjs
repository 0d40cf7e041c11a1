// What is said to each kind of server, which of its messages are frames of the state, and when each was sent.
const SENT = Buffer.from('"sent":');
const FRAME = /^\{"type": ?"(snapshot|delta|update)"/;
const NUMBERS = /"epoch":(\d+).*?"seq":(\d+)/;
const JOIN = 10; // the messages of Colyseus
const PATCH = 15;
const NEAR = 10 * 60 * 1000; // milliseconds from now within which a number may be a moment
const head = (payload, size) => payload.toString("latin1", 0, size);

/** Milliseconds since 1970, null where it does not say. */
function sentIn(payload) {
  const at = payload.indexOf(SENT);
  return at < 0 ? null : parseFloat(head(payload.subarray(at + SENT.length), 20));
}

/** JSON in text frames: ours, the template's and that of `websockets.broadcast`. */
const json = {
  isFrame: (payload) => FRAME.test(head(payload, 24)),
  sentIn,
};

/** As a page of ours speaks: it acknowledges every second frame. */
const page = {
  ...json,
  answer(payload, viewer) {
    const found = json.isFrame(payload) && ++viewer.taken % 2 && NUMBERS.exec(head(payload, 96));
    return found ? `{"type":"ack","epoch":${found[1]},"seq":${found[2]}}` : null;
  },
};

/** As the page of the template's button: the first to come starts it, where that has not happened. */
const template = { ...json, first: '{"command": "start_simulation"}' };

/** Engine.IO 4 with socket.io 5 in it: open, connect to the namespace, pong. */
const socketio = {
  path: () => "/socket.io/?EIO=4&transport=websocket",
  isFrame: (payload) => payload[0] === 0x34 && payload[1] === 0x32,
  sentIn,
  answer(payload) {
    if (payload[0] === 0x30) return "40";
    return payload.length === 1 && payload[0] === 0x32 ? "3" : null;
  },
};

/** A seat is asked for by HTTP, and taken once the handshake has come. */
const colyseus = {
  async path({ host, port }) {
    const asked = await fetch(`http://${host}:${port}/matchmake/joinOrCreate/watched`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: "{}",
    });
    const { room, sessionId } = await asked.json();
    return `/${room.processId}/${room.roomId}?sessionId=${sessionId}`;
  },
  isFrame: (payload) => payload[0] === PATCH,
  /** The first double that is a moment near now: where it stands is up to the encoder. */
  sentIn(payload) {
    for (let at = 1; at < Math.min(48, payload.length - 8); at++) {
      const number = payload.readDoubleLE(at);
      if (Math.abs(number - Date.now()) < NEAR) return number;
    }
    return null;
  },
  answer: (payload) => (payload[0] === JOIN ? Buffer.from([JOIN]) : null),
};

export const dialects = { json, page, template, socketio, colyseus };
