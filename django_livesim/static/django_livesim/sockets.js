/** The sockets of a page: one for each address, however many places show the same run. */

import { LiveSocket } from "./socket.js";

const KEPT = ["status", "presence"]; // what is told once, and holds until it is told anew
const shared = new Map(); // by address: the socket, who uses it, and what it told last of each kind

/** The socket to that path of this host, for `user` until it is left. */
export function join(path, user) {
  const url = absolute(path);
  if (!shared.has(url)) shared.set(url, begin(url));
  const { socket, users } = shared.get(url);
  users.add(user);
  return socket;
}

/** It is used no more by `user`, and closed after its last. */
export function leave(socket, user) {
  const entry = shared.get(socket.url);
  if (!entry?.users.delete(user) || entry.users.size) return;
  shared.delete(socket.url);
  socket.close();
}

/** What a socket has told since its last hello, as pairs of a name and a message. */
export function toldBy(socket) {
  return [...(shared.get(socket.url)?.told ?? [])];
}

function begin(url) {
  const socket = new LiveSocket(url);
  const told = new Map();
  socket.addEventListener("hello", () => told.clear());
  for (const name of KEPT) socket.addEventListener(name, ({ detail }) => told.set(name, detail));
  return { socket, users: new Set(), told };
}

function absolute(path) {
  const url = new URL(path, location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}
