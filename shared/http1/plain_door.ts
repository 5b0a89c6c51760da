/**
 * Where connections of clients without TLS are accepted, as bare handles: what waits for a silent
 * client is then a few bytes, where a read of the runtime's own connections is 1.9 KB of objects. Doors
 * of operators and of native sockets are the runtime's, `door.ts`.
 */
import type { Server } from "node:net";
import type { Door, DoorOptions } from "./door.ts";
import { HandleStream } from "./handle_stream.ts";
import { NodeDoor, openServer } from "./node_door.ts";
import { acceptHandles } from "./node_handle.ts";
import type { TcpHandle } from "./node_handle.ts";

/**
 * Opens a door without TLS. Rejects with the runtime's own error when the address is taken, forbidden
 * or not of this machine.
 */
export async function openHandleDoor(options: DoorOptions): Promise<Door> {
  return new HandleDoor(options, await openServer(options, options.port)).begin();
}

class HandleDoor extends NodeDoor {
  override renew(): Promise<void> {
    return Promise.resolve();
  }

  protected override serve(server: Server): void {
    acceptHandles(server, (handle) => this.#accept(handle), () => this.stats.accept_failures++);
  }

  #accept(handle: TcpHandle): void {
    const peer: { address?: string; port?: number } = {};
    const known = handle.getpeername(peer) === 0 && handle.setNoDelay(true) === 0;
    const { address: hostname, port } = peer;
    // The peer has reset the connection meanwhile.
    if (!known || hostname === undefined || port === undefined) return handle.close();
    this.options.onVisitor({
      stream: new HandleStream(handle),
      remoteAddr: { transport: "tcp", hostname, port },
    });
  }
}
