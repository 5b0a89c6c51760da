/**
 * What a capability brings to a Shield: what it declares, read once at start, and what it starts. Its folder says it
 * in `capability.ts`; which of them a Shield has is a list (`capabilities.ts`), and the kernel knows no other name.
 */
import type { AuditTrail } from "./admin/routing/audited.ts";
import type { ListedRoute, ServedRoute } from "./admin/routing/admin_routes.ts";
import type { LiveKey } from "../shared/config/keys/live_keys.ts";
import type { Connection } from "./connection/connection.ts";
import type { Claims } from "./auth/claims.ts";
import type { Grant } from "./auth/identity.ts";
import type { OwnCommands } from "./message/command.ts";
import type { ClientSocket } from "./socket/client_socket.ts";
import type { EntranceContext } from "./connection/entrance.ts";
import type { ForeignEntry, HttpContext } from "./http/http.ts";
import type { ClientRoute, DescribedRoute } from "./http/route.ts";
import type { Parameter, Schema } from "./openapi/openapi_parts.ts";
import type { Parts } from "./parts.ts";
import type { ShieldOptions } from "./server.ts";

/** What the description of an admin API needs to know of a capability, also where a Shield has it switched off. */
export interface AdminSide {
  readonly tables: readonly { list(): Iterable<ListedRoute> }[];
  /** Each tag of its routes, and what these are about. */
  readonly tags: Readonly<Record<string, string>>;
  /** What is in braces in their paths, and is not the kernel's. */
  readonly names?: Readonly<Record<string, Parameter>>;
  /** What their descriptions refer to. */
  readonly schemas?: Readonly<Record<string, Schema>>;
}

/** What a capability does on the client listener. */
export interface ClientSide {
  /** Its routes, as the description has them. */
  readonly described: readonly DescribedRoute[];
  /** Each tag of theirs that is not the kernel's. */
  readonly tags?: Readonly<Record<string, string>>;
  /** Headers of its requests beside those of every request: a page may send them. */
  readonly headers?: readonly string[];
  /** Makes the routes, before anything is started that acts on its own. */
  routes(env: ShieldOptions, parts: Parts, entrance: EntranceContext): ClientRoute[];
}

/** A file for everybody who reaches the admin listener. */
export interface AdminFile {
  readonly body: string;
  readonly content_type: string;
}

/** Keys of the configuration that may change at any time, and what is done then. */
export interface Followed {
  readonly keys: readonly LiveKey[];
  readonly renew: () => void;
}

/** Who is let in on the client listener, for a protocol that is not ours. */
export interface Door
  extends Pick<HttpContext, "requireOpen" | "requireCapacity" | "admission" | "pending"> {
  readonly entrance: EntranceContext;
}

/** One capability; `Own` is what others may build on. */
export interface Capability<Own = unknown> {
  /** One word of the field. */
  readonly name: string;
  /** One sentence. */
  readonly title: string;
  readonly client?: ClientSide;
  /** What answers requests of another protocol, which is asked before all else; undefined: it is switched off. */
  foreign?(env: ShieldOptions, parts: Parts, door: Door): ForeignEntry | undefined;
  /**
   * What claims of that protocol grant to a token without `grants`, for every listener; undefined: none of them is
   * there. Throws `token-claim`.
   */
  grantsOf?(env: ShieldOptions, claims: Claims): readonly Grant[] | undefined;
  readonly admin?: AdminSide;
  /** A file below `/console/` of the admin listener; undefined: it has none there. */
  file?(path: string): Promise<AdminFile | undefined>;
  /** Starts it, once the kernel is assembled. Rejects with `spine-unavailable`. */
  start?(env: ShieldOptions, parts: Parts): Running<Own> | Promise<Running<Own>>;
}

/** A capability at work. */
export interface Running<Own = unknown> {
  readonly own?: Own;
  /** Its routes on the admin listener; absent: none, or switched off here. */
  readonly routes?: Iterable<ServedRoute>;
  /** Answers commands here, which do not go to a Brain. */
  readonly commands?: OwnCommands;
  /** Writes down what admins do. */
  readonly trail?: AuditTrail | undefined;
  readonly follows?: readonly Followed[] | undefined;
  /** Called when nothing can keep the Shield from serving any longer, in the order of the list. */
  begin?(): void | Promise<void>;
  /** A client's socket has closed, whose memory is freed after this. */
  socketClosed?(socket: ClientSocket, connection: Connection): void;
  /** The Shield begins to drain: called at once, in the order of the list. */
  drain?(): void;
  /** Ends what it does on its own, one after the other, while clients are told to go. Never rejects. */
  close?(): Promise<void>;
  /** No client is left, or none is waited for any longer. Never rejects. */
  clientsGone?(): Promise<void>;
  /** Called when clients and kernel have ended, backwards. */
  [Symbol.asyncDispose]?(): PromiseLike<void>;
}

/** Finds a file of any of them. */
export function fileOf(capabilities: readonly Pick<Capability, "file">[]) {
  return async (path: string): Promise<AdminFile | undefined> => {
    for (const { file } of capabilities) {
      const found = await file?.(path);
      if (found !== undefined) return found;
    }
    return undefined;
  };
}

/** The capabilities of one Shield, started in the order of their list. */
export class RunningCapabilities {
  readonly #running = new Map<Capability, Running>();
  readonly #watching: NonNullable<Running["socketClosed"]>[] = [];
  readonly #commands: OwnCommands[] = [];
  readonly #ends = new AsyncDisposableStack();

  /** Starts all of them. Rejects as the first that cannot start. */
  async start(list: readonly Capability[], env: ShieldOptions, parts: Parts): Promise<void> {
    for (const capability of list) {
      const running = await capability.start?.(env, parts);
      if (running === undefined) continue;
      this.#running.set(capability, running);
      const { follows = [] } = running;
      for (const { keys, renew } of follows) env.reloading?.follow(keys, renew);
      if (running.commands !== undefined) this.#commands.push(running.commands);
      if (running.socketClosed !== undefined) this.#watching.push(running.socketClosed);
      this.#ends.defer(async () => await running[Symbol.asyncDispose]?.());
    }
  }

  /** What a capability has started that others may build on; undefined where it is left out or switched off. */
  of<Own>(capability: Capability<Own>): Own | undefined {
    return this.#running.get(capability)?.own as Own | undefined;
  }

  /** What answers a command here; undefined: nothing does. */
  command(name: string): ReturnType<OwnCommands> {
    for (const own of this.#commands) {
      const answer = own(name);
      if (answer !== undefined) return answer;
    }
    return undefined;
  }

  /** Every route of the admin API that they answer here. */
  routes(): ServedRoute[] {
    return [...this.#running.values()].flatMap(({ routes }) => [...routes ?? []]);
  }

  /** What writes down what admins do; undefined: nothing. */
  trail(): AuditTrail | undefined {
    for (const { trail } of this.#running.values()) if (trail !== undefined) return trail;
    return undefined;
  }

  async begin(): Promise<void> {
    for (const running of this.#running.values()) await running.begin?.();
  }

  socketClosed(socket: ClientSocket, connection: Connection): void {
    for (const watch of this.#watching) watch(socket, connection);
  }

  drain(): void {
    for (const running of this.#running.values()) running.drain?.();
  }

  async close(): Promise<void> {
    for (const running of this.#running.values()) await running.close?.();
  }

  async clientsGone(): Promise<void> {
    for (const running of this.#running.values()) await running.clientsGone?.();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#ends.disposeAsync();
  }
}
