// Many viewers of one socket, who read and do no more: what came, how old it was, how large.
//
//   node crowd.mjs '{"host": "127.0.0.1", "port": 8000, "path": "/", "viewers": 1000, "warm": 2, "seconds": 10}'
//
// It reads the frames of RFC 6455 by their heads and looks into one viewer in `every` alone, for the moment that
// is in each state as "sent": milliseconds since 1970. `deflate` offers compression, `ack` answers each frame of
// ours, `says` is what each sends first, `frozen` of them never read. Prints one line of JSON.
import { randomBytes } from "node:crypto";
import { connect } from "node:net";

const options = {
  host: "127.0.0.1",
  path: "/",
  viewers: 100,
  warm: 2,
  seconds: 10,
  every: 20,
  deflate: false,
  frozen: 0,
  says: null,
  ...JSON.parse(process.argv[2]),
};
const SENT = Buffer.from('"sent":');
const now = () => performance.timeOrigin + performance.now();
const count = { messages: 0, bytes: 0, closed: 0, open: 0 };
const ages = [];
let measuring = false;

class Viewer {
  #rest = [];
  #size = 0;
  #open = false;

  constructor(number) {
    this.looks = number % options.every === 0 && !options.deflate;
    this.socket = connect(options.port, options.host, () => this.#greet());
    this.socket.setNoDelay(true);
    this.socket.on("data", (data) => this.#read(data));
    this.socket.on("error", () => {});
    this.socket.on("close", () => count.closed++);
  }

  #greet() {
    const lines = [
      `GET ${options.path} HTTP/1.1`,
      `Host: ${options.host}:${options.port}`,
      "Upgrade: websocket",
      "Connection: Upgrade",
      `Sec-WebSocket-Key: ${randomBytes(16).toString("base64")}`,
      "Sec-WebSocket-Version: 13",
    ];
    if (options.deflate) lines.push("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits");
    this.socket.write(`${lines.join("\r\n")}\r\n\r\n`);
  }

  /** What is wanted is known from the head; bodies are passed over without being joined. */
  #read(data) {
    if (this.#size) {
      this.#rest.push(data);
      this.#size += data.length;
      if (this.#size < this.wanted) return;
      data = Buffer.concat(this.#rest);
      this.#rest = [];
      this.#size = 0;
    }
    let at = 0;
    if (!this.#open) {
      const end = data.indexOf("\r\n\r\n");
      if (end < 0) return this.#keep(data, data.length + 1);
      if (!data.subarray(0, 12).toString().endsWith("101")) throw new Error(data.toString().slice(0, 200));
      this.#open = true;
      count.open++;
      at = end + 4;
      if (options.says) this.say(options.says);
    }
    while (data.length - at >= 2) {
      let size = data[at + 1] & 127;
      let head = 2;
      if (size === 126) {
        head = 4;
        if (data.length - at < head) break;
        size = data.readUInt16BE(at + 2);
      } else if (size === 127) {
        head = 10;
        if (data.length - at < head) break;
        size = Number(data.readBigUInt64BE(at + 2));
      }
      if (data.length - at < head + size) return this.#keep(data.subarray(at), head + size);
      if ((data[at] & 15) === 1) this.#count(data.subarray(at + head, at + head + size));
      at += head + size;
    }
    if (at < data.length) this.#keep(data.subarray(at), 2);
  }

  #keep(data, wanted) {
    this.#rest = [data];
    this.#size = data.length;
    this.wanted = wanted;
  }

  #count(payload) {
    if (!measuring) return;
    count.messages++;
    count.bytes += payload.length;
    if (!this.looks) return;
    const at = payload.indexOf(SENT);
    if (at >= 0) ages.push(now() - parseFloat(payload.subarray(at + 7, at + 27).toString()));
  }

  say(text) {
    const payload = Buffer.from(text);
    const mask = randomBytes(4);
    const head = payload.length < 126 ? [0x81, 0x80 | payload.length] : [0x81, 0xfe, payload.length >> 8, payload.length & 255];
    this.socket.write(Buffer.concat([Buffer.from(head), mask, payload.map((byte, index) => byte ^ mask[index & 3])]));
  }
}

const viewers = [];
for (let number = 0; number < options.viewers; number++) {
  viewers.push(new Viewer(number));
  if (number % 50 === 49) await new Promise((resolve) => setTimeout(resolve, 20));
}
for (let waited = 0; count.open < options.viewers && waited < 600; waited++) {
  await new Promise((resolve) => setTimeout(resolve, 50));
}
if (count.open < options.viewers) throw new Error(`${count.open} of ${options.viewers} are connected`);
for (const viewer of viewers.slice(0, options.frozen)) viewer.socket.pause();
process.stderr.write("connected\n");
await new Promise((resolve) => setTimeout(resolve, options.warm * 1000));
process.stderr.write("measuring\n");
measuring = true;
const cpu = process.cpuUsage();
const began = performance.now();
await new Promise((resolve) => setTimeout(resolve, options.seconds * 1000));
const seconds = (performance.now() - began) / 1000;
measuring = false;
process.stderr.write("measured\n");
const used = process.cpuUsage(cpu);
ages.sort((a, b) => a - b);
const at = (share) => (ages.length ? ages[Math.min(ages.length - 1, Math.floor(share * ages.length))] : null);
console.log(
  JSON.stringify({
    seconds,
    messages: count.messages,
    bytes: count.bytes,
    closed: count.closed,
    cpu: (used.user + used.system) / 1e6 / seconds,
    p50: at(0.5),
    p99: at(0.99),
  }),
);
process.exit(0);
