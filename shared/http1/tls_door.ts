/**
 * Accepts TLS connections by `node:net`, on whose sockets `node:tls` works without a stream in between. The runtime's
 * own TLS listener leaves Nagle's algorithm on, so that answers wait for delayed acknowledgements; it cannot change its
 * certificate; and it cannot read a PROXY header before the handshake.
 */
import type { Server } from "node:net";
import { createSecureContext, type SecureContext } from "node:tls";
import { Turns } from "../turns/fair_turns.ts";
import type { Door, DoorOptions, TlsPair, Visitor } from "./door.ts";
import { NodeDoor, openServer } from "./node_door.ts";
import { socketOn, type TcpHandle } from "./node_handle.ts";
import { NodeStream } from "./node_stream.ts";
import { secureStream } from "./tls_stream.ts";

/** Handshakes that begin in one turn of the event loop; other work runs between them. */
const HANDSHAKES_A_TURN = 4;

/**
 * Opens a door with TLS of our own. Rejects with the runtime's own error if the address is in use, forbidden or not of
 * this machine.
 */
export async function openTlsDoor(options: DoorOptions, pair: TlsPair): Promise<Door> {
  return new TlsDoor(options, await openServer(options, options.port), pair).begin();
}

class TlsDoor extends NodeDoor {
  #context: SecureContext;
  /** The fair queue of connections that wait for their handshake. */
  readonly #beginning = new Turns(HANDSHAKES_A_TURN);

  constructor(options: DoorOptions, server: Server, pair: TlsPair) {
    super(options, server);
    this.#context = createSecureContext({ ...pair });
  }

  override renew(pair: TlsPair): Promise<void> {
    this.#context = createSecureContext({ ...pair });
    return Promise.resolve();
  }

  protected override take(handle: TcpHandle): Pick<Visitor, "stream" | "secure"> {
    const stream = new NodeStream(socketOn(handle));
    const secure = async () => {
      await this.#beginning.later();
      return await secureStream(stream.release(), this.#context);
    };
    return { stream, secure };
  }
}
