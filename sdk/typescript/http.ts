/**
 * Connections without WebSocket: `connect({ …, webSocket: HttpSocket })` works where a proxy lets nothing
 * but HTTP through. It is an entry of its own, since most programs do not need it.
 */
export { HttpSocket } from "./http/http_socket.ts";
