// One socket, by the heads of RFC 6455's frames: bodies are passed over without being joined where they can be.
import { randomBytes } from "node:crypto";
import { connect } from "node:net";
import { createInflateRaw } from "node:zlib";

const [TEXT, PING, PONG, COMPRESSED] = [1, 9, 10, 0x40];
const TAIL = Buffer.from([0, 0, 0xff, 0xff]);
const LARGEST = 4 * 1024 * 1024; // bytes that are inflated as one piece

export class Viewer {
  #rest = [];
  #size = 0;
  #wanted = 0;
  #inflate = null;
  #sizes = [];

  /**
   * `heard` is called with each message's payload, its size on the wire, and this viewer; with null in place of
   * the payload where it came compressed and nobody `looks`.
   */
  constructor(options, dialect, heard, path) {
    this.options = options;
    this.path = path;
    this.dialect = dialect;
    this.heard = heard;
    this.open = this.closed = this.looks = this.started = false;
    this.frames = this.taken = 0;
  }

  async connect() {
    const path = (await this.dialect.path?.(this.options)) ?? this.path;
    this.socket = connect(this.options.port, this.options.host, () => this.#greet(path));
    this.socket.setNoDelay(true);
    this.socket.on("data", (data) => this.#read(data));
    this.socket.on("error", () => {});
    this.socket.on("close", () => (this.closed = true));
  }

  #greet(path) {
    const lines = [
      `GET ${path} HTTP/1.1`,
      `Host: ${this.options.host}:${this.options.port}`,
      "Upgrade: websocket",
      "Connection: Upgrade",
      `Sec-WebSocket-Key: ${randomBytes(16).toString("base64")}`,
      "Sec-WebSocket-Version: 13",
    ];
    if (this.options.deflate) lines.push("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits");
    this.socket.write(`${lines.join("\r\n")}\r\n\r\n`);
  }

  #read(data) {
    if (this.#size) {
      this.#rest.push(data);
      this.#size += data.length;
      if (this.#size < this.#wanted) return;
      data = Buffer.concat(this.#rest);
      this.#rest = [];
      this.#size = 0;
    }
    let at = 0;
    if (!this.open) {
      const end = data.indexOf("\r\n\r\n");
      if (end < 0) return this.#keep(data, data.length + 1);
      if (!data.subarray(0, 12).toString().endsWith("101")) throw new Error(data.toString().slice(0, 200));
      this.open = true;
      at = end + 4;
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
      this.#frame(data[at], data.subarray(at + head, at + head + size));
      at += head + size;
    }
    if (at < data.length) this.#keep(data.subarray(at), 2);
  }

  #keep(data, wanted) {
    this.#rest = [data];
    this.#size = data.length;
    this.#wanted = wanted;
  }

  #frame(first, payload) {
    const kind = first & 15;
    if (kind === PING) this.say(payload, PONG);
    if (kind !== TEXT && kind !== 2) return;
    if (!(first & COMPRESSED)) return this.#message(payload, payload.length);
    if (this.started && !this.looks) return this.heard(null, payload.length, this);
    this.#sizes.push(payload.length);
    this.#inflater().write(Buffer.concat([payload, TAIL]));
  }

  #inflater() {
    if (!this.#inflate) {
      this.#inflate = createInflateRaw({ chunkSize: LARGEST });
      this.#inflate.on("data", (text) => this.#message(text, this.#sizes.shift() ?? 0));
    }
    return this.#inflate;
  }

  #message(payload, size) {
    this.started ||= this.dialect.isFrame(payload);
    this.heard(payload, size, this);
    const answer = this.dialect.answer?.(payload, this);
    if (answer) this.say(answer);
  }

  /** Texts as texts, buffers as binary. */
  say(what, kind = typeof what === "string" ? TEXT : 2) {
    const payload = Buffer.from(what);
    const mask = randomBytes(4);
    const { length } = payload;
    const head = length < 126 ? [0x80 | kind, 0x80 | length] : [0x80 | kind, 0xfe, length >> 8, length & 255];
    this.socket.write(Buffer.concat([Buffer.from(head), mask, payload.map((byte, index) => byte ^ mask[index & 3])]));
  }
}
