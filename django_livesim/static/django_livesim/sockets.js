/** The sockets of a page: one for each address, however many places show the same run. */

import { LiveSocket } from "./socket.js";

const shared = new Map(); // by address: the socket, and who uses it

/** The socket to that path of this host, for `user` until it is left. */
export function join(path, user) {
  const url = absolute(path);
  if (!shared.has(url)) shared.set(url, { socket: new LiveSocket(url), users: new Set() });
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

function absolute(path) {
  const url = new URL(path, location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}
