/**
 * Clients that subscribe and then never read, which are the worst slow readers. Their kernel buffers some megabytes
 * before the server notices.
 */
import { encodeSub } from "@arqon/proto";
import { sendUpgrade } from "../../tests/peers/raw_upgrade.ts";
import { BINARY, clientFrame } from "./socket.ts";

const ANSWER_BYTES = 4_096;

/** Clients that keep their sockets open until they are closed. */
interface StalledClients extends Disposable {
  readonly connections: number;
}

/**
 * Connects this many clients, which soon receive messages of all of these rooms; nobody reads their ACKs. `url` is
 * http.
 */
export async function stall(
  url: string,
  token: string,
  rooms: readonly string[],
  connections: number,
): Promise<StalledClients> {
  const sockets: Deno.TcpConn[] = [];
  for (let opened = 0; opened < connections; opened++) {
    const socket = await sendUpgrade(url, { token, headers: ["Sec-WebSocket-Protocol: arqon.v1"] });
    sockets.push(socket);
    // The answer to the upgrade must come first: earlier frames are not read.
    await socket.read(new Uint8Array(ANSWER_BYTES));
    for (const room_id of rooms) await socket.write(clientFrame(BINARY, encodeSub({ room_id })));
  }
  return {
    connections,
    [Symbol.dispose]() {
      for (const socket of sockets.splice(0)) socket.close();
    },
  };
}
