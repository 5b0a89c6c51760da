/**
 * The common part of doors on servers of `node:net`. `tls_stream.ts` and `listener.ts` handle connections.
 */
import { type AddressInfo, createServer, type Server } from "node:net";
import { PIECE_MS, slice, STRANGERS } from "../turns/slices.ts";
import { type DoorOptions, KeptDoor, type Visitor } from "./door.ts";
import type { FileRoom } from "./file_reserve.ts";
import { acceptHandles, handleOf, moved, type TcpHandle } from "./node_handle.ts";

/**
 * Intervals of the checks for free descriptors, after which the listener is woken: while connections arrive, and while
 * they do not. A check costs 0.1 to 0.5 ms, which an idle process would pay for nothing, and a busy one for each of its
 * messages.
 */
const WAKE_MS = 50;
const QUIET_WAKE_MS = 1_000;
const BACKLOG = 511;
/** The most connections that wait to be admitted, twice the backlog; beyond that the first is admitted at once. */
const WAITING_MAX = 2 * BACKLOG;

interface Accepted {
  readonly handle: TcpHandle;
  readonly room: FileRoom;
}

/** Opens a server. Rejects with the runtime's own error if the address is in use, forbidden or not of this machine. */
export async function openServer({ host, reuse_port }: DoorOptions, port: number): Promise<Server> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port, reusePort: reuse_port, backlog: BACKLOG }, () => {
      server.off("error", reject);
      resolve();
    });
  });
  return server;
}

/** A door on a listening server; call `begin` once it is constructed. */
export abstract class NodeDoor extends KeptDoor {
  readonly port: number;
  #server: Server;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** A connection arrived since the last check. */
  #visited = false;
  /** The next check uses the longer interval. */
  #waits_long = false;
  /** Since when the system has no descriptor although no connection here uses one. */
  #without_since_ms: number | undefined;
  /** Accepted and not admitted yet, oldest first. */
  readonly #waiting: Accepted[] = [];
  /** They are being admitted, in slices. */
  #admits = false;

  constructor(options: DoorOptions, server: Server) {
    super(options);
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
  }

  /** Wraps an accepted connection. */
  protected abstract take(handle: TcpHandle): Pick<Visitor, "stream" | "secure">;

  begin(): this {
    this.#take(this.#server);
    this.#lookLater();
    return this;
  }

  protected closeListener(): void {
    this.#server.close();
    if (!this.closed) return;
    clearTimeout(this.#timer);
    for (const { handle } of this.#waiting.splice(0)) handle.close();
  }

  protected async listenAgain(): Promise<void> {
    this.#server = await openServer(this.options, this.port);
    this.#take(this.#server);
  }

  #noteVisit(): void {
    this.#visited = true;
    if (this.#waits_long) this.#lookLater();
  }

  /** Checks soon if connections arrive or failed to, since descriptors run out then. */
  #lookLater(): void {
    clearTimeout(this.#timer);
    if (this.closed) return;
    this.#waits_long = !this.#visited && this.#without_since_ms === undefined;
    this.#visited = false;
    const wait_ms = this.#waits_long ? QUIET_WAKE_MS : WAKE_MS;
    this.#timer = setTimeout(() => {
      this.#wake();
      this.#lookLater();
    }, wait_ms);
  }

  #take(server: Server): void {
    const onFailure = () => void this.stats.accept_failures++;
    server.on("error", onFailure);
    acceptHandles(server, (handles) => this.#visit(handles), onFailure);
  }

  /**
   * Handles the connections of one turn. The runtime accepts all of them, and only here is it known for whom there was
   * room: the others take the descriptor of another connection, or are closed, before anything else opens a file. They
   * are admitted in slices: 500 take 40 ms, and open connections are served meanwhile.
   */
  #visit(handles: readonly TcpHandle[]): void {
    this.#noteVisit();
    const { rooms, makeRoom, mayKeep, onRefused } = this.options;
    const found = rooms(handles.length);
    for (const [index, handle] of handles.entries()) {
      let accepted: Accepted | undefined = { handle, room: found[index] ?? "none" };
      if (accepted.room === "none") {
        const low = makeRoom() ? moved(handle, mayKeep) : undefined;
        accepted = low && { handle: low, room: "plenty" };
      }
      if (accepted === undefined) {
        handle.close();
        onRefused();
      } else if (this.#waiting.push(accepted) > WAITING_MAX) this.#letIn(this.#waiting.shift()!);
    }
    void this.#admit();
  }

  async #admit(): Promise<void> {
    if (this.#admits) return;
    this.#admits = true;
    const { now } = this.options;
    while (this.#waiting.length > 0) {
      await slice(STRANGERS);
      const until_ms = now() + PIECE_MS;
      let count = 0;
      do {
        const accepted = this.#waiting[count++];
        if (accepted === undefined) break;
        this.#letIn(accepted);
      } while (now() < until_ms);
      this.#waiting.splice(0, count);
    }
    this.#admits = false;
  }

  #letIn({ handle: accepted, room: found }: Accepted): void {
    const { makeRoom, mayKeep, onVisitor } = this.options;
    let handle = accepted;
    let room = found;
    if (room !== "plenty" && makeRoom()) {
      const low = room === "little" ? accepted : moved(accepted, mayKeep);
      if (low !== undefined) [handle, room] = [low, "little"];
    }
    const peer: { address?: string; port?: number } = {};
    const known = handle.getpeername(peer) === 0 && handle.setNoDelay(true) === 0;
    const { address: hostname, port } = peer;
    // The peer has reset the connection meanwhile.
    if (!known || hostname === undefined || port === undefined) return handle.close();
    const remoteAddr = { transport: "tcp", hostname, port } as const;
    onVisitor({ ...this.take(handle), remoteAddr, room });
  }

  /**
   * Wakes the listener. After one failure for lack of descriptors Deno 2.9 reports no further connection, and no error.
   * Asked to listen again, it checks its queue.
   */
  #wake(): void {
    if (this.opening !== undefined) return;
    if (!hasDescriptor()) return this.#onFilesOut();
    if (this.is_logged) {
      this.options.log?.info("connections are accepted again", { listener: this.options.name });
    }
    this.is_logged = false;
    this.#without_since_ms = undefined;
    // The next wake tries again; a port that cannot be opened ends the process.
    if (handleOf(this.#server)?.listen(BACKLOG) !== 0) this.reopen().catch(() => {});
  }

  #onFilesOut(): void {
    const { onFilesOut, holdsFiles, now, gone_ms } = this.options;
    // This comes first: until descriptors are free, opening any file may end the process.
    onFilesOut();
    this.stats.accept_failures++;
    const problem = "too many open files";
    this.logFailure(problem);
    // Connections with descriptors end some day, and must not be cut off for new ones.
    if (this.#without_since_ms === undefined || holdsFiles()) this.#without_since_ms = now();
    if (now() - this.#without_since_ms > gone_ms) this.end(new Error(problem));
  }
}

/**
 * Whether the system has another descriptor; also true if only permissions are missing. It needs no permission that a
 * server lacks, unlike opening a file.
 */
function hasDescriptor(): boolean {
  try {
    Deno.listen({ hostname: "127.0.0.1", port: 0 }).close();
  } catch (error) {
    return !/too many open files/i.test(String(error));
  }
  return true;
}
