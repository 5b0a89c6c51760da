/**
 * Where connections of clients without TLS are accepted, as bare handles: what is queued for a silent
 * client is then a few bytes, where a read of the runtime's own connections is 1.9 KB of objects. Doors
 * of operators and of native sockets are the runtime's, `door.ts`.
 */
import type { Door, DoorOptions, Visitor } from "./door.ts";
import { HandleStream } from "./handle_stream.ts";
import { NodeDoor, openServer } from "./node_door.ts";
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

  protected override take(handle: TcpHandle): Pick<Visitor, "stream"> {
    return { stream: new HandleStream(handle) };
  }
}
