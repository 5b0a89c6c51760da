/**
 * What a benchmark runs against, and how its load reaches it: a *target* is a server with its own processes,
 * a *wire* is the protocol that a load process speaks to it. Types only.
 */

/** The target's name on the command line and in reports. */
export type TargetId =
  | "arqon"
  | "arqon-nats"
  | "arqon+native"
  | "arqon+centrifugo"
  | "deno"
  | "bun"
  | "nats-ws"
  | "centrifugo"
  | "socketio";

/** An ability that a scenario may need. A scenario leaves out the targets without it, and says so. */
export type Ability = "echo" | "rooms" | "tenants" | "tls" | "batch";

/** The options with which a scenario starts a target. */
export interface TargetOptions {
  /** Serve `wss://` with the target's certificate. */
  readonly tls: boolean;
  /** Number of tenants that need tokens, at least 1. */
  readonly tenants: number;
}

/** A server that can be measured. */
export interface Target {
  readonly id: TargetId;
  /** Name of the target in tables. */
  readonly title: string;
  readonly abilities: ReadonlySet<Ability>;
  /**
   * Installs what the target needs, starts it, and waits until it accepts connections. Rejects with
   * TargetUnavailable.
   */
  start(options: TargetOptions): Promise<RunningTarget>;
}

/** A server that accepts connections. Disposing of it ends all its processes. */
export interface RunningTarget extends AsyncDisposable {
  /** Version of the server, as it reports it. */
  readonly version: string;
  /** Processes that are the target, their children included. Their CPU time and memory count. */
  readonly pids: readonly number[];
  /** Processes that the target uses, shown beside its own: the NATS server and the Brain of a bus. */
  readonly beside_pids?: readonly number[];
  readonly wire: WireSpec;
}

/** The target cannot run here; the message says what to install. */
export class TargetUnavailable extends Error {
  override readonly name = "TargetUnavailable";
}

/** The protocol and address of a target, as plain JSON for load processes. */
export interface WireSpec {
  readonly protocol: "arqon" | "raw" | "nats" | "centrifugo" | "socketio";
  /** An address with `ws:` or `wss:`. */
  readonly url: string;
  /** Addresses of the load processes, where one has too few ports for all; the default is `url`. */
  readonly urls?: readonly string[];
  /** One token for each tenant, where the target has tenants. */
  readonly tokens: readonly string[];
  /** PEM of the authority that signed the certificate; absent without TLS. */
  readonly ca?: string;
}

/** The options of one connection. */
export interface WireOptions {
  /** Index of the tenant's token in `tokens`. */
  readonly tenant: number;
  /** Whether to ask for several messages in a frame, where the wire has that. */
  readonly batch: boolean;
  /**
   * Whether the connection only gets back what it publishes. A bare server then echoes and needs no rooms.
   */
  readonly echo?: boolean;
  /** Called for each message that arrives; the bytes are valid until it returns. */
  readonly onMessage: (body: Uint8Array) => void;
  /** Called for a refusal, and for the end of a connection that this process did not close. */
  readonly onProblem: (what: string) => void;
}

/** A protocol: there is one for each `WireSpec.protocol`. */
export interface Wire {
  /** Opens a connection. Resolves when the server has greeted, which is when a user calls it connected. */
  open(spec: WireSpec, options: WireOptions): Promise<WireConnection>;
}

/** One connection of a load process. */
export interface WireConnection {
  /** Subscribes to a room. Resolves when messages to the room will arrive. */
  subscribe(room: string): Promise<void>;
  /**
   * Publishes without waiting. `body` is copied or written before it returns. A subscribed publisher receives
   * itself.
   */
  publish(room: string, body: Uint8Array): void;
  close(): void;
}
